# SPDX-License-Identifier: BSD-3-Clause
"""Reports for people to read: a word, what it is about, and what is said of it, in columns."""

import json
import sys
import textwrap
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text as Styled

from .errors import ReaderGone
from .terminal import in_options, printable

_NARROWEST = 40


def write_json(members: "dict[str, Any]") -> None:
    """Write a JSON object on a line."""
    # The only control character that JSON lets through.
    write(json.dumps(members).replace("\x7f", "\\u007f") + "\n")


def write(text: str) -> None:
    """Write *text* to stdout.

    Raises:
        ReaderGone: nobody reads it any more.
    """
    try:
        sys.stdout.write(text)
    except BrokenPipeError:  # which click and rich would take for a reason to exit with 1
        raise ReaderGone from None


def counted(number: int, one: str, many: str = "") -> str:
    """Return *number* with what there is so many of; *many* is the plural, if not in ``-s``."""
    what = one if number == 1 else many or f"{one}s"
    return f"{number:,} {what}" if number else f"no {what}"


class Report:
    """Writes to stdout; coloured on a terminal, without NO_COLOR."""

    def __init__(self, *widths: int) -> None:
        """Begin.

        Args:
            widths: of the columns before the text.
        """
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._widths = widths

    def row(self, *cells: str, style: str = "", wrap: bool = True) -> None:
        """Write one row: a cell for each column, and the text.

        Args:
            cells: as many as there are columns, and the text.
            style: of the first cell.
            wrap: whether the text may be broken between words.
        """
        *heads, text = map(printable, cells)
        first, *others = (each.ljust(width) for each, width in zip(heads, self._widths))
        column = sum(self._widths)
        lines = (self._wrapped(text, column) if wrap else [text]) or [""]
        self._print((first, style), ("".join(others), ""), (lines[0], ""))
        for line in lines[1:]:
            self._print((" " * column + line, ""))

    def advice(self, text: str, commands: Iterable[str]) -> None:
        """Write what to do, below a row, and the commands as they are to be typed or pasted."""
        column = sum(self._widths)
        for line in self._wrapped(in_options(text), column):
            self._print((" " * column, ""), (line, "cyan"))
        lines = [printable(command) for command in commands]
        for line in ["", *lines, ""] if lines else []:
            self._print((line, "bold"))

    def text(self, text: str, style: str = "") -> None:
        """Write a paragraph, which is wrapped."""
        for line in self._wrapped(printable(text), 0):
            self._print((line, style))

    def line(self, text: str, style: str = "") -> None:
        """Write a line as it is; an empty one separates."""
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
