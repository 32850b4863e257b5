# SPDX-License-Identifier: BSD-3-Clause
"""The log of changes, for programs that read it: its events, and entries as they were."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from heapq import merge
from typing import NamedTuple, Optional, Union
from uuid import UUID

from ..changes import Change, ChangeKind
from ..entries import dn
from ..entries.attributes import Attributes
from ..entries.differences import AttributeChange
from ..exceptions import ConfigurationError, UsageError
from .policy import Changelog
from .rows import SNAPSHOT, Row, change_of, decode
from .sinks import Sinks
from .states import Entries, State, States, Walk
from .tables import Tables, settings_of
from .undo import Selection, Undo, Undoing

LIMIT = 1000
"""The maximum number of events to read at once ..."""
VALUES = 100_000
"""... and of attribute values in them."""


class Event(NamedTuple):
    """A committed change in the log.

    Attributes:
        seq: the sequence number: that of the event before plus one.
        id: 16 random bytes that identify the event.
        time: when the callback was called, in seconds of Unix time.
        change: the change, as the callback got it, but without excluded attributes, and with the
            values of an attribute in any order.  None for the event that starts the log.
        differences: the differences of the attributes.  If both *added* and *removed* are empty,
            the values were left out.
        csn: the entryCSN of the entry, or else its modifyTimestamp; None if the search does not
            ask for them.
        snapshot: identifies the snapshot that the event is a part of; None for an event of the log.
            The change is then an ADD, or a REFERENCE, and *seq* is that of the last event before.
    """

    seq: int
    id: bytes
    time: float
    change: Optional[Change]
    differences: tuple[AttributeChange, ...]
    csn: Optional[str]
    snapshot: Optional[bytes] = None

    @property
    def kind(self) -> str:
        """The value of the change's kind; ``snapshot`` if it is no change."""
        if self.change is None or self.snapshot is not None:
            return SNAPSHOT
        return self.change.kind.value


class Entry(NamedTuple):
    """An entry as it was.

    Attributes:
        uuid: the entryUUID.
        dn: the DN.
        attrs: the attributes, without excluded ones.
    """

    uuid: UUID
    dn: str
    attrs: Attributes


class Log:
    """The log of changes of a store, as ``client.store.changelog``.

    It shows committed changes; inside a callback, also those before it in the open transaction.

    Attributes:
        sinks: the positions of those who read the log and pass the changes on.
    """

    def __init__(self, tables: Tables, entries: Entries) -> None:
        """Initialize from the tables of a log and the entries of the same store."""
        self._tables = tables
        self._entries = entries
        self.sinks = Sinks(tables)
        self._walk: Optional[tuple[int, Walk]] = None

    @property
    def changelog(self) -> Changelog:
        """The settings of the log."""
        return settings_of(self._tables)

    @property
    def newest(self) -> int:
        """The sequence number of the last event; 0 if there is none."""
        mark = self._tables.newest()
        return 0 if mark is None else mark.seq

    @property
    def begins(self) -> Optional[datetime]:
        """The time of the first event that is kept; None if there is none."""
        first = self._tables.marks(0, 1)
        return datetime.fromtimestamp(first[0].time).astimezone() if first else None

    def drop(self) -> None:
        """Remove the log, with all events, sinks and settings."""
        with self._tables.transaction():
            self._tables.drop()

    # --- events

    def events(self, after: int = 0, limit: int = LIMIT) -> list[Event]:
        """Return the events after *after*, in order.

        To continue from the last event of the previous call is faster than from another one.

        Args:
            after: a sequence number, such as the position of a sink; 0 for the first event.
            limit: the maximum number of events.  There may be fewer although there are more in the
                log, if entries are large; but none only if there are none.

        Raises:
            StoreError: the store can't be read, or is damaged.
        """
        with self._tables.snapshot():
            rows = self._tables.rows(after, None, limit)
            if self._walk is not None and self._walk[0] == after:
                walk = self._walk[1]
            else:
                walk = Walk(self._states(), newest=False)
            events: list[Event] = []
            values = 0
            for row in rows:
                event = _event(row, walk)
                events.append(event)
                values += _values(event)
                if values > VALUES:
                    break
        if events:
            self._walk = events[-1].seq, walk
        return events

    def event(self, seq: int) -> Optional[Event]:
        """Return the event with that sequence number; None if the log does not have it.

        Raises:
            StoreError: the store can't be read, or is damaged.
        """
        found = self.events(seq - 1, 1)
        return found[0] if found and found[0].seq == seq else None

    def history(
        self,
        of: Union[str, UUID, None] = None,
        *,
        since: Optional[datetime] = None,
        until: Optional[datetime] = None,
        newest_first: bool = True,
    ) -> Iterator[Event]:
        """Iterate over events.

        Args:
            of: the DN or the entryUUID of an entry; None for all.  A DN stands for all entries that
                have or had it.  An entry is followed through renames.
            since: only events from that time on; it needs a time zone.
            until: only events up to that time.
            newest_first: the order.

        Raises:
            ConfigurationError: *of* is not a DN, or a time has no time zone.
            StoreError: the store can't be read, or is damaged.
        """
        after = 0 if since is None else self.position(since, before=True)
        before = None if until is None else self.position(until) + 1
        states = self._states()
        walk = Walk(states, newest=newest_first)
        if of is None:
            rows = self._rows(after, before, None, newest_first)
        else:
            uuids = [of.bytes] if isinstance(of, UUID) else states.named(_key(of))
            each = (self._rows(after, before, uuid, newest_first) for uuid in uuids)
            rows = merge(*each, key=lambda row: row.seq, reverse=newest_first)
        return (_event(row, walk) for row in rows)

    def _rows(
        self, after: int, before: Optional[int], uuid: Optional[bytes], newest: bool
    ) -> Iterator[Row]:
        while rows := self._tables.rows(after, before, LIMIT, uuid=uuid, newest=newest):
            yield from rows
            if newest:
                before = rows[-1].seq
            else:
                after = rows[-1].seq

    def position(self, time: datetime, *, before: bool = False) -> int:
        """Return the sequence number of the last event up to *time*, or before it; 0 if none is.

        Raises:
            ConfigurationError: *time* has no time zone.
        """
        seconds = _seconds(time)
        oldest, newest = self._tables.marks(0, 1), self._tables.newest()
        if newest is None:
            return 0
        low, high = oldest[0].seq - 1, newest.seq
        while low < high:
            middle = (low + high + 1) // 2
            (mark,) = self._tables.marks(middle - 1, 1)
            if mark.time < seconds or (mark.time == seconds and not before):
                low = middle
            else:
                high = middle - 1
        return low

    # --- entries as they were

    def entry_at(self, of: Union[str, UUID], time: datetime) -> Optional[Entry]:
        """Return an entry as it was at *time*; None if there was none.

        Args:
            of: the DN that the entry had at that time, or its entryUUID.
            time: needs a time zone.

        Raises:
            UsageError: the log does not go back to *time*.
            ConfigurationError: *of* is not a DN, or *time* has no time zone.
            StoreError: the store can't be read, or is damaged.
        """
        with self._tables.snapshot():
            position, states = self._known(time), self._states()
            uuid = of.bytes if isinstance(of, UUID) else states.holder(_key(of), position)
            state = None if uuid is None else states.at(uuid, position)
        return None if state is None or uuid is None else _entry(uuid, state)

    def entry(self, uuid: UUID, seq: int) -> Optional[Entry]:
        """Return an entry as it was after event *seq*, which the log has; None if there was none.

        Raises:
            StoreError: the store can't be read, or is damaged.
        """
        with self._tables.snapshot():
            state = self._states().at(uuid.bytes, seq)
        return None if state is None else _entry(uuid.bytes, state)

    def entries_at(self, time: datetime) -> Iterator[Entry]:
        """Iterate over all entries as they were at *time*, parents before children.

        Raises:
            UsageError: the log does not go back to *time*.
            ConfigurationError: *time* has no time zone.
            StoreError: the store can't be read, or is damaged.
        """
        position, states = self._known(time), self._states()

        def changed() -> Iterator[tuple[bytes, bytes]]:
            for uuid in self._tables.changed(position):
                state = states.at(uuid, position)
                if state is not None and state.dn:
                    yield dn.key(state.dn), uuid

        def unchanged() -> Iterator[tuple[bytes, bytes]]:
            for record in self._entries.live():
                if not self._tables.rows(position, None, 1, uuid=record.uuid):
                    yield record.key, record.uuid

        for _, uuid in merge(self._tables.sort(changed()), unchanged()):
            state = states.at(uuid, position)
            if state is not None:
                yield _entry(uuid, state)

    # --- undo

    def undo(
        self,
        since: datetime,
        until: Optional[datetime] = None,
        *,
        below: Iterable[str] = (),
        kinds: Collection[ChangeKind] = (),
        force: bool = False,
    ) -> Undo:
        """Return the changes that undo changes.

        They are to be made in the directory, for example with ``ldapmodify``; nothing is changed
        here.  What was changed again since is not touched.  Memory grows with the number of changes
        to undo.

        Args:
            since: undo the changes from that time on; it needs a time zone.
            until: undo the changes up to that time; None for all.
            below: DNs: undo only changes of entries that have or had one of them, or one below.
            kinds: undo only changes of these kinds.
            force: undo also what was changed again since.

        Raises:
            UsageError: the log does not go back to *since*.
            ConfigurationError: a DN is not one, or a time has no time zone.
            StoreError: the store can't be read, or is damaged.
        """
        with self._tables.snapshot():
            self._known(since)
            after = self.position(since, before=True)
            before = None if until is None else self.position(until) + 1
            selection = Selection([_key(name) for name in below], kinds)
            rows = self._rows(after, before, None, newest=False)
            return Undoing(self._states(), force=force).undo(rows, selection)

    def _known(self, time: datetime) -> int:
        """Return the position at *time*, from which on the log is complete."""
        position = self.position(time)
        first = self._tables.marks(0, 1)
        if not first or position < first[0].seq:
            begins = self.begins
            begin = "is empty" if begins is None else f"begins at {_written(begins)}"
            raise UsageError(f"the log of changes {begin}: it does not go back to {_written(time)}")
        return position

    def _states(self) -> States:
        return States(self._tables, self._entries, settings_of(self._tables).exclude)


def _event(row: Row, walk: Walk) -> Event:
    if row.kind == SNAPSHOT:
        return Event(row.seq, row.id, row.time, None, (), None)
    before, after = walk.around(row)
    change = change_of(row, before and before.attrs, after and after.attrs)
    return Event(row.seq, row.id, row.time, change, tuple(decode(row.differences)), row.csn)


def _entry(uuid: bytes, state: State) -> Entry:
    return Entry(UUID(bytes=uuid), state.dn, state.attrs)


def _values(event: Event) -> int:
    change = event.change
    if change is None:
        return 0
    return sum(map(len, (change.new_attrs or change.old_attrs or {}).values()))


def _key(name: str) -> bytes:
    try:
        return dn.key(name)
    except (ValueError, TypeError, AttributeError):
        raise ConfigurationError(f"not the DN of an entry: {name!r}") from None


def _written(time: datetime) -> str:
    return time.astimezone().isoformat(" ", "seconds")


def _seconds(time: datetime) -> float:
    if time.tzinfo is None:
        raise ConfigurationError(f"{time!r} has no time zone: use .astimezone() for local time")
    return time.timestamp()
