# SPDX-License-Identifier: BSD-3-Clause
"""What the pure core may see of a store: a narrow view, and a scratch pad."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Optional, Protocol


class Record(NamedTuple):
    """An entry as it is stored; *attrs* in the form of :func:`attributes.encode`."""

    uuid: bytes
    key: bytes
    dn: str
    attrs: bytes


class View(Protocol):
    """What the protocol may see of a store."""

    def get(self, uuid: bytes) -> Optional[Record]:
        """Return the entry *uuid*."""

    def at(self, key: bytes) -> Optional[Record]:
        """Return the entry with that key."""

    def below(self, key: bytes, *, reverse: bool = False) -> Iterator[Record]:
        """Yield the entries whose key begins with *key*, itself excluded, in order of key.

        The store may change meanwhile; whether that shows is not defined.
        """

    def expect(self, places: Mapping[bytes, bytes]) -> None:
        """Hear what is asked for next, UUIDs and keys, so as to read it at once."""

    def has_displaced(self) -> bool:
        """Say whether any entry is displaced."""

    def __len__(self) -> int:
        """Return the number of live entries."""


class Named(Protocol):
    """The UUIDs that a refresh has named so far, kept where memory need not grow for them."""

    def present(self, uuids: Iterable[bytes]) -> None:
        """Note that these exist, without their DNs."""

    def placed(self, uuid: bytes) -> None:
        """Note that this one exists, and has the DN that the store has for it."""

    def gone(self, uuids: Iterable[bytes]) -> None:
        """Note that these are gone."""

    def is_placed(self, uuid: bytes) -> bool:
        """Say whether :meth:`placed` was the last word on *uuid*."""

    def unknown(self) -> bool:
        """Say whether one was named as present that the store doesn't have."""

    def leavers(self, *, unnamed: bool) -> Iterator[Record]:
        """Yield the stored entries noted as gone, and the *unnamed* ones; children first."""

    def count_leavers(self, *, unnamed: bool) -> int:
        """Return how many of :meth:`leavers` are live entries: what a refresh would delete."""

    def clear(self) -> None:
        """Forget everything."""
