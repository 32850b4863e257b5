# SPDX-License-Identifier: BSD-3-Clause
"""The interface between the protocol and a store: a read-only view, and the UUIDs of a refresh."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple, Optional, Protocol


class Record(NamedTuple):
    """An entry as a store keeps it; *attrs* as encoded by :func:`.attributes.encode`."""

    uuid: bytes
    key: bytes
    dn: str
    attrs: bytes


class View(Protocol):
    """Access to the entries of a store; read-only except for :meth:`tell_apart`."""

    @property
    def namesakes(self) -> Collection[bytes]:
        """Keys of the names that the server distinguishes by their spelling alone."""

    def tell_apart(self, name: bytes) -> None:
        """Add the key *name* to :attr:`namesakes`, in the open transaction.

        This changes what :meth:`key` returns for the entries with that name, and for all entries
        below them; the caller must store these with their new keys.
        """

    def key(self, name: str) -> bytes:
        """Return the key of the DN *name* in this store; raise ValueError if it is not a DN."""

    def get(self, uuid: bytes) -> Optional[Record]:
        """Return the entry with that UUID; None if there is none."""

    def at(self, key: bytes) -> Optional[Record]:
        """Return the entry with that key (see :mod:`.entries.dn`); None if there is none."""

    def below(self, key: bytes, *, reverse: bool = False) -> Iterator[Record]:
        """Yield the entries whose keys start with *key*, except *key* itself, in order of key.

        Whether changes made during the iteration are seen is undefined.
        """

    def prefetch(self, places: Mapping[bytes, bytes]) -> None:
        """Read entries that will be asked for next in one go; *places* maps UUIDs to keys."""

    def has_displaced(self) -> bool:
        """Return True if there is a displaced entry."""

    def __len__(self) -> int:
        """Return the number of live entries."""


class SeenUUIDs(Protocol):
    """The UUIDs that the server sent in this refresh, and what it said about them.

    The store implements it, so that memory does not grow with the directory.
    """

    def mark_present(self, uuids: Iterable[bytes]) -> None:
        """Mark entries as present: they exist, but their DNs were not sent."""

    def mark_placed(self, uuid: bytes) -> None:
        """Mark an entry as placed: it was sent, and is stored under the DN that it has now."""

    def mark_deleted(self, uuids: Iterable[bytes]) -> None:
        """Mark entries as deleted; those that the store does not have need no mark."""

    def is_placed(self, uuid: bytes) -> bool:
        """Return True if :meth:`mark_placed` was the last mark of *uuid*."""

    def is_deleted(self, uuid: bytes) -> bool:
        """Return True if :meth:`mark_deleted` was the last mark of *uuid*, which is stored."""

    def any_unknown(self) -> bool:
        """Return True if an entry is marked as present that the store does not have."""

    def to_delete(self, *, unseen: bool) -> Iterator[Record]:
        """Yield the stored entries to delete: marked as deleted, or, with *unseen*, not marked."""

    def count_to_delete(self, *, unseen: bool) -> int:
        """Return how many live entries :meth:`to_delete` yields."""

    def clear(self) -> None:
        """Begin a refresh: remove all marks.

        If the store is empty, all that is put from then on counts as placed.
        """
