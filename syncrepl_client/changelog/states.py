# SPDX-License-Identifier: BSD-3-Clause
"""Entries as they were at any point of the log, computed from what they are now.

The state of an entry after a row is its present state with the differences of all later rows
undone.  An ADD and a DELETE have all attributes, so rows beyond those are not needed.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from typing import Callable, NamedTuple, Optional, Protocol

from ..changes import ChangeKind
from ..entries import attributes, dn
from ..entries.attributes import Attributes
from ..entries.differences import AttributeChange
from ..exceptions import StoreInvalid
from ..protocol.view import Record
from .rows import Row, back, decode, forward, is_excluded, place_of
from .tables import Tables

_REMEMBERED = 512
"""The maximum number of states that a walk remembers."""
_MANY = 256
"""The number of rows to read at once."""


class Entries(Protocol):
    """The entries of the store, as they are now."""

    def get(self, uuid: bytes) -> Optional[Record]:
        """Return the entry *uuid*; None if there is none."""

    def at(self, key: bytes) -> Optional[Record]:
        """Return the entry with that key; None if there is none."""

    def below(self, key: bytes) -> Iterator[Record]:
        """Yield the entries below that key, in order of key."""

    def live(self) -> Iterator[Record]:
        """Yield the live entries, in order of key."""


class State(NamedTuple):
    """An entry, or a reference, whose DN is empty."""

    dn: str
    attrs: Attributes


Turn = Callable[[Iterable[AttributeChange], Attributes], Attributes]

_WHOLE = (ChangeKind.ADD.value, ChangeKind.DELETE.value)
_CHANGING = (ChangeKind.MODIFY.value, ChangeKind.RENAME.value)


class States:
    """The states of entries at points of the log; None is the state of no entry.

    Attributes:
        entries: the entries as they are now.
    """

    def __init__(self, tables: Tables, entries: Entries, exclude: frozenset[str]) -> None:
        """Initialize from the log and the entries.

        Args:
            tables: the tables of the log.
            entries: the entries of the same store.
            exclude: names, in lower case, of attributes that are left out.
        """
        self.entries = entries
        self._tables = tables
        self._exclude = exclude

    def now(self, uuid: bytes) -> Optional[State]:
        """Return the present state of the entry *uuid*."""
        record = self.entries.get(uuid)
        if record is None or dn.is_displaced(record.key):
            return None
        return State(record.dn, self._stripped(attributes.decode(record.attrs)))

    def named(self, key: bytes) -> Collection[bytes]:
        """Return the UUIDs of the entries that have the DN with that *key*, or had it."""
        present = self.entries.at(key)
        found = dict.fromkeys(() if present is None else (present.uuid,))
        found.update((uuid, None) for _, uuid in self._tables.left(place_of(key)))
        return found

    def left(self, key: bytes, after: int, through: int) -> Optional[bytes]:
        """Return the UUID of the last entry that left the DN with that *key* between two rows."""
        leaving = None
        for seq, uuid in self._tables.left(place_of(key)):
            if after < seq <= through:
                (row,) = self._tables.rows(seq - 1, None, 1)
                if row.old_dn is not None and dn.key(row.old_dn) == key:
                    leaving = uuid
        return leaving

    def holder(self, key: bytes, seq: int) -> Optional[bytes]:
        """Return the UUID of the entry that had the DN with that *key* after row *seq*."""
        for uuid in self.named(key):
            state = self.at(uuid, seq)
            if state is not None and dn.key(state.dn) == key:
                return uuid
        return None

    def at(self, uuid: bytes, seq: int) -> Optional[State]:
        """Return the state of the entry *uuid* after row *seq*, and before the next one.

        Raises:
            StoreInvalid: the log or the entry is damaged.
        """
        state, before = self.now(uuid), None
        while True:
            rows = self._tables.rows(seq, before, _MANY, uuid=uuid, newest=True)
            for row in rows:
                state = self.before(row, state)
            if len(rows) < _MANY:
                return state
            before = rows[-1].seq

    def before(self, row: Row, after: Optional[State]) -> Optional[State]:
        """Return the state before *row*, given the state after it."""
        if row.kind == ChangeKind.ADD.value:
            return None
        name = row.new_dn if row.old_dn is None else row.old_dn
        return self._turned(row, name, after, back)

    def after(self, row: Row, before: Optional[State]) -> Optional[State]:
        """Return the state after *row*, given the state before it."""
        if row.kind == ChangeKind.DELETE.value:
            return None
        return self._turned(row, row.new_dn, before, forward)

    def _turned(
        self, row: Row, name: Optional[str], state: Optional[State], turn: Turn
    ) -> Optional[State]:
        if state is None and row.kind in _CHANGING:
            raise StoreInvalid(f"the log of changes does not fit the entries: row {row.seq}")
        attrs = {} if state is None else state.attrs
        turned = self._stripped(turn(decode(row.differences), attrs))
        if row.kind == ChangeKind.REFERENCE.value and not turned:
            return None
        return State(name or "", turned)

    def _stripped(self, attrs: Attributes) -> Attributes:
        return {
            name: values for name, values in attrs.items() if not is_excluded(name, self._exclude)
        }


class Walk:
    """Computes the states around successive rows, each from the one before.

    The rows must be consecutive: the state after a row of an entry is the state before its next
    row.
    """

    def __init__(self, states: States, *, newest: bool) -> None:
        """Initialize; *newest* if the rows come in descending order."""
        self._states = states
        self._newest = newest
        self._last: OrderedDict[bytes, Optional[State]] = OrderedDict()

    def around(self, row: Row) -> tuple[Optional[State], Optional[State]]:
        """Return the states before and after *row*.

        Raises:
            StoreInvalid: the log or the entry is damaged.
        """
        uuid, states = row.uuid, self._states
        known = uuid in self._last
        if self._newest:
            after = self._last.pop(uuid) if known else states.at(uuid, row.seq)
            reached = before = states.before(row, after)
        else:
            before = self._last.pop(uuid) if known else self._before(row)
            reached = after = states.after(row, before)
        self._last[uuid] = reached
        if len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)
        return before, after

    def _before(self, row: Row) -> Optional[State]:
        if row.kind in _WHOLE:
            return self._states.before(row, None)
        return self._states.at(row.uuid, row.seq - 1)
