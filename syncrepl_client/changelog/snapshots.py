# SPDX-License-Identifier: BSD-3-Clause
"""Snapshots: all entries of a store, as events for one sink, between the changes in the log.

An entry is read as it was after some row of the log: later changes of it are undone.  So its event
belongs after the changes up to that row, and before those that follow.  Entries are read in the
order of their UUIDs, which no change alters: none is skipped because it was renamed meanwhile.
What is added meanwhile has its own row in the log, and what is deleted needs no event.
"""

from datetime import datetime, timezone
from hashlib import sha256
from typing import NamedTuple, Optional, Protocol
from uuid import UUID

from ..changes import Change, ChangeKind, Phase
from ..protocol.view import Record
from .log import Event
from .rows import csn_of
from .states import State, States

_MANY = 256
"""The number of entries to read at once."""


class Records(Protocol):
    """The entries of a store, in order of UUID."""

    def following(self, uuid: bytes, limit: int) -> list[Record]:
        """Return up to *limit* entries and references after *uuid*, in order of UUID."""


class Page(NamedTuple):
    """A part of a snapshot.

    Attributes:
        events: the events.
        cursor: the UUID of the last entry that was read.
        complete: whether there are no more.
    """

    events: list[Event]
    cursor: bytes
    complete: bool


def read(
    states: States, records: Records, snapshot: bytes, cursor: bytes, seq: int, limit: int
) -> Page:
    """Return the events of the entries after *cursor*.

    Args:
        states: the states of entries.
        records: the entries.
        snapshot: the identifier of the snapshot.
        cursor: a UUID; empty at the beginning.
        seq: the sequence number of the row after which the entries are read.
        limit: the maximum number of events.

    Raises:
        StoreError: the store can't be read, or is damaged.
    """
    events: list[Event] = []
    while len(events) < limit:
        many = min(_MANY, limit - len(events))
        found = records.following(cursor, many)
        for record in found:
            cursor = record.uuid
            event = event_of(states, snapshot, record.uuid, seq)
            if event is not None:
                events.append(event)
        if len(found) < many:
            return Page(events, cursor, complete=True)
    return Page(events, cursor, complete=False)


def event_of(states: States, snapshot: bytes, uuid: bytes, seq: int) -> Optional[Event]:
    """Return the event of an entry as it was after row *seq*; None if there was none.

    It is the same whenever it is made again.
    """
    state = states.at(uuid, seq)
    if state is None:
        return None
    made = sha256(b"%b%b%d" % (snapshot, uuid, seq)).digest()[:16]
    time = int.from_bytes(snapshot[:6], "big") / 1000
    change = _change(uuid, state, datetime.fromtimestamp(time, timezone.utc))
    return Event(seq, made, time, change, (), csn_of(state.attrs), snapshot)


def _change(uuid: bytes, state: State, told: datetime) -> Change:
    kind, name = (ChangeKind.ADD, state.dn) if state.dn else (ChangeKind.REFERENCE, None)
    return Change(kind, UUID(bytes=uuid), Phase.REFRESH, None, name, None, state.attrs, told)
