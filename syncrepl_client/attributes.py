# SPDX-License-Identifier: BSD-3-Clause
"""Attributes: their stored form, when two sets are the same, which were asked for."""

import json
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import chain

from .exceptions import StoreInvalid
from .messages import Attributes

_dumps = json.JSONEncoder(separators=(",", ":")).encode
_SHAPES, _SHORT = 1024, 4096
"""So many heads, and only so long ones, are remembered: entries of a kind share theirs."""


def encode(attrs: Attributes) -> bytes:
    """Return *attrs* as one byte string: a line of JSON, and the values.

    The line is an array of names, each followed by the number of its values.  After a line
    with their length, all values follow, separated by NUL.  Where a value has a NUL in it, the
    line is an object, names to the lengths of their values, and those follow as they are (and
    so it is with every entry in stores of formats 1 and 2).
    """
    values = list(chain.from_iterable(attrs.values()))
    body = b"\0".join(values)
    if body.count(b"\0") == len(values) - 1:
        head = _head if len(attrs) < _SHORT // 32 else _head.__wrapped__
        return b"%b%d\n%b" % (head(tuple(attrs), tuple(map(len, attrs.values()))), len(body), body)
    lengths = {name: [len(value) for value in values] for name, values in attrs.items()}
    return _dumps(lengths).encode() + b"\n" + b"".join(values)


@lru_cache(_SHAPES)
def _head(names: tuple[str, ...], counts: tuple[int, ...]) -> bytes:
    return _dumps(list(chain.from_iterable(zip(names, counts)))).encode() + b"\n"


def decode(blob: bytes) -> Attributes:
    """Return the attributes that :func:`encode` made *blob* of.

    Raises:
        StoreInvalid: *blob* is not such a byte string; the store is damaged.
    """
    if blob[:1] != b"[":
        return _decode_lengths(blob)
    parts = blob.split(b"\n", 2)
    if len(parts) != 3:
        raise StoreInvalid("the attributes of an entry in the store are damaged: cut off")
    head, size, body = parts
    names, total = (_shape if len(head) < _SHORT else _shape.__wrapped__)(head)
    values = body.split(b"\0")
    if len(values) != total or size != b"%d" % len(body):
        raise StoreInvalid("the attributes of an entry in the store are damaged: wrong length")
    return {name: values[start:end] for name, start, end in names}


@lru_cache(_SHAPES)
def _shape(head: bytes) -> tuple[tuple[tuple[str, int, int], ...], int]:
    """Return the names in a *head*, each with where its values begin and end, and their number."""
    shape: list[tuple[str, int, int]] = []
    start = 0
    try:
        items = json.loads(head)
        for name, count in zip(items[::2], items[1::2]):
            if type(name) is not str or type(count) is not int or count < 0:
                raise ValueError(f"{name!r} with {count!r} values")
            shape.append((name, start, start + count))
            start += count
        if len(items) % 2 or len({name for name, _, _ in shape}) != len(shape):
            raise ValueError("names do not pair with numbers")
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreInvalid(
            f"the attributes of an entry in the store are damaged: {error}"
        ) from error
    return tuple(shape), start


def _decode_lengths(blob: bytes) -> Attributes:
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
    if one is other or one == other:
        return True
    if one.keys() == other.keys():
        for name, values in one.items():
            if values != other[name] and sorted(values) != sorted(other[name]):
                lower = name.lower()
                if sum(each.lower() == lower for each in one) == 1:
                    return False
                break  # it is there in another spelling too, and may have the rest
        else:
            return True
    return canonical(one) == canonical(other)


def changed(old: Attributes, new: Attributes) -> list[str]:
    """Return the names of the attributes that differ, as they are written."""
    before, after = canonical(old), canonical(new)
    names = {name.lower(): name for name in (*old, *new)}
    return [name for lower, name in names.items() if before.get(lower) != after.get(lower)]


def canonical(attrs: Attributes) -> dict[str, list[bytes]]:
    """Return *attrs* with names in lower case, each once, and values in order."""
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
