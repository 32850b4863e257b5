# SPDX-License-Identifier: BSD-3-Clause
"""Attributes: their stored form, when two sets are the same, which were asked for."""

import json
from collections.abc import Collection, Sequence
from itertools import chain

from .exceptions import StoreInvalid
from .messages import Attributes

_dumps = json.JSONEncoder(separators=(",", ":")).encode


def encode(attrs: Attributes) -> bytes:
    """Return *attrs* as one byte string: a line of JSON with the lengths, then the values."""
    lengths = {name: [len(value) for value in values] for name, values in attrs.items()}
    return b"".join(chain((_dumps(lengths).encode(), b"\n"), *attrs.values()))


def decode(blob: bytes) -> Attributes:
    """Return the attributes that :func:`encode` made *blob* of.

    Raises:
        StoreInvalid: *blob* is not such a byte string; the store is damaged.
    """
    attrs: Attributes = {}
    try:
        start = blob.index(b"\n") + 1
        for name, lengths in json.loads(blob[:start]).items():
            values: list[bytes] = []
            for length in lengths:
                if type(length) is not int or length < 0:
                    raise ValueError(f"{length!r} is no length")
                values.append(blob[start : start + length])
                start += length
            attrs[name] = values
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise StoreInvalid(
            f"the attributes of an entry in the store are damaged: {error}"
        ) from error
    if start != len(blob):
        raise StoreInvalid("the attributes of an entry in the store are damaged: wrong length")
    return attrs


def same(one: Attributes, other: Attributes) -> bool:
    """Say whether both are equal, whatever the order and the case of the names."""
    return one is other or one == other or _canonical(one) == _canonical(other)


def changed(old: Attributes, new: Attributes) -> list[str]:
    """Return the names of the attributes that differ, as they are written."""
    before, after = _canonical(old), _canonical(new)
    names = {name.lower(): name for name in (*old, *new)}
    return [name for lower, name in names.items() if before.get(lower) != after.get(lower)]


def _canonical(attrs: Attributes) -> dict[str, list[bytes]]:
    merged: dict[str, list[bytes]] = {}
    for name, values in attrs.items():
        merged.setdefault(name.lower(), []).extend(values)
    for values in merged.values():
        values.sort()
    return merged


def with_entry_dn(attrs: Attributes, dn: str) -> Attributes:
    """Return *attrs* with the operational attribute entryDN, where it is there, set to *dn*.

    entryDN (RFC 5020) is derived: it changes with an ancestor's name, and no server says so.
    """
    for name in attrs:
        if name.lower() == "entrydn":
            return {**attrs, name: [dn.encode()]}
    return attrs


class Selection:
    """The attribute list of a search (RFC 4511, 4.5.1.8)."""

    def __init__(self, requested: Sequence[str]) -> None:
        """Take the list as it stands in the search request; an empty one means ``*``."""
        names = frozenset(name.lower() for name in requested)
        self.all_user = not names or "*" in names
        self.names: frozenset[str] = names - {"*", "+", "1.1"}

    def selects_user(self, name: str) -> bool:
        """Say whether the user attribute *name*, options included, was asked for."""
        if self.all_user:
            return True
        base, *options = name.lower().split(";")
        return any(
            wanted[0] == base and set(wanted[1:]) <= set(options)
            for wanted in (each.split(";") for each in self.names)
        )

    def complete(
        self, attrs: Attributes, old: Attributes, operational: Collection[str]
    ) -> Attributes:
        """Mend what 389-ds sends on resume: too many user attributes, no operational ones.

        Args:
            attrs: as the server sent them.
            old: those of the same entry in the store.
            operational: lower-case names of the server's operational attributes.
        """
        mended = {name: values for name, values in attrs.items() if self.selects_user(name)}
        sent = {name.lower() for name in mended}
        for name, values in old.items():
            if name.lower() not in sent and name.split(";")[0].lower() in operational:
                mended[name] = values
        return mended
