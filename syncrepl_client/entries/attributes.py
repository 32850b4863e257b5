# SPDX-License-Identifier: BSD-3-Clause
"""Attributes of entries: their stored form, and comparison."""

import json
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain, compress
from operator import ne
from typing import Optional

from ..exceptions import StoreInvalid

Attributes = dict[str, list[bytes]]
"""Attributes of an entry: attribute descriptions, as the server spells them, to values."""

_dumps = json.JSONEncoder(separators=(",", ":")).encode
_SHAPES, _SHORT = 1024, 4096
"""Size of the caches, and the longest line to cache: similar entries have the same line."""


def encode(attrs: Attributes) -> bytes:
    """Encode attributes for a store: a line of JSON, and the values.

    The line is an array of attribute names, each followed by the number of its values.  A line with
    the length of all values follows, and then the values, separated by NUL.  Where a value contains
    NUL, the line is an object instead, names to lists of lengths, and the values follow without
    separators (the only form in stores of formats 1 and 2).
    """
    values = list(chain.from_iterable(attrs.values()))
    body = b"\0".join(values)
    if body.count(b"\0") == len(values) - 1:
        first = head(tuple(attrs), tuple(map(len, attrs.values())))
        return b"%b%d\n%b" % (first, len(body), body)
    lengths = {name: [len(value) for value in values] for name, values in attrs.items()}
    return _dumps(lengths).encode() + b"\n" + b"".join(values)


def head(names: tuple[str, ...], counts: tuple[int, ...]) -> bytes:
    """Return the line that :func:`encode` begins with for so many values of each name."""
    return (_head if len(names) < _SHORT // 32 else _head.__wrapped__)(names, counts)


@lru_cache(_SHAPES)
def _head(names: tuple[str, ...], counts: tuple[int, ...]) -> bytes:
    return _dumps(list(chain.from_iterable(zip(names, counts)))).encode() + b"\n"


def decode(blob: bytes) -> Attributes:
    """Decode what :func:`encode` returned.

    Raises:
        StoreInvalid: *blob* is not in that form; the store is damaged.
    """
    if blob[:1] != b"[":
        return _decode_lengths(blob)
    parts = blob.split(b"\n", 2)
    if len(parts) != 3:
        raise StoreInvalid("the attributes of an entry in the store are damaged: cut off")
    head, size, body = parts
    names, places, total = (_shape if len(head) < _SHORT else _shape.__wrapped__)(head)
    values = body.split(b"\0")
    if len(values) != total or size != b"%d" % len(body):
        raise StoreInvalid("the attributes of an entry in the store are damaged: wrong length")
    return dict(zip(names, map(values.__getitem__, places)))


@lru_cache(_SHAPES)
def _shape(head: bytes) -> tuple[tuple[str, ...], tuple[slice, ...], int]:
    """Return the names, the places of their values, and the total of values."""
    shape: dict[str, slice] = {}
    start = 0
    try:
        items = json.loads(head)
        for name, count in zip(items[::2], items[1::2]):
            if type(name) is not str or type(count) is not int or count < 0:
                raise ValueError(f"{name!r} with {count!r} values")
            shape[name] = slice(start, start + count)
            start += count
        if len(items) != 2 * len(shape):
            raise ValueError("names do not pair with numbers")
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreInvalid(
            f"the attributes of an entry in the store are damaged: {error}"
        ) from error
    return tuple(shape), tuple(shape.values()), start


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
    """Return True if both have the same values; order, and the case of names, don't matter."""
    if one is other:
        return True
    differing = list(compress(one, map(ne, one.values(), map(other.get, one))))
    if not differing and len(one) == len(other):
        return True
    for name in differing:
        if name in other and not _same_values(one[name], other[name]):
            if [*map(str.lower, (*one, *other))].count(name.lower()) == 2:
                return False
            break  # it is there in another spelling too, and may have the rest
    return canonical(one) == canonical(other)


def differing(
    old: Attributes, new: Attributes
) -> Iterator[tuple[str, Optional[list[bytes]], Optional[list[bytes]]]]:
    """Yield the attributes that differ: name, old values, new values; None where it is missing.

    Names are as spelled in *new*, else in *old*.
    """
    names = {name.lower(): name for name in (*old, *new)}
    if len(names) != len({**old, **new}):  # one name in two spellings
        old, new = (
            {names[name]: values for name, values in canonical(attrs).items()}
            for attrs in (old, new)
        )
    for name in names.values():
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if before is None or after is None or not _same_values(before, after):
            yield name, before, after


def changed(old: Attributes, new: Attributes) -> list[str]:
    """Return the names of the attributes that differ, as spelled in *new*, else in *old*."""
    return [name for name, _, _ in differing(old, new)]


def trimmed(one: list[bytes], other: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Return both lists without what they begin with, and end with, in common.

    Servers keep the order of values: of a large group, that is all but the members that changed.
    """
    shorter = min(len(one), len(other))
    start = next(compress(range(shorter), map(ne, one, other)), shorter)
    rest = range(shorter - start)
    end = next(compress(rest, map(ne, reversed(one), reversed(other))), len(rest))
    return one[start : len(one) - end], other[start : len(other) - end]


def _same_values(one: list[bytes], other: list[bytes]) -> bool:
    if len(one) != len(other) or len(one) == 1:
        return one == other
    one, other = trimmed(one, other)
    return sorted(one) == sorted(other)


def canonical(attrs: Attributes) -> dict[str, list[bytes]]:
    """Return *attrs* with names in lower case, merged, and sorted values."""
    merged: dict[str, list[bytes]] = {}
    for name, values in attrs.items():
        merged.setdefault(name.lower(), []).extend(values)
    for values in merged.values():
        values.sort()
    return merged


def with_entry_dn(attrs: Attributes, dn: str) -> Attributes:
    """Return *attrs* with the operational attribute entryDN, if present, set to *dn*.

    A server derives entryDN (RFC 5020) from the DN: it changes when an ancestor is renamed, and no
    message tells of that.
    """
    for name in attrs:
        if name.lower() == "entrydn":
            return {**attrs, name: [dn.encode()]}
    return attrs
