# SPDX-License-Identifier: BSD-3-Clause
"""A cache of the entry table: one statement reads or writes many entries.

The number of cached and pending entries is bounded.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Callable, Optional

from ...exceptions import StoreError
from ...protocol.view import Record
from .absence import Absence
from .database import Database, unadapted

COLUMNS = "uuid, key, dn, attrs"
_PUT = (
    f"INSERT INTO syncrepl_entry ({COLUMNS}) VALUES (?, ?, ?, ?) ON CONFLICT (uuid) DO UPDATE SET "
    "key = excluded.key, dn = excluded.dn, attrs = excluded.attrs"
)
_FEW = 8
"""Up to so many entries are read one by one."""
_MANY, _BYTES = 1024, 4 << 20
"""The approximate maximum of cached entries, and of bytes of attributes."""


class EntryCache:
    """The entry table, with read-ahead and write-behind.

    Pending writes are in the cache.  Nobody else may write to the table, but a callback may roll
    back to a savepoint of its own.  So writes that are made visible to SQL during a callback stay
    pending.

    Attributes:
        on_remove: called with the UUID of an entry before it is removed.
    """

    def __init__(self, database: Database) -> None:
        """Initialize an empty cache of *database*."""
        self._database = database
        self.on_remove: Callable[[bytes], None] = lambda uuid: None
        self._records: dict[bytes, Optional[Record]] = {}
        self._owners: dict[bytes, Optional[bytes]] = {}
        self._pending: dict[bytes, Record] = {}
        self._unseen: list[Record] = []
        self._size = 0
        self._absence: Optional[Absence] = None

    def note_if_empty(self) -> None:
        """Remember what is put from now on if the table is empty, so as not to look for more."""
        empty = self._database.row("SELECT 1 FROM syncrepl_entry LIMIT 1") is None
        self._absence = Absence() if empty else None

    # --- reading

    def get(self, uuid: bytes) -> Optional[Record]:
        """Return the entry with that UUID; None if there is none."""
        try:
            return self._records[uuid]
        except KeyError:
            record = next(self._select("uuid", (uuid,)), None)
        if self._has_room():
            self._records[uuid] = record
            self._know(record)
        return record

    def at(self, key: bytes) -> Optional[Record]:
        """Return the entry with that key; None if there is none."""
        try:
            uuid = self._owners[key]
        except KeyError:
            record = next(self._select("key", (key,)), None)
        else:
            return None if uuid is None else self._records[uuid]
        if self._has_room():
            self._owners[key] = None
            self._know(record)
        return record

    def prefetch(self, places: Mapping[bytes, bytes]) -> None:
        """Read the entries with these UUIDs, and those with these keys (keys by UUID)."""
        if len(places) <= _FEW:
            return
        self.flush()
        self.forget()
        for record in self._select("uuid", self._possible(places)):
            self._know(record)
        keys = [key for key in places.values() if key not in self._owners]
        for record in self._select("key", self._possible(keys)):
            self._know(record)
        # What was not found is not there.
        self._records = {**dict.fromkeys(places), **self._records}
        self._owners = {**dict.fromkeys(keys), **self._owners}

    def _possible(self, values: Collection[bytes]) -> Collection[bytes]:
        """Return *values* without UUIDs, or keys, that no entry has."""
        return values if self._absence is None else self._absence.possible(values)

    def _select(self, column: str, values: Collection[bytes]) -> Iterator[Record]:
        if not values:
            return iter(())
        marks = ", ".join("?" * len(values))
        sql = f"SELECT {COLUMNS} FROM syncrepl_entry WHERE {column} IN ({marks})"
        return self._database.records(sql, unadapted(values))

    def _know(self, record: Optional[Record]) -> None:
        if record is not None:
            self._records[record.uuid] = record
            self._owners[record.key] = record.uuid
            self._size += len(record.attrs)

    @property
    def _full(self) -> bool:
        return len(self._records) > _MANY or len(self._owners) > _MANY or self._size > _BYTES

    def _has_room(self) -> bool:
        """Return True if there is room for more; clears the cache if nothing is pending."""
        if self._full and not self._pending:
            self.forget()
        return not self._full

    # --- writing

    def put(self, record: Record) -> None:
        """Write *record* at the next flush.

        Raises:
            StoreError: another entry has its key.
        """
        uuid, key, dn, _ = record
        old = self.get(uuid)
        if old is None or old.key != key:
            if self.at(key) is not None:
                raise StoreError(f"two entries of the data store can't both be {dn!r}")
            if old is not None:
                self._owners[old.key] = None
            if self._absence is not None:
                self._absence.add(uuid, key)
        if uuid in self._pending:
            self.flush()  # what is written comes in this order, and made room for what follows
        self._pending[uuid] = record
        self._unseen.append(record)
        self._know(record)
        if self._full:
            self.flush()
            self.forget()

    def remove(self, uuid: bytes) -> None:
        """Remove the entry *uuid*."""
        self.flush()
        self.on_remove(uuid)
        self._database.execute("DELETE FROM syncrepl_entry WHERE uuid = ?", (uuid,))
        record = self._records.pop(uuid, None)
        if record is not None:
            self._owners.pop(record.key, None)

    def flush(self) -> None:
        """Write what is pending; not during a callback."""
        if self._pending:
            self._write(self._pending.values())
            self._pending.clear()
            self._unseen.clear()

    def show(self) -> None:
        """Make what is pending visible to SQL during a callback."""
        if self._unseen:
            self._write(self._unseen)
            self._unseen.clear()

    def _write(self, records: Iterable[Record]) -> None:
        # For bytes, sqlite3 looks for adapters.
        rows = [
            (bytearray(uuid), bytearray(key), dn, bytearray(attrs))
            for uuid, key, dn, attrs in records
        ]
        self._database.many(_PUT, rows)

    def forget(self) -> None:
        """Clear the cache, and discard what is pending."""
        self._records.clear()
        self._owners.clear()
        self._pending.clear()
        self._unseen.clear()
        self._size = 0

    def records(self, rest: str, values: Sequence[Any]) -> Iterator[Record]:
        """Yield the entries of ``SELECT ... FROM`` *rest*."""
        return self._database.records(f"SELECT {COLUMNS} FROM {rest}", values)
