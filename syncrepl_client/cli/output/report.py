# SPDX-License-Identifier: BSD-3-Clause
"""Reports for people, in columns."""

import json
import sys
import textwrap
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text as Styled

from ...entries.printable import printable
from ..errors import ReaderGone
from .terminal import in_options

_NARROWEST = 40


def write_json(members: "dict[str, Any]") -> None:
    """Write a JSON object on one line."""
    # The only control character that JSON lets through.
    write(json.dumps(members).replace("\x7f", "\\u007f") + "\n")


def write(text: str) -> None:
    """Write *text* to stdout.

    Raises:
        ReaderGone: the reader has closed it.
    """
    try:
        sys.stdout.write(text)
    except BrokenPipeError:  # which click and rich would take for a reason to exit with 1
        raise ReaderGone from None


class _Stdout:
    """A stream over :func:`write`."""

    def write(self, text: str) -> None:
        write(text)

    def flush(self) -> None:
        """Do nothing: the end of the command does it."""


STDOUT = _Stdout()
"""A stream to write to, for what takes one."""


def counted(number: int, one: str, many: str = "") -> str:
    """Return *number* with the noun *one*; *many* is its plural, if not in ``-s``."""
    what = one if number == 1 else many or f"{one}s"
    return f"{number:,} {what}" if number else f"no {what}"


class Report:
    """Writes to stdout; coloured on a terminal, unless NO_COLOR is set."""

    def __init__(self, *widths: int) -> None:
        """Initialize from the columns.

        Args:
            widths: of the columns before the text.
        """
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._widths = widths

    def row(self, *cells: str, style: str = "", wrap: bool = True) -> None:
        """Write a row: a cell for each column, and the text.

        Args:
            cells: one for each column, and the text.
            style: of the first cell.
            wrap: whether the text may be wrapped.
        """
        *heads, text = map(printable, cells)
        first, *others = (each.ljust(width) for each, width in zip(heads, self._widths))
        column = sum(self._widths)
        lines = (self._wrapped(text, column) if wrap else [text]) or [""]
        self._print((first, style), ("".join(others), ""), (lines[0], ""))
        for line in lines[1:]:
            self._print((" " * column + line, ""))

    def advice(self, text: str, commands: Iterable[str]) -> None:
        """Write advice below a row, and commands in lines that can be copied."""
        column = sum(self._widths)
        for line in self._wrapped(in_options(text), column):
            self._print((" " * column, ""), (line, "cyan"))
        lines = [printable(command) for command in commands]
        for line in ["", *lines, ""] if lines else []:
            self._print((line, "bold"))

    def text(self, text: str, style: str = "") -> None:
        """Write a paragraph, wrapped."""
        for line in self._wrapped(printable(text), 0):
            self._print((line, style))

    def line(self, text: str, style: str = "") -> None:
        """Write a line unwrapped; an empty one separates."""
        self._print((printable(text), style))

    def _wrapped(self, text: str, column: int) -> "list[str]":
        width = max(_NARROWEST, self._console.width - column)
        return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)

    def _print(self, *pieces: "tuple[str, str]") -> None:
        text = Styled.assemble(*pieces)
        text.rstrip()
        with self._console.capture() as captured:
            self._console.print(text, soft_wrap=True)
        write(captured.get())
