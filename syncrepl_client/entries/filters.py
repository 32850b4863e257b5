# SPDX-License-Identifier: BSD-3-Clause
"""Search filters (RFC 4515), evaluated without a server and without its schema.

All attributes are compared as caseIgnoreMatch does (RFC 4518): case and repeated spaces do not
matter.  Values that are not text are compared byte by byte.  ``>=`` and ``<=`` compare numbers if
both values are numbers.
"""

import re
from typing import Callable, NamedTuple, Optional

from ..exceptions import ConfigurationError
from .attributes import Attributes

_ITEM = re.compile(r"([A-Za-z0-9.;-]+)(=|~=|>=|<=)([^()]*)", re.DOTALL)
_DEEPEST = 100
"""The maximum depth of nested filters."""

Predicate = Callable[[Attributes], bool]


class Filter:
    """A search filter."""

    def __init__(self, text: str) -> None:
        """Parse a filter; the outermost parentheses may be missing.

        Raises:
            ConfigurationError: it is not a filter, or has extensible matches.
        """
        self._text = text if text.startswith("(") else f"({text})"
        self._at = 0
        self._matches = self._parse(_DEEPEST)
        if self._at != len(self._text):
            raise self._invalid()

    def matches(self, attrs: Attributes) -> bool:
        """Return True if an entry with these attributes matches."""
        return self._matches(attrs)

    def _parse(self, depth: int) -> Predicate:
        self._expect("(")
        operator = self._text[self._at : self._at + 1]
        if operator in ("&", "|", "!") and depth:
            self._at += 1
            parts: list[Predicate] = []
            while self._text[self._at : self._at + 1] == "(":
                parts.append(self._parse(depth - 1))
            predicate = _combined(operator, parts)
            if predicate is None:
                raise self._invalid()
        else:
            predicate = self._item()
        self._expect(")")
        return predicate

    def _item(self) -> Predicate:
        found = _ITEM.match(self._text, self._at)
        if found is None:
            raise self._invalid()
        self._at = found.end()
        name, operator, value = found.groups()
        try:
            return _item(name.lower(), operator, value)
        except ValueError:
            raise self._invalid() from None

    def _expect(self, character: str) -> None:
        if self._text[self._at : self._at + 1] != character:
            raise self._invalid()
        self._at += 1

    def _invalid(self) -> ConfigurationError:
        return ConfigurationError(f"not a filter: {self._text!r}; write (uid=ada) or (&(...)(...))")


def _combined(operator: str, parts: list[Predicate]) -> Optional[Predicate]:
    if operator == "&":
        return lambda attrs: all(part(attrs) for part in parts)
    if operator == "|":
        return lambda attrs: any(part(attrs) for part in parts)
    if len(parts) != 1:
        return None
    (part,) = parts
    return lambda attrs: not part(attrs)


class _Bound(NamedTuple):
    """A value to compare with, which may be a number."""

    text: str
    number: Optional[int]


def _item(name: str, operator: str, value: str) -> Predicate:
    """Return the predicate of one attribute.

    Raises:
        ValueError: an escape in *value* is not valid.
    """
    if operator == "=" and value == "*":
        return lambda attrs: bool(_values(attrs, name))
    if operator in ("=", "~="):
        parts = [_normal(_unescaped(part)) for part in value.split("*")]
        pattern = re.compile(".*".join(map(re.escape, parts)), re.DOTALL)
        return lambda attrs: any(pattern.fullmatch(_normal(each)) for each in _values(attrs, name))
    bound = _bound(_unescaped(value))
    if operator == ">=":
        return lambda attrs: any(_order(_bound(each), bound) >= 0 for each in _values(attrs, name))
    return lambda attrs: any(_order(_bound(each), bound) <= 0 for each in _values(attrs, name))


def _values(attrs: Attributes, name: str) -> list[bytes]:
    """Return the values of an attribute, with any further options."""
    base, *options = name.split(";")
    found: list[bytes] = []
    for written, values in attrs.items():
        other, *others = written.lower().split(";")
        if other == base and set(options) <= set(others):
            found += values
    return found


def _unescaped(value: str) -> bytes:
    parts = re.split(r"\\", value)
    octets = parts[0].encode()
    for part in parts[1:]:
        octets += bytes.fromhex(part[:2]) + part[2:].encode()
        if len(part) < 2:
            raise ValueError(part)
    return octets


def _normal(value: bytes) -> str:
    try:
        return re.sub(" +", " ", value.decode().casefold())
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _bound(value: bytes) -> _Bound:
    text = _normal(value)
    return _Bound(text, int(text) if re.fullmatch(r"-?[0-9]{1,40}", text) else None)


def _order(one: _Bound, other: _Bound) -> int:
    if one.number is not None and other.number is not None:
        return (one.number > other.number) - (one.number < other.number)
    return (one.text > other.text) - (one.text < other.text)
