# SPDX-License-Identifier: BSD-3-Clause
"""What a sink is to get next, and what it answered: the log of changes as its relay sees it.

The position of the sink is that of the last change before the first one that it may not have: so
after a crash some come again, and none is left out.  A refused change is parked, and with it all
later changes of its entry, until somebody releases or drops them; other entries go on.

The entries of a snapshot come in pages, behind the changes that were read before them: of one entry
the changes up to there are sent first, and those that are read later afterwards.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Optional

from ..changelog.log import Event
from ..changelog.sinks import Parked
from ..changelog.tables import SnapshotRow
from ..exceptions import SinkRemoved
from ..store import SharedLog
from .base import Answer, Outcome

logger = logging.getLogger(__name__)

WINDOW = 500
"""The maximum number of changes that are read before the first of them is settled."""


class Key(NamedTuple):
    """Identifies an event for one sink: a change by *seq*, the entry of a snapshot by all three."""

    seq: int
    snapshot: bytes
    uuid: bytes


class Item(NamedTuple):
    """An event to deliver; *parked* if it was refused before, or waits behind one that was."""

    event: Event
    parked: bool


class Reached(NamedTuple):
    """How far the snapshot is when the sink has all of it that is in the window."""

    row: SnapshotRow
    complete: bool


class Outbox:
    """Chooses what to deliver, and commits what became of it."""

    def __init__(self, log: SharedLog, name: str, *, batch: int, max_parked: int) -> None:
        """Initialize from a log that has a sink of that name.

        Args:
            log: the log.
            name: the name of the sink.
            batch: the maximum number of changes in a wave.
            max_parked: how many changes may be parked; further ones wait instead.
        """
        self._log = log
        self._name = name
        self._batch = batch
        self._max_parked = max_parked
        self._position = self._read = log.sinks[name].position
        self._window: dict[Key, Event] = {}
        self._reached: Optional[Reached] = None
        self._is_full = False

    # --- the next wave

    def wave(self) -> list[Item]:
        """Return changes to deliver, at most one of each entry; none if there are none.

        Raises:
            SinkRemoved: the sink was removed.
            StoreError: the store can't be used.
        """
        if not self._window:
            self._fill()
        parked = self._parked()
        if parked:
            parked = self._park_behind(parked)
        taken = {row.uuid for row in parked}
        wave = list(self._released(parked))
        for event in self._window.values():
            if len(wave) >= self._batch:
                break
            uuid = key_of(event).uuid
            if uuid not in taken:
                taken.add(uuid)
                wave.append(Item(event, parked=False))
        return wave

    def _fill(self) -> None:
        events = self._log.events(self._read, WINDOW)
        if events:
            missing = events[0].seq - self._read - 1
            if missing:
                self._lose(missing, events[0].seq - 1)
            self._window = {key_of(each): each for each in events if each.change is not None}
            self._read = events[-1].seq
        self._add_snapshot()
        # The event that starts the log is no change, and a snapshot may have no entry.
        if not self._window and (events or self._reached is not None):
            with self._transaction():
                self._move(())
            self._forget(())

    def _lose(self, missing: int, position: int) -> None:
        with self._transaction():
            self._log.sinks.move(self._name, position, lost=missing)
        self._position = self._read = position
        logger.error(
            "the sink %r has lost %d changes: the log of changes did not keep them any longer",
            self._name,
            missing,
            extra={"event": "sink-lost-changes"},
        )

    def _add_snapshot(self) -> None:
        """Read the next entries of the snapshot, if one was requested and the log has begun."""
        row = self._log.sinks.requested(self._name)
        if row is None or not self._log.newest:
            return
        page = self._log.snapshot_page(row.id, row.cursor, self._read, self._batch)
        self._window.update((key_of(each), each) for each in page.events)
        sent = row.sent + len(page.events)
        self._reached = Reached(row._replace(cursor=page.cursor, sent=sent), page.complete)

    def _parked(self) -> list[Parked]:
        return self._log.sinks.parked(self._name)

    def _park_behind(self, parked: list[Parked]) -> list[Parked]:
        """Park the changes of entries that have parked ones; return all that are parked."""
        held = {row.uuid for row in parked}
        if held.isdisjoint(key.uuid for key in self._window):
            return parked
        gone = set()
        with self._transaction():
            parked = self._parked()  # somebody may have dropped some meanwhile
            keys = set(map(key_of_parked, parked))
            first = {row.uuid: row.seq for row in reversed(parked)}
            released = {row.uuid for row in parked if row.released}
            for key in self._window:
                if key.uuid not in first:
                    continue
                if key not in keys:  # else it was parked before the position was stored
                    if not self._has_room(len(keys)):
                        break
                    self._park(key, f"waits for {first[key.uuid]}")
                    keys.add(key)
                gone.add(key)
            for uuid in released:  # with all that has just been parked behind them
                self._log.sinks.release(self._name, uuid=uuid)
            self._move(gone)
            parked = self._parked()
        self._forget(gone)
        return parked

    def _released(self, parked: Iterable[Parked]) -> Iterator[Item]:
        """Yield the first parked change of each entry of which some are released."""
        first: dict[bytes, Parked] = {}
        released: dict[bytes, None] = {}
        for row in parked:
            first.setdefault(row.uuid, row)
            if row.released:
                released[row.uuid] = None
        for uuid in list(released)[: self._batch]:
            row = first[uuid]
            if row.snapshot:
                event = self._log.snapshot_event(row.snapshot, row.uuid, row.seq)
            else:
                event = self._log.event(row.seq)
            if event is not None:
                yield Item(event, parked=True)
            else:
                logger.error(
                    "the parked change %d of the sink %r is lost: the log of changes did not keep "
                    "it any longer",
                    row.seq,
                    self._name,
                    extra={"event": "sink-lost-changes"},
                )
                with self._transaction():
                    self._drop(key_of_parked(row))
                    self._log.sinks.move(self._name, self._position, lost=1)

    # --- answers

    def settle(self, wave: Sequence[Item], answers: Sequence[Answer]) -> list[Answer]:
        """Commit the answers to a wave; return those that mean another attempt.

        Raises:
            SinkRemoved: the sink was removed.
            StoreError: the store can't be used; nothing was committed, and it may be called again.
        """
        gone: set[Key] = set()
        again: list[Answer] = []
        sinks = self._log.sinks
        with self._transaction():
            parked = set(map(key_of_parked, self._parked()))
            for (event, was_parked), answer in zip(wave, answers):
                key = key_of(event)
                if answer.outcome is Outcome.FAILED:
                    again.append(answer)
                elif answer.outcome is Outcome.ACCEPTED:
                    gone.add(key)
                    if was_parked:
                        self._drop(key)
                elif was_parked:
                    if key in parked:  # it was not dropped meanwhile
                        sinks.hold(self._name, uuid=key.uuid)
                        self._park(key, answer.reason)
                elif self._has_room(len(parked)):
                    self._park(key, answer.reason)
                    parked.add(key)
                    gone.add(key)
                else:
                    again.append(answer)
            self._move(gone)
        self._forget(gone)
        self._log_refused(wave, answers)
        return again

    def _log_refused(self, wave: Sequence[Item], answers: Sequence[Answer]) -> None:
        for (event, _), answer in zip(wave, answers):
            if answer.outcome is Outcome.REFUSED and key_of(event) not in self._window:
                logger.error(
                    "the sink %r refused %s %d, which is parked: %s",
                    self._name,
                    "change" if event.snapshot is None else "an entry after change",
                    event.seq,
                    answer.reason,
                    extra={"event": "parked"},
                )

    def _park(self, key: Key, reason: str) -> None:
        sinks = self._log.sinks
        sinks.park(self._name, key.seq, key.uuid, reason, snapshot=key.snapshot)

    def _drop(self, key: Key) -> None:
        self._log.sinks.drop(self._name, **key._asdict())

    def _has_room(self, parked: int) -> bool:
        """Return True if one more change may be parked."""
        is_full = parked >= self._max_parked
        if is_full and not self._is_full:
            logger.error(
                "the sink %r has %d parked changes, and waits: see what it refuses, then release "
                "or drop them",
                self._name,
                parked,
                extra={"event": "sink-full"},
            )
        self._is_full = is_full
        return not is_full

    # --- the position

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._log.sinks.transaction():
            if self._name not in self._log.sinks:
                raise SinkRemoved(f"the sink {self._name!r} was removed")
            yield

    def _move(self, gone: Collection[Key]) -> None:
        """Store how far the sink is, when it has, or has parked, the events *gone*."""
        position = self._position_without(gone)
        if position != self._position:
            self._log.sinks.move(self._name, position)
        if self._reached is not None and self._has_page(gone):
            self._log.sinks.advance_snapshot(self._reached.row, complete=self._reached.complete)

    def _forget(self, gone: Collection[Key]) -> None:
        """Note that these events are settled, once that is committed."""
        self._position = self._position_without(gone)
        if self._reached is not None and self._has_page(gone):
            reached, self._reached = self._reached, None
            if reached.complete:
                logger.info(
                    "the sink %r has the snapshot of %d entries",
                    self._name,
                    reached.row.sent,
                    extra={"event": "snapshot-done"},
                )
        for key in gone:
            self._window.pop(key, None)

    def _position_without(self, gone: Collection[Key]) -> int:
        left = (key.seq for key in self._window if not key.snapshot and key not in gone)
        first = next(left, None)
        return self._read if first is None else first - 1

    def _has_page(self, gone: Collection[Key]) -> bool:
        return all(key in gone for key in self._window if key.snapshot)


def key_of(event: Event) -> Key:
    """Return the key of *event*, which has a change."""
    uuid = event.change.uuid.bytes if event.change is not None else b""
    return Key(event.seq, event.snapshot or b"", uuid)


def key_of_parked(row: Parked) -> Key:
    """Return the key of the event that was parked."""
    return Key(row.seq, row.snapshot, row.uuid)
