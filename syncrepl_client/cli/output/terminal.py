# SPDX-License-Identifier: BSD-3-Clause
"""Terminals: the log on stderr, and the library's messages in the command's words."""

import logging
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import IO, Any, Callable

import ldap

from ...entries.printable import printable
from ...protocol.wire import details_of

LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
_WORDS = (
    ("or the store's own URL (ldap_url=None)", "or --data alone"),
    ("call allow_deletes() and poll again, or run", "run"),
    ("with max_deletes=None", "with --max-deletes none"),
    (
        "run its client with changelog=Changelog()",
        "run watch --log 30d, or its program with changelog=Changelog()",
    ),
    ("max_deletes", "--max-deletes"),
    ("change_search=True", "--change-search"),
    ("use the arguments bind_dn and password", "use -D and -W"),
    ("data_path", "--data"),
    ("starttls=True", "-Z"),
    ("OPT_X_TLS_CACERTFILE", "--cacert"),
    ("OPT_X_TLS_CERTFILE", "--cert"),
    ("OPT_X_TLS_KEYFILE", "--key"),
)
"""Arguments in messages of the library, and the options that correspond to them."""


def in_options(text: str) -> str:
    """Replace the names of arguments in a message of the library by those of options."""
    for theirs, ours in _WORDS:
        text = text.replace(theirs, ours)
    return text


def ldap_text(error: ldap.LDAPError) -> str:
    """Return the text of a python-ldap exception."""
    details = details_of(error)
    parts = [_text(details.get(name)) for name in ("desc", "info")]
    matched = _text(details.get("matched"))
    if matched:
        parts.append(f"the nearest entry that exists is {matched}")
    return ": ".join(filter(None, parts)) or str(error)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


def is_terminal(stream: IO[Any]) -> bool:
    """Return True if *stream* is a terminal."""
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def say(level: str, text: str) -> None:
    """Write one line to stderr; *level* is ``error``, ``warning`` or the like."""
    sys.stderr.write(f"syncrepl-client: {level}: {text}\n")
    sys.stderr.flush()


class LogHandler(logging.Handler):
    """Writes log records of the library to stderr, one line each.

    Attributes:
        aside: returns a context manager that clears the terminal for output.
    """

    def __init__(self) -> None:
        super().__init__()
        self.aside: Callable[[], AbstractContextManager[Any]] = nullcontext

    def emit(self, record: logging.LogRecord) -> None:
        """Write *record*."""
        try:
            text = in_options(printable(_message(record)))
            if record.exc_info:
                lines = logging.Formatter().formatException(record.exc_info).split("\n")
                text += "".join(f"\n  {printable(line)}" for line in lines)
            with self.aside():
                say(record.levelname.lower(), text)
        except (OSError, ValueError, TypeError):
            self.handleError(record)


def _message(record: logging.LogRecord) -> str:
    if not isinstance(record.args, tuple):
        return record.getMessage()
    shown = (ldap_text(each) if isinstance(each, ldap.LDAPError) else each for each in record.args)
    return str(record.msg) % tuple(shown) if record.args else str(record.msg)


handler = LogHandler()
"""The handler that :func:`log` installs."""


def log(verbosity: int) -> None:
    """Log warnings to stderr; with *verbosity* 1 also at level INFO, with 2 at level DEBUG."""
    logger = logging.getLogger("syncrepl_client")
    logger.setLevel(LEVELS[min(verbosity, len(LEVELS) - 1)])
    logger.addHandler(handler)  # a second time changes nothing
    logger.propagate = False


def prepare() -> None:
    """Configure stdout and stderr so that they accept all characters, if need be as escapes."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # it was closed by whoever started us
            nowhere = os.open(os.devnull, os.O_WRONLY)
            setattr(sys, name, os.fdopen(nowhere, "w", closefd=False))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def give_up_output() -> None:
    """Redirect stdout to nowhere, also for the interpreter's flush at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
