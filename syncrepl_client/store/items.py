# SPDX-License-Identifier: BSD-3-Clause
"""The live entries of a store, as a read-only mapping."""

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import Optional, Protocol

from ..entries import attributes
from ..entries.attributes import Attributes
from ..protocol.view import Record


class Readable(Protocol):
    """A store, or a reader of one: entries by DN."""

    def key(self, name: str) -> bytes:
        """Return the key of the DN *name* there; raise ValueError if it is not a valid DN."""

    def at(self, key: bytes) -> Optional[Record]:
        """Return the entry with that key; None if there is none."""

    def live(self) -> Iterator[Record]:
        """Yield the live entries, in order of key."""

    def __len__(self) -> int:
        """Return the number of live entries."""


class Items(Mapping[str, Attributes]):
    """A mapping of DNs to attributes over the live entries of a store."""

    def __init__(self, store: Readable) -> None:
        """Initialize from a store or its reader."""
        self._store = store

    def __getitem__(self, name: str) -> Attributes:
        try:
            key = self._store.key(name)
        except (ValueError, TypeError, AttributeError):
            raise KeyError(name) from None
        record = self._store.at(key)
        if record is None:
            raise KeyError(name)
        return attributes.decode(record.attrs)

    def __iter__(self) -> Iterator[str]:
        return (record.dn for record in self._store.live())

    def __len__(self) -> int:
        return len(self._store)

    def items(self) -> ItemsView[str, Attributes]:
        """Return a view of the (DN, attributes) pairs that reads each entry once."""
        return _Pairs(self)

    def values(self) -> ValuesView[Attributes]:
        """Return a view of the attributes that reads each entry once."""
        return _Values(self)

    def pairs(self) -> Iterator[tuple[str, Attributes]]:
        """Yield DN and attributes of each entry, parents before children."""
        decode = attributes.decode
        return ((record.dn, decode(record.attrs)) for record in self._store.live())

    def __repr__(self) -> str:
        return f"<{len(self)} entries>"


class _Pairs(ItemsView[str, Attributes]):
    _mapping: Items

    def __iter__(self) -> Iterator[tuple[str, Attributes]]:
        return self._mapping.pairs()


class _Values(ValuesView[Attributes]):
    _mapping: Items

    def __iter__(self) -> Iterator[Attributes]:
        return (attrs for _, attrs in self._mapping.pairs())

    def __contains__(self, value: object) -> bool:
        return any(value == attrs for attrs in self)
