# SPDX-License-Identifier: BSD-3-Clause
"""The database tables of a log of changes, as an interface.

A store implements it in the SQL of its database; everything else about the log is in this package.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple, Optional

from .policy import Changelog
from .rows import Row


class Mark(NamedTuple):
    """The position of a row: sequence number, time, and the size of all rows up to it."""

    seq: int
    time: float
    total: int


class SinkRow(NamedTuple):
    """A sink: the last change that it got, when that was stored, and how many it has lost."""

    name: str
    position: int
    moved: float
    lost: int


class ParkedRow(NamedTuple):
    """A parked change, or a parked entry of a snapshot, whose identifier is *snapshot*."""

    sink: str
    seq: int
    uuid: bytes
    time: float
    reason: str
    released: bool
    snapshot: bytes


class SnapshotRow(NamedTuple):
    """A snapshot that a sink is to get: the last entry that it got, and how many it got."""

    sink: str
    id: bytes
    cursor: bytes
    sent: int


class Tables(ABC):
    """The tables of a log: rows, settings, sinks, and parked changes.

    Writing methods need an open transaction: see :meth:`transaction`.
    """

    @property
    @abstractmethod
    def exist(self) -> bool:
        """Whether the store has these tables."""

    @abstractmethod
    def create(self) -> None:
        """Create the tables."""

    @abstractmethod
    def drop(self) -> None:
        """Drop the tables."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """Return a context manager for writing: in the open transaction, or in one of its own."""

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[None]:
        """Return a context manager for reading, in which all statements see the same commit."""

    @abstractmethod
    def settings(self) -> Optional[str]:
        """Return the encoded settings, see :meth:`.Changelog.encode`; None if there are none."""

    @abstractmethod
    def set(self, settings: str) -> None:
        """Store encoded settings."""

    # --- rows

    @abstractmethod
    def append(self, row: Row) -> None:
        """Write a row, with the next sequence number."""

    @abstractmethod
    def restore(self, row: Row) -> None:
        """Write a row, with the sequence number that it has, after all others."""

    @abstractmethod
    def rows(
        self,
        after: int,
        before: Optional[int],
        limit: int,
        *,
        uuid: Optional[bytes] = None,
        newest: bool = False,
    ) -> list[Row]:
        """Return rows in the order of their sequence numbers.

        Args:
            after: the sequence number before the first row; 0 for all.
            before: the sequence number after the last row; None for all.
            limit: the maximum number of rows.
            uuid: only the rows of that entry.
            newest: return the last rows, in descending order.
        """

    @abstractmethod
    def marks(self, after: int, limit: int) -> list[Mark]:
        """Return the positions of up to *limit* rows after *after*, in order."""

    @abstractmethod
    def newest(self) -> Optional[Mark]:
        """Return the position of the last row; None if there are no rows."""

    @abstractmethod
    def left(self, place: int) -> Iterator[tuple[int, bytes]]:
        """Yield sequence numbers and UUIDs of the rows in which entries left *place*, in order."""

    @abstractmethod
    def changed(self, after: int) -> Iterator[bytes]:
        """Yield the UUIDs of entries that have rows after *after*, each once."""

    @abstractmethod
    def trim(self, through: int) -> None:
        """Remove the rows up to *through*."""

    @abstractmethod
    def sort(self, pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        """Yield *pairs* in order, sorted on disk."""

    # --- sinks

    @abstractmethod
    def sinks(self) -> list[SinkRow]:
        """Return the sinks, ordered by name."""

    @abstractmethod
    def put_sink(self, sink: SinkRow) -> None:
        """Insert or replace a sink."""

    @abstractmethod
    def remove_sink(self, name: str) -> None:
        """Remove a sink, its parked changes, and its snapshot."""

    @abstractmethod
    def parked(self) -> list[ParkedRow]:
        """Return the parked changes, ordered by sink and sequence number."""

    @abstractmethod
    def put_parked(self, parked: Iterable[ParkedRow]) -> None:
        """Insert or replace parked changes."""

    @abstractmethod
    def remove_parked(self, parked: Iterable[ParkedRow]) -> None:
        """Remove parked changes."""

    @abstractmethod
    def requested(self) -> list[SnapshotRow]:
        """Return the snapshots that were requested and are not complete, ordered by sink."""

    @abstractmethod
    def put_requested(self, snapshot: SnapshotRow) -> None:
        """Insert or replace the snapshot of a sink."""

    @abstractmethod
    def remove_requested(self, sink: str) -> None:
        """Remove the snapshot of a sink, if there is one."""


def settings_of(tables: Tables) -> Changelog:
    """Return the settings of a log.

    Raises:
        StoreInvalid: they are damaged.
    """
    settings = tables.settings()
    return Changelog() if settings is None else Changelog.decode(settings)
