# SPDX-License-Identifier: BSD-3-Clause
"""LDIF records (RFC 2849) as text.

They are what python-ldap's ``LDIFWriter`` writes, byte by byte, except that values with control
characters are in base64 too: RFC 2849 allows them, but parsers strip them off as white space, and
terminals obey.
"""

import re
from binascii import b2a_base64
from collections.abc import Collection, Iterable
from itertools import chain
from typing import Optional

from ..entries import descriptions
from ..entries.attributes import Attributes
from ..exceptions import StoreInvalid

COLUMNS = 76
"""The maximum length of a line; longer ones are folded."""

_Pairs = Iterable[tuple[str, Iterable[bytes]]]
_needs_no_base64 = re.compile(rb"(?:[!-9;=-~][ -~]*(?<! ))?").fullmatch
"""Printable ASCII that neither starts with space, colon or less-than nor ends with space."""


def content(dn: str, attrs: Attributes) -> str:
    """Return the content record of an entry, its attributes sorted by name.

    Raises:
        StoreInvalid: the name of an attribute is not an attribute description: as LDIF it could be
            lines of another record.
    """
    _check(dn, attrs)
    return _record(dn, sorted(attrs.items()))


def add(dn: str, attrs: Attributes) -> str:
    """Return the change record that adds an entry.

    Raises:
        StoreInvalid: as :func:`content`.
    """
    _check(dn, attrs)
    return _record(dn, chain((("changetype", (b"add",)),), attrs.items()))


def delete(dn: str) -> str:
    """Return the change record that deletes an entry."""
    return _record(dn, (("changetype", (b"delete",)),))


def modify(dn: str, modifications: Collection[tuple[str, str, Iterable[bytes]]]) -> str:
    """Return the change record with *modifications*: what to do, to which attribute, and values.

    Raises:
        StoreInvalid: as :func:`content`.
    """
    _check(dn, [name for _, name, _ in modifications])
    lines = _lines((("dn", (dn.encode(),)), ("changetype", (b"modify",))))
    for how, name, values in modifications:
        lines += _lines(((how, (name.encode(),)), (name, values)))
        lines.append("-")
    return "\n".join([*lines, "\n"])


def modrdn(dn: str, rdn: str, superior: Optional[str], *, delete_old: bool) -> str:
    """Return the change record that renames an entry; below *superior*, if that is not None."""
    pairs = {"changetype": "modrdn", "newrdn": rdn, "deleteoldrdn": str(int(delete_old))}
    if superior is not None:
        pairs["newsuperior"] = superior
    return _record(dn, [(name, (value.encode(),)) for name, value in pairs.items()])


def _check(dn: str, names: Collection[str]) -> None:
    for name in descriptions.invalid(names):
        raise StoreInvalid(
            f"no LDIF can be written of {dn!r}: an attribute is called {name!r}, which no "
            "schema allows (RFC 4512, 2.5)"
        )


def _record(dn: str, pairs: _Pairs) -> str:
    return "\n".join([*_lines(chain((("dn", (dn.encode(),)),), pairs)), "\n"])


def _lines(pairs: _Pairs) -> list[str]:
    lines: list[str] = []
    for name, values in pairs:
        for value in values:
            if _needs_no_base64(value):
                line = f"{name}: {value.decode()}"
            else:
                line = f"{name}:: {b2a_base64(value, newline=False).decode()}"
            lines.append(line if len(line) <= COLUMNS else _folded(line))
    return lines


def _folded(line: str) -> str:
    starts = range(COLUMNS, len(line), COLUMNS - 1)  # the space counts
    return "\n ".join([line[:COLUMNS], *(line[at : at + COLUMNS - 1] for at in starts)])
