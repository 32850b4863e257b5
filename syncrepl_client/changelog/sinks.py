# SPDX-License-Identifier: BSD-3-Clause
"""Sinks: readers of the log that pass the changes on, and their positions in it.

A sink got all changes up to its *position*, except those that are *parked*: changes that it refused
permanently, and the later changes of the same entries, which must not overtake them.  The log keeps
the changes that a sink did not get, and those it parked, up to the limit ``for_sinks`` of
:class:`.Changelog`.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple, Optional

from .tables import ParkedRow, SinkRow, Tables


class SinkState(NamedTuple):
    """The state of a sink.

    Attributes:
        name: the name of the sink.
        position: the sequence number of the last change that it got or parked; 0: none yet.
        moved: when the position was stored, in seconds of Unix time.
        behind: how many changes it did not get yet.
        age: seconds since the first of these was logged; None if there are none.
        parked: how many changes are parked.
        lost: how many changes it did not get, and can't get any more, because the sink was given
            up and the log does not keep them.
    """

    name: str
    position: int
    moved: float
    behind: int
    age: Optional[float]
    parked: int
    lost: int


class Parked(NamedTuple):
    """A parked change.

    Attributes:
        sink: the name of the sink.
        seq: the sequence number of the change.
        uuid: the entryUUID, as 16 bytes.
        time: when it was parked, in seconds of Unix time.
        reason: why.
        released: whether the sink is to try it again.
    """

    sink: str
    seq: int
    uuid: bytes
    time: float
    reason: str
    released: bool


class Sinks:
    """The sinks of a log.

    In a callback, methods write in the open transaction, which commits their changes with it.
    Otherwise they commit before they return.
    """

    def __init__(self, tables: Tables) -> None:
        """Initialize from the tables of a log."""
        self._tables = tables

    def __iter__(self) -> Iterator[SinkState]:
        """Iterate over the sinks, ordered by name."""
        with self._tables.snapshot():
            return iter([self._sink(row) for row in self._tables.sinks()])

    def __getitem__(self, name: str) -> SinkState:
        """Return a sink.

        Raises:
            KeyError: there is no sink of that name.
        """
        with self._tables.snapshot():
            return self._sink(self._row(name))

    def __contains__(self, name: object) -> bool:
        return any(row.name == name for row in self._tables.sinks())

    def transaction(self) -> AbstractContextManager[None]:
        """Return a context manager: what is written in it is committed together at its end."""
        return self._tables.transaction()

    def add(self, name: str, position: Optional[int] = None) -> None:
        """Add a sink; do nothing if there is one of that name.

        Args:
            name: the name of the sink.
            position: the sequence number of the change before its first one; 0 for all that are
                kept, None for those that come from now on.
        """
        with self._tables.transaction():
            if name not in self:
                newest = self._tables.newest()
                if position is None:
                    position = newest.seq if newest is not None else 0
                self._tables.put_sink(SinkRow(name, position, time.time()))

    def move(self, name: str, position: int) -> None:
        """Store that the sink got or parked all changes up to *position*.

        Raises:
            KeyError: there is no sink of that name.
        """
        with self._tables.transaction():
            self._row(name)
            self._tables.put_sink(SinkRow(name, position, time.time()))

    def remove(self, name: str) -> None:
        """Remove a sink and its parked changes.

        Raises:
            KeyError: there is no sink of that name.
        """
        with self._tables.transaction():
            self._row(name)
            self._tables.remove_sink(name)

    # --- parked changes

    def park(self, name: str, seq: int, uuid: bytes, reason: str) -> None:
        """Park a change.

        Args:
            name: the name of the sink.
            seq: the sequence number of the change.
            uuid: the entryUUID, as 16 bytes.
            reason: why, without attribute values and passwords.

        Raises:
            KeyError: there is no sink of that name.
        """
        with self._tables.transaction():
            self._row(name)
            row = ParkedRow(name, seq, uuid, time.time(), reason, released=False)
            self._tables.put_parked([row])

    def parked(self, name: Optional[str] = None, *, uuid: Optional[bytes] = None) -> list[Parked]:
        """Return parked changes, ordered by sink and sequence number.

        Args:
            name: only those of that sink.
            uuid: only those of that entry.
        """
        return [Parked(*row) for row in self._parked(name, uuid)]

    def release(self, name: str, *, uuid: Optional[bytes] = None) -> int:
        """Mark parked changes, of all entries or one, for another try; return their number.

        They stay parked until :meth:`drop` removes them.
        """
        return self._mark(name, uuid, released=True)

    def hold(self, name: str, *, uuid: Optional[bytes] = None) -> int:
        """Undo :meth:`release`, for all entries or one; return the number of parked changes."""
        return self._mark(name, uuid, released=False)

    def _mark(self, name: str, uuid: Optional[bytes], *, released: bool) -> int:
        with self._tables.transaction():
            rows = self._parked(name, uuid)
            self._tables.put_parked([row._replace(released=released) for row in rows])
        return len(rows)

    def drop(self, name: str, *, uuid: Optional[bytes] = None, seq: Optional[int] = None) -> int:
        """Remove parked changes: all, those of one entry, or a single one; return their number."""
        with self._tables.transaction():
            rows = [row for row in self._parked(name, uuid) if seq in (None, row.seq)]
            self._tables.remove_parked(rows)
        return len(rows)

    def _parked(self, name: Optional[str], uuid: Optional[bytes]) -> list[ParkedRow]:
        rows = self._tables.parked()
        return [row for row in rows if name in (None, row.sink) and uuid in (None, row.uuid)]

    def _row(self, name: str) -> SinkRow:
        for row in self._tables.sinks():
            if row.name == name:
                return row
        raise KeyError(name)

    def _sink(self, row: SinkRow) -> SinkState:
        newest, following = self._tables.newest(), self._tables.marks(row.position, 1)
        last = newest.seq if newest is not None else 0
        first = self._tables.marks(0, 1)
        lost = max(0, first[0].seq - 1 - row.position) if first else 0
        age = max(0.0, time.time() - following[0].time) if following else None
        parked = len(self._parked(row.name, None))
        return SinkState(*row, max(0, last - row.position), age, parked, lost)


def holding(tables: Tables, oldest: int) -> Iterator[tuple[str, int]]:
    """Yield the sinks that lost no change, each with the last row that it does not need any more.

    Args:
        tables: the tables of the log.
        oldest: the sequence number of the first row that is kept.
    """
    positions = {sink.name: sink.position for sink in tables.sinks()}
    for row in tables.parked():
        positions[row.sink] = min(positions[row.sink], row.seq - 1)
    for name, position in positions.items():
        if position >= oldest - 1:
            yield name, position
