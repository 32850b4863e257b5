# SPDX-License-Identifier: BSD-3-Clause
"""Terminals: what may be sent to one, and what is logged there.

What a directory holds may have been written by anybody: a control character in it could move the
cursor, colour the screen or set the terminal's title.
"""

import logging
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import IO, Any, Callable

import ldap

from ..wire import details_of

LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    r"""Return *text* with everything that is not to be seen written as ``\n``, ``\x1b``, ..."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


_WORDS = (
    ("or the store's own URL (ldap_url=None)", "or --data alone"),
    ("call allow_deletes() and poll again, or run", "run"),
    ("with max_deletes=None", "with --max-deletes none"),
    ("max_deletes", "--max-deletes"),
    ("data_path", "--data"),
    ("starttls=True", "-Z"),
    ("OPT_X_TLS_CACERTFILE", "--cacert"),
    ("OPT_X_TLS_CERTFILE", "--cert"),
    ("OPT_X_TLS_KEYFILE", "--key"),
)
"""The library speaks to programmers; what their arguments are called here."""


def in_options(text: str) -> str:
    """Return *text*, which the library wrote, with the names of options for those of arguments."""
    for theirs, ours in _WORDS:
        text = text.replace(theirs, ours)
    return text


def ldap_text(error: ldap.LDAPError) -> str:
    """Return what python-ldap's *error* says, in words."""
    details = details_of(error)
    parts = [_text(details.get(name)) for name in ("desc", "info")]
    matched = _text(details.get("matched"))
    if matched:
        parts.append(f"the nearest entry that exists is {matched}")
    return ": ".join(filter(None, parts)) or str(error)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


def _escaped(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )


def is_terminal(stream: IO[Any]) -> bool:
    """Say whether somebody looks at *stream*."""
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def say(level: str, text: str) -> None:
    """Write one line to stderr: *level* is ``error``, ``warning`` or the like."""
    sys.stderr.write(f"syncrepl-client: {level}: {text}\n")
    sys.stderr.flush()


class LogHandler(logging.Handler):
    """Writes what the library logs to stderr, one line each.

    Attributes:
        aside: makes a context manager, in which what else is on the terminal steps aside.
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
"""The one that :func:`log` installs."""


def log(verbosity: int) -> None:
    """Have warnings logged to stderr; with *verbosity* 1 what happens too, with 2 all of it."""
    logger = logging.getLogger("syncrepl_client")
    logger.setLevel(LEVELS[min(verbosity, len(LEVELS) - 1)])
    logger.addHandler(handler)  # a second time changes nothing
    logger.propagate = False


def prepare() -> None:
    """Have a standard output that takes all characters, if need be as escapes."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # it was closed by whoever started us
            nowhere = os.open(os.devnull, os.O_WRONLY)
            setattr(sys, name, os.fdopen(nowhere, "w", closefd=False))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def give_up_output() -> None:
    """Have nothing more written to stdout, not even by the interpreter at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
