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

LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    r"""Return *text* with everything that is not to be seen written as ``\n``, ``\x1b``, ..."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


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
            text = printable(record.getMessage())
            if record.exc_info:
                lines = logging.Formatter().formatException(record.exc_info).split("\n")
                text += "".join(f"\n  {printable(line)}" for line in lines)
            with self.aside():
                say(record.levelname.lower(), text)
        except (OSError, ValueError, TypeError):
            self.handleError(record)


handler = LogHandler()
"""The one that :func:`log` installs."""


def log(verbosity: int) -> None:
    """Have warnings logged to stderr; with *verbosity* 1 what happens too, with 2 all of it."""
    logger = logging.getLogger("syncrepl_client")
    logger.setLevel(LEVELS[min(verbosity, len(LEVELS) - 1)])
    logger.addHandler(handler)  # a second time changes nothing
    logger.propagate = False


def give_up_output() -> None:
    """Have nothing more written to stdout, not even by the interpreter at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
