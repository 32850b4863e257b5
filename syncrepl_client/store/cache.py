# SPDX-License-Identifier: BSD-3-Clause
"""A cache of the entry table of a database: one statement reads or writes many entries.

The number of cached and pending entries is bounded.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Callable, Optional, Protocol

from ..entries import dn
from ..exceptions import StoreError
from ..protocol.view import Record
from .absence import Absence


class EntryTable(Protocol):
    """The entry table, as a database has it."""

    def is_empty(self) -> bool:
        """Return True if it has no entries."""

    def with_uuids(self, uuids: Collection[bytes]) -> Iterable[Record]:
        """Return the entries with these UUIDs."""

    def with_keys(self, keys: Collection[bytes]) -> Iterable[Record]:
        """Return the entries with these keys."""

    def is_vacant(self, key: bytes) -> bool:
        """Return True if no entry is below *key*."""

    def write(self, records: Collection[Record]) -> None:
        """Insert or replace entries, in this order."""

    def delete(self, uuid: bytes) -> None:
        """Delete an entry."""


class EntryCache:
    """The entry table, with read-ahead and write-behind.

    Pending writes are in the cache.  Nobody else may write to the table, but a callback may roll
    back to a savepoint of its own.  So writes that are made visible to SQL during a callback stay
    pending.

    Attributes:
        few: up to so many entries are read one by one.
        many: the approximate maximum of cached entries.
        max_bytes: the approximate maximum of bytes of attributes.
        misses: after so many keys in a row that no entry has, see if there is any entry below the
            one above them; None: never.
        on_remove: called with the UUID of an entry before it is removed.
    """

    few = 8
    many = 1024
    max_bytes = 4 << 20
    misses: Optional[int] = None

    def __init__(self, table: EntryTable, check: Callable[[], None]) -> None:
        """Initialize an empty cache.

        Args:
            table: the table.
            check: called before anything is put, written or removed; raises if that is too late.
        """
        self._table = table
        self._check = check
        self.on_remove: Callable[[bytes], None] = lambda uuid: None
        self._records: dict[bytes, Optional[Record]] = {}
        self._owners: dict[bytes, Optional[bytes]] = {}
        self._pending: dict[bytes, Record] = {}
        self._unseen: list[Record] = []
        self._size = 0
        self._absence: Optional[Absence] = None
        self._missed: tuple[bytes, int] = b"", 0
        self._vacant: Optional[tuple[bytes, Absence]] = None

    def note_if_empty(self) -> None:
        """Remember what is put from now on if the table is empty, so as not to look for more."""
        self._absence = Absence() if self.is_empty() else None

    def is_empty(self) -> bool:
        """Return True if the table is empty; nothing is pending."""
        return self._table.is_empty()

    # --- reading

    def get(self, uuid: bytes) -> Optional[Record]:
        """Return the entry with that UUID; None if there is none."""
        try:
            return self._records[uuid]
        except KeyError:
            record = next(iter(self._table.with_uuids((uuid,))), None)
        if self._has_room():
            self._possible((uuid,))  # it may be put next
            self._records[uuid] = record
            self._know(record)
        return record

    def at(self, key: bytes) -> Optional[Record]:
        """Return the entry with that key; None if there is none."""
        try:
            uuid = self._owners[key]
        except KeyError:
            record = self._look_for(key)
        else:
            return None if uuid is None else self._records[uuid]
        if self._has_room():
            self._possible((key,))
            self._owners[key] = None
            self._know(record)
        return record

    def _look_for(self, key: bytes) -> Optional[Record]:
        if self.misses is None:
            return next(iter(self._table.with_keys((key,))), None)
        if self._vacant is not None:
            above, added = self._vacant
            if key != above and key.startswith(above) and not added.possible((key,)):
                return None
        record = next(iter(self._table.with_keys((key,))), None)
        if record is None:
            self._note_miss(key)
        return record

    def _note_miss(self, key: bytes) -> None:
        """Look if a subtree is empty before many entries are moved there, one by one."""
        above = dn.parent(key)
        while above and self._owners.get(dn.parent(above)) in self._pending:
            above = dn.parent(above)
        last, count = self._missed
        self._missed = above, count + 1 if above == last else 1
        if self._missed[1] == self.misses and self._table.is_vacant(above):
            added = Absence()
            added.add(*(record.key for record in self._pending.values()))
            self._vacant = above, added

    def add(self, records: Collection[Record]) -> None:
        """Cache *records*, which were just read; nothing is pending."""
        if self._is_crowded(len(records)):
            self._clear()
        for record in records:
            if self._records.get(record.uuid) is None:
                self._know(record)

    def _is_crowded(self, more: int) -> bool:
        return len(self._owners) + 2 * more > self.many or self._size > self.max_bytes / 2

    def prefetch(self, places: Mapping[bytes, bytes]) -> None:
        """Read the entries with these UUIDs, and those with these keys (keys by UUID)."""
        if len(places) <= self.few:
            return
        if self._is_crowded(len(places)):
            self.flush()
            self._clear()
        uuids = places.keys() - self._records.keys()
        self._records.update(dict.fromkeys(uuids))  # what is not found is not there
        possible = self._possible(uuids)
        for record in self._table.with_uuids(possible) if possible else ():
            self._know(record)
        keys = set(places.values()).difference(self._owners)
        self._owners.update(dict.fromkeys(keys))
        possible = self._possible(keys)
        for record in self._table.with_keys(possible) if possible else ():
            if self._records.get(record.uuid) is None:  # else the table may be behind
                self._know(record)

    def _possible(self, values: Collection[bytes]) -> Collection[bytes]:
        """Return *values*, which may be put next, without UUIDs, or keys, that no entry has."""
        return values if self._absence is None else self._absence.claim(values)

    def _know(self, record: Optional[Record]) -> None:
        if record is not None:
            self._records[record.uuid] = record
            self._owners[record.key] = record.uuid
            self._size += len(record.attrs)

    @property
    def _full(self) -> bool:
        return (
            len(self._records) > self.many
            or len(self._owners) > self.many
            or self._size > self.max_bytes
        )

    def _has_room(self) -> bool:
        """Return True if there is room for more; clears the cache if nothing is pending."""
        if not self._full:
            return True
        if not self._pending:
            self._clear()
        return not self._pending

    # --- writing

    def put(self, record: Record) -> None:
        """Write *record* at the next flush.

        Raises:
            StoreError: another entry has its key.
        """
        uuid, key, _, _ = record
        self._check()
        is_new = self._records.get(uuid, record) is None and self._owners.get(key, uuid) is None
        if not is_new:  # nearly all are, which were looked for in vain
            self._make_room(record)
        if self._vacant is not None:
            self._vacant[1].add(key)
        if uuid in self._pending:
            self.flush()  # what is written comes in this order, and made room for what follows
        self._pending[uuid] = record
        self._unseen.append(record)
        self._know(record)
        if self._full:
            self.flush()
            self._clear()

    def _make_room(self, record: Record) -> None:
        """Free the old key of an entry; see that it may have the new one."""
        old = self.get(record.uuid)
        if old is not None and old.key == record.key:
            return
        if self.at(record.key) is not None:
            raise StoreError(f"two entries of the data store can't both be {record.dn!r}")
        if old is not None:
            self._owners[old.key] = None
        self._possible((record.uuid, record.key))

    def remove(self, uuid: bytes) -> None:
        """Remove the entry *uuid*."""
        self._check()
        self.flush()
        self.on_remove(uuid)
        self._table.delete(uuid)
        record = self._records.pop(uuid, None)
        if record is not None:
            self._owners.pop(record.key, None)

    def flush(self) -> None:
        """Write what is pending; not during a callback."""
        if self._pending:
            self._check()
            self._table.write(self._pending.values())
            self._pending.clear()
            self._unseen.clear()

    def show(self) -> None:
        """Make what is pending visible to SQL during a callback."""
        if self._unseen:
            self._table.write(self._unseen)
            self._unseen.clear()

    def forget(self) -> None:
        """Clear the cache, and discard what is pending; after a rollback."""
        self._clear()
        self._vacant = None
        self._missed = b"", 0

    def _clear(self) -> None:
        self._records.clear()
        self._owners.clear()
        self._pending.clear()
        self._unseen.clear()
        self._size = 0
