# SPDX-License-Identifier: BSD-3-Clause
"""Sinks: readers of the log that pass the changes on, and their positions in it.

A sink got all changes up to its *position*, except those that are *parked*: changes that it refused
permanently, and the later changes of the same entries, which must not overtake them.  The log keeps
the changes that a sink did not get, and those it parked, up to the limit ``for_sinks`` of
:class:`.Changelog`.

A *snapshot* is all entries of the store, sent to one sink between the changes: see
:mod:`.snapshots`.
"""

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple, Optional

from .tables import ParkedRow, SinkRow, SnapshotRow, Tables


class SnapshotState(NamedTuple):
    """A snapshot that a sink is to get.

    Attributes:
        id: identifies it: it is in each of its events.
        sent: how many entries the sink has got, or parked.
    """

    id: bytes
    sent: int


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
            up and the log does not keep them; since the last :meth:`Sinks.acknowledge`.
        snapshot: the snapshot that it is to get; None if it has all that was requested.
    """

    name: str
    position: int
    moved: float
    behind: int
    age: Optional[float]
    parked: int
    lost: int
    snapshot: Optional[SnapshotState]


class Parked(NamedTuple):
    """A parked change, or a parked entry of a snapshot.

    Attributes:
        sink: the name of the sink.
        seq: the sequence number of the change; of an entry, that of the last change before it was
            read.
        uuid: the entryUUID, as 16 bytes.
        time: when it was parked, in seconds of Unix time.
        reason: why.
        released: whether the sink is to try it again.
        snapshot: the identifier of the snapshot; empty for a change.
    """

    sink: str
    seq: int
    uuid: bytes
    time: float
    reason: str
    released: bool
    snapshot: bytes = b""


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

    def add(self, name: str, position: Optional[int] = None, *, snapshot: bool = False) -> None:
        """Add a sink; do nothing if there is one of that name.

        Args:
            name: the name of the sink.
            position: the sequence number of the change before its first one; 0 for all that are
                kept, None for those that come from now on.
            snapshot: whether to request a snapshot for the new sink.
        """
        with self._tables.transaction():
            if name not in self:
                newest = self._tables.newest()
                if position is None:
                    position = newest.seq if newest is not None else 0
                self._tables.put_sink(SinkRow(name, position, time.time(), 0))
                if snapshot:
                    self.request_snapshot(name)

    def move(self, name: str, position: int, *, lost: int = 0) -> None:
        """Store that the sink got, parked or lost all changes up to *position*.

        Args:
            name: the name of the sink.
            position: the sequence number of the last of them.
            lost: how many of them the log does not have any more.

        Raises:
            KeyError: there is no sink of that name.
        """
        with self._tables.transaction():
            lost += self._row(name).lost
            self._tables.put_sink(SinkRow(name, position, time.time(), lost))

    def acknowledge(self, name: str) -> int:
        """Forget how many changes the sink has lost, once that was mended; return their number.

        Raises:
            KeyError: there is no sink of that name.
        """
        with self._tables.transaction():
            row = self._row(name)
            self._tables.put_sink(row._replace(lost=0))
        return row.lost

    def remove(self, name: str) -> None:
        """Remove a sink, its parked changes, and its snapshot.

        Raises:
            KeyError: there is no sink of that name.
        """
        with self._tables.transaction():
            self._row(name)
            self._tables.remove_sink(name)

    # --- parked changes

    def park(self, name: str, seq: int, uuid: bytes, reason: str, *, snapshot: bytes = b"") -> None:
        """Park a change, or an entry of a snapshot.

        Args:
            name: the name of the sink.
            seq: the sequence number of the change, or of the last one before the entry.
            uuid: the entryUUID, as 16 bytes.
            reason: why, without attribute values and passwords.
            snapshot: the identifier of the snapshot; empty for a change.

        Raises:
            KeyError: there is no sink of that name.
        """
        with self._tables.transaction():
            self._row(name)
            row = ParkedRow(name, seq, uuid, time.time(), reason, False, snapshot)
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

    def drop(
        self,
        name: str,
        *,
        uuid: Optional[bytes] = None,
        seq: Optional[int] = None,
        snapshot: Optional[bytes] = None,
    ) -> int:
        """Remove parked changes; return their number.

        Args:
            name: the name of the sink.
            uuid: only those of that entry.
            seq: only those with that sequence number.
            snapshot: only entries of that snapshot, or, if it is empty, only changes.
        """
        with self._tables.transaction():
            rows = [
                row
                for row in self._parked(name, uuid)
                if seq in (None, row.seq) and snapshot in (None, row.snapshot)
            ]
            self._tables.remove_parked(rows)
        return len(rows)

    # --- snapshots

    def request_snapshot(self, name: str) -> bytes:
        """Have the relay of a sink send all entries; return the identifier of the snapshot.

        A snapshot that is not complete is replaced by the new one.

        Raises:
            KeyError: there is no sink of that name.
        """
        with self._tables.transaction():
            self._row(name)
            identifier = int(time.time() * 1000).to_bytes(6, "big") + os.urandom(10)
            self._tables.put_requested(SnapshotRow(name, identifier, b"", 0))
        return identifier

    def cancel_snapshot(self, name: str) -> bool:
        """Have the relay of a sink send no more entries; return whether it was to send some."""
        with self._tables.transaction():
            found = self.requested(name) is not None
            self._tables.remove_requested(name)
        return found

    def requested(self, name: str) -> Optional[SnapshotRow]:
        """Return the snapshot that a sink is to get; None if there is none."""
        return next((row for row in self._tables.requested() if row.sink == name), None)

    def advance_snapshot(self, done: SnapshotRow, *, complete: bool) -> None:
        """Store how far a snapshot is; do nothing if another one was requested meanwhile.

        Args:
            done: the snapshot, with the last entry that the sink got.
            complete: whether it got all.
        """
        with self._tables.transaction():
            row = self.requested(done.sink)
            if row is None or row.id != done.id:
                return
            if complete:
                self._tables.remove_requested(done.sink)
            else:
                self._tables.put_requested(done)

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
        lost = row.lost + (max(0, first[0].seq - 1 - row.position) if first else 0)
        age = max(0.0, time.time() - following[0].time) if following else None
        parked = len(self._parked(row.name, None))
        behind = max(0, last - row.position)
        wanted = self.requested(row.name)
        snapshot = None if wanted is None else SnapshotState(wanted.id, wanted.sent)
        return SinkState(row.name, row.position, row.moved, behind, age, parked, lost, snapshot)


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
