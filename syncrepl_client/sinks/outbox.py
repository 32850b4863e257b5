# SPDX-License-Identifier: BSD-3-Clause
"""What a sink is to get next, and what it answered: the log of changes as its relay sees it.

The position of the sink is that of the last change before the first one that it may not have: so
after a crash some come again, and none is left out.  A refused change is parked, and with it all
later changes of its entry, until somebody releases or drops them; other entries go on.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from ..changelog.log import Event, Log
from ..changelog.sinks import Parked
from ..exceptions import UsageError
from .base import Answer, Outcome

logger = logging.getLogger(__name__)

WINDOW = 500
"""The maximum number of changes that are read before the first of them is settled."""


class Item(NamedTuple):
    """A change to deliver; *parked* if it was refused before, or waits behind one that was."""

    event: Event
    parked: bool


class Outbox:
    """Chooses what to deliver, and commits what became of it."""

    def __init__(self, log: Log, name: str, *, batch: int, max_parked: int) -> None:
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
        self._window: dict[int, Event] = {}
        self._is_full = False

    # --- the next wave

    def wave(self) -> list[Item]:
        """Return changes to deliver, at most one of each entry; none if there are none.

        Raises:
            UsageError: the sink was removed.
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
            uuid = uuid_of(event)
            if uuid not in taken:
                taken.add(uuid)
                wave.append(Item(event, parked=False))
        return wave

    def _fill(self) -> None:
        events = self._log.events(self._read, WINDOW)
        if not events:
            return
        missing = events[0].seq - self._read - 1
        if missing:
            logger.error(
                "the sink %r has lost %d changes: the log of changes did not keep them any longer",
                self._name,
                missing,
                extra={"event": "sink-lost-changes"},
            )
        self._window = {event.seq: event for event in events if event.change is not None}
        self._read = events[-1].seq
        if not self._window:  # the event that starts the log is no change
            with self._transaction():
                self._move(())
            self._forget(())

    def _parked(self) -> list[Parked]:
        return self._log.sinks.parked(self._name)

    def _park_behind(self, parked: list[Parked]) -> list[Parked]:
        """Park the changes of entries that have parked ones; return all that are parked."""
        held = {row.uuid for row in parked}
        if held.isdisjoint(map(uuid_of, self._window.values())):
            return parked
        gone = set()
        with self._transaction():
            parked = self._parked()  # somebody may have dropped some meanwhile
            seqs = {row.seq for row in parked}
            first = {row.uuid: row.seq for row in reversed(parked)}
            released = {row.uuid for row in parked if row.released}
            for seq, event in self._window.items():
                uuid = uuid_of(event)
                if uuid not in first:
                    continue
                if seq not in seqs:  # else it was parked before the position was stored
                    if not self._has_room(len(seqs)):
                        break
                    self._log.sinks.park(self._name, seq, uuid, f"waits for {first[uuid]}")
                    seqs.add(seq)
                gone.add(seq)
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
                self._log.sinks.drop(self._name, seq=row.seq)

    # --- answers

    def settle(self, wave: Sequence[Item], answers: Sequence[Answer]) -> list[Answer]:
        """Commit the answers to a wave; return those that mean another attempt.

        Raises:
            UsageError: the sink was removed.
            StoreError: the store can't be used; nothing was committed, and it may be called again.
        """
        gone: set[int] = set()
        again: list[Answer] = []
        sinks = self._log.sinks
        with self._transaction():
            parked = {row.seq for row in self._parked()}
            for (event, was_parked), answer in zip(wave, answers):
                seq, uuid = event.seq, uuid_of(event)
                if answer.outcome is Outcome.FAILED:
                    again.append(answer)
                elif answer.outcome is Outcome.ACCEPTED:
                    gone.add(seq)
                    if was_parked:
                        sinks.drop(self._name, seq=seq)
                elif was_parked:
                    if seq in parked:  # it was not dropped meanwhile
                        sinks.hold(self._name, uuid=uuid)
                        sinks.park(self._name, seq, uuid, answer.reason)
                elif self._has_room(len(parked)):
                    sinks.park(self._name, seq, uuid, answer.reason)
                    parked.add(seq)
                    gone.add(seq)
                else:
                    again.append(answer)
            self._move(gone)
        self._forget(gone)
        self._log_refused(wave, answers)
        return again

    def _log_refused(self, wave: Sequence[Item], answers: Sequence[Answer]) -> None:
        for (event, _), answer in zip(wave, answers):
            if answer.outcome is Outcome.REFUSED and event.seq not in self._window:
                logger.error(
                    "the sink %r refused change %d, which is parked: %s",
                    self._name,
                    event.seq,
                    answer.reason,
                    extra={"event": "parked"},
                )

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
                raise UsageError(f"the sink {self._name!r} was removed")
            yield

    def _move(self, gone: Collection[int]) -> None:
        """Store the position, when the sink has, or has parked, the changes *gone*."""
        position = self._position_without(gone)
        if position != self._position:
            self._log.sinks.move(self._name, position)

    def _forget(self, gone: Collection[int]) -> None:
        """Note that these changes are settled, once that is committed."""
        self._position = self._position_without(gone)
        for seq in gone:
            self._window.pop(seq, None)

    def _position_without(self, gone: Collection[int]) -> int:
        first = next((seq for seq in self._window if seq not in gone), None)
        return self._read if first is None else first - 1


def uuid_of(event: Event) -> bytes:
    """Return the entryUUID of the change of *event*, as 16 bytes."""
    return event.change.uuid.bytes if event.change is not None else b""
