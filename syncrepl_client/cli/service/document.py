# SPDX-License-Identifier: BSD-3-Clause
"""A file in TOML, and the lines of its keys."""

import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Optional

from ...entries.printable import printable

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Path = tuple[str, ...]
"""The names of the tables that a key is in, and of the key."""

_LARGEST = 1 << 18
_AT_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


class Mistake(NamedTuple):
    """A mistake in the file.

    Attributes:
        path: the key; empty where it is not known.
        text: what is wrong.
        line: the line; 0 where it is not known.
    """

    path: Path
    text: str
    line: int = 0


class Invalid(Exception):
    """The file can't be used.

    Attributes:
        lines: the mistakes, in the order of their lines, each with file, line and key.
    """

    def __init__(self, file: str, mistakes: Iterable[Mistake]) -> None:
        """Initialize from the mistakes, with their lines."""
        self.lines = [_described(file, each) for each in sorted(mistakes, key=_by_line)]
        super().__init__("\n".join(self.lines))


def _by_line(mistake: Mistake) -> int:
    return mistake.line


def _described(file: str, mistake: Mistake) -> str:
    where = f"{file}:{mistake.line}" if mistake.line else file
    key = ".".join(map(_key, mistake.path))
    return printable(": ".join(filter(None, (where, key, mistake.text))))


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else repr(name)


class Document:
    """The contents of a file.

    Attributes:
        file: its name.
        table: the contents.
    """

    def __init__(self, file: str) -> None:
        """Read *file*.

        Raises:
            Invalid: it can't be read, or is not TOML.
        """
        self.file = file
        try:
            with open(file, "rb") as stream:
                octets = stream.read(_LARGEST + 1)
            if len(octets) > _LARGEST:
                raise Invalid(file, [Mistake((), f"it has more than {_LARGEST} bytes")])
            self._text = octets.decode().replace("\r\n", "\n")
            self.table: dict[str, Any] = tomllib.loads(self._text)
        except OSError as error:
            raise Invalid(file, [Mistake((), f"it can't be read: {error.strerror}")]) from None
        except UnicodeDecodeError:
            raise Invalid(file, [Mistake((), "it is not UTF-8")]) from None
        except tomllib.TOMLDecodeError as error:
            raise Invalid(file, [self._syntax(str(error))]) from None

    def _syntax(self, said: str) -> Mistake:
        found = _AT_LINE.search(said)
        line = int(found[1]) if found and found[1] else self._text.count("\n") + 1
        return Mistake((), f"not TOML: {_AT_LINE.sub('', said)}", line)

    def invalid(self, mistakes: Iterable[Mistake]) -> Invalid:
        """Return the error for *mistakes*, and look up the lines that are not known."""
        known = (each._replace(line=each.line or self.line_of(each.path)) for each in mistakes)
        return Invalid(self.file, known)

    def line_of(self, path: Sequence[str]) -> int:
        """Return the line in which the key *path* begins; of a missing key, that of its table.

        A table begins in the first line that is about it.  The parser itself is asked: a key begins
        after the last lines that are TOML without it.
        """
        while path and not _has(self.table, path):
            path = path[:-1]
        if not path:
            return 0
        lines = self._text.split("\n")
        without, having = 0, len(lines)
        while True:
            middle = (without + having) // 2
            for number in sorted(range(without + 1, having), key=lambda n: abs(n - middle)):
                table = _parsed("\n".join(lines[:number]))
                if table is not None:
                    break
            else:  # what is between them is no TOML: a value of several lines
                return without + 1
            if _has(table, path):
                having = number
            else:
                without = number


def _parsed(text: str) -> Optional[dict[str, Any]]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _has(table: Any, path: Sequence[str]) -> bool:
    for name in path:
        if not isinstance(table, dict) or name not in table:
            return False
        table = table[name]
    return True
