# SPDX-License-Identifier: BSD-3-Clause
"""Values of keys: functions that check and convert one, and a table that is read key by key.

The functions raise ValueError, whose message says what belongs there, without the value of a key
that may be a secret.
"""

import os
import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any, Callable, Optional, TypeVar, Union

import click

from ...exceptions import ConfigurationError
from ...sinks.relay import NAME
from .. import parameters
from .document import Mistake, Path

T = TypeVar("T")

_SECRET = re.compile(r"(?i)passw|passphrase|secret|token|credential|bindpw|api_?key")
_PLACES = ("_file", "_variable")
"""How the keys end that say where a secret is."""


class Table:
    """A table of the file, read key by key; what is not read in the end is a mistake.

    Attributes:
        path: where the table is.
        values: the table.
    """

    def __init__(self, path: Path, values: object, mistakes: list[Mistake]) -> None:
        """Initialize.

        Args:
            path: where the table is.
            values: the table.
            mistakes: the list to which mistakes are added.
        """
        self.path = path
        self._mistakes = mistakes
        self._known: dict[str, None] = {}
        self.values: Mapping[str, Any] = {}
        if isinstance(values, dict):
            self.values = values
        else:
            self.mistake((), "this is a table")

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def get(
        self, name: str, convert: Callable[[Any], T], default: T, *, required: bool = False
    ) -> T:
        """Return the value of a key; the default if it is missing, or wrong.

        Args:
            name: the key.
            convert: checks and converts the value.
            default: the value of a missing key.
            required: whether a missing key is a mistake.
        """
        self._known[name] = None
        if name not in self.values:
            if required:
                self.mistake((), f"the key {name} is missing")
            return default
        try:
            return convert(self.values[name])
        except (ValueError, ConfigurationError) as error:
            self.mistake((name,), str(error))
        except click.ClickException as error:
            self.mistake((name,), error.message)
        return default

    def table(self, name: str) -> "Table":
        """Return a table in this one; an empty one if it is missing."""
        self._known[name] = None
        return Table((*self.path, name), self.values.get(name, {}), self._mistakes)

    def tables(self, name: str) -> dict[str, "Table"]:
        """Return the tables in a table of this one, whose names are the user's."""
        names = self.table(name)
        for each in names.values:
            names._known[each] = None
            if not NAME.fullmatch(each):
                names.mistake((each,), "a name is up to 64 letters, digits, '.', '_' and '-'")
        return {each: names.table(each) for each in names.values}

    def mistake(self, path: Path, text: str) -> None:
        """Add a mistake; *path* is that of the key in this table."""
        self._mistakes.append(Mistake((*self.path, *path), text))

    @property
    def is_well(self) -> bool:
        """Whether there is no mistake in this table."""
        depth = len(self.path)
        return not any(each.path[:depth] == self.path for each in self._mistakes)

    def end(self) -> None:
        """Add a mistake for each key that was not asked for."""
        for name in self.values:
            if name not in self._known:
                self.mistake((name,), self._unknown(name))

    def _unknown(self, name: str) -> str:
        if _SECRET.search(name) and not name.endswith(_PLACES):
            places = [each for each in self._known if each.endswith(_PLACES)]
            return f"secrets are not written here: use {' or '.join(places) or 'a file'}"
        near = get_close_matches(name, self._known, n=1)
        return "unknown key" + (f": did you mean {near[0]}?" if near else "")


# --- converters


def text(value: Any) -> str:
    """Return a string that is not empty."""
    if type(value) is not str or not value:
        raise ValueError("this is a string that is not empty")
    return value


def flag(value: Any) -> bool:
    """Return a boolean."""
    if type(value) is not bool:
        raise ValueError("this is true or false")
    return value


def whole(least: int) -> Callable[[Any], int]:
    """Return a converter for integers of at least *least*."""

    def convert(value: Any) -> int:
        if type(value) is not int or value < least:
            raise ValueError(f"this is an integer, {least} or more")
        return value

    return convert


def number(value: Any) -> float:
    """Return a number above 0."""
    if type(value) not in (int, float) or not value > 0:
        raise ValueError("this is a number above 0")
    return float(value)


def seconds(value: Any) -> float:
    """Return a time in seconds; in the file it is a number, or a string with a unit."""
    if type(value) in (int, float):
        return parameters.duration(str(value))
    return parameters.duration(text(value))


def one_of(*choices: str) -> Callable[[Any], str]:
    """Return a converter for one of some strings."""

    def convert(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"this is one of {', '.join(map(repr, choices))}")
        return str(value)

    return convert


def texts(value: Any) -> list[str]:
    """Return a list of strings."""
    if not isinstance(value, list):
        raise ValueError("this is a list of strings")
    return [text(each) for each in value]


def file(value: Any) -> str:
    """Return the absolute path of a file that can be read."""
    path = os.path.abspath(text(value))
    try:
        with open(path, "rb"):
            return path
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}") from None


def max_deletes(value: Any) -> Union[int, float, None]:
    """Return the limit of deletes; in the file it is a number, or a string such as ``"50%"``."""
    return parameters.max_deletes(str(value) if type(value) is int else text(value))


def address(value: Any) -> tuple[str, int]:
    """Return host and port; in the file it is a port, or a string."""
    return parameters.address(str(value) if type(value) is int else text(value))


def reference(value: Any) -> Any:
    """Return what ``MODULE:NAME`` names."""
    return parameters.reference(text(value))


def options(value: Any) -> dict[str, Any]:
    """Return a table whose keys are another system's; no secret is among them."""
    if not isinstance(value, dict):
        raise ValueError("this is a table")
    secret = next(filter(_SECRET.search, _names(value)), None)
    if secret is not None:
        raise ValueError(f"{secret}: secrets are not written here")
    return value


def _names(table: Mapping[str, Any]) -> Collection[str]:
    below = (_names(each) for each in table.values() if isinstance(each, dict))
    return [*table, *(name for names in below for name in names)]


def by_type(kind: type) -> Callable[[Any], Any]:
    """Return the converter for the type of an option of a sink."""
    converters: Mapping[type, Optional[Callable[[Any], Any]]] = {
        str: text, int: whole(0), float: number, bool: flag, dict: options,
    }  # fmt: skip
    return converters.get(kind) or text
