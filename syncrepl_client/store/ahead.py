# SPDX-License-Identifier: BSD-3-Clause
"""Reading ahead, and writing behind: one statement for a group of entries, not one for each.

What is known of the table, and what is not written to it yet, is bounded.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable, Optional

from ..exceptions import StoreError
from ..view import Record
from .database import Database, unadapted

COLUMNS = "uuid, key, dn, attrs"
_PUT = (
    f"INSERT INTO syncrepl_entry ({COLUMNS}) VALUES (?, ?, ?, ?) ON CONFLICT (uuid) DO UPDATE SET "
    "key = excluded.key, dn = excluded.dn, attrs = excluded.attrs"
)
_FEW = 8
"""So few entries are read one by one."""
_MANY, _BYTES = 1024, 4 << 20
"""So many entries, and so many bytes of attributes, are known at once, or one more."""


class Ahead:
    """The table of entries as it will be once :meth:`flush` has written what is pending.

    What is pending is known.  Nobody else may write to the table, but a callback may roll back
    to a savepoint of its own.  So what is written while one may be at work, in order to be seen by
    SQL, stays pending.

    Attributes:
        on_remove: called with the UUID of an entry before it is removed.
    """

    def __init__(self, database: Database) -> None:
        """Read and write through *database*."""
        self._database = database
        self.on_remove: Callable[[bytes], None] = lambda uuid: None
        self._records: dict[bytes, Optional[Record]] = {}
        self._owners: dict[bytes, Optional[bytes]] = {}
        self._pending: dict[bytes, Record] = {}
        self._unseen: list[Record] = []
        self._size = 0

    # --- reading

    def get(self, uuid: bytes) -> Optional[Record]:
        """Return the entry *uuid*."""
        try:
            return self._records[uuid]
        except KeyError:
            record = next(self._select("uuid", (uuid,)), None)
        if self._has_room():
            self._records[uuid] = record
            self._know(record)
        return record

    def at(self, key: bytes) -> Optional[Record]:
        """Return the entry with that key."""
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

    def expect(self, places: Mapping[bytes, bytes]) -> None:
        """Read the entries with these UUIDs, and those with the keys of others (UUID to key)."""
        if len(places) <= _FEW:
            return
        self.flush()
        self.forget()
        for record in self._select("uuid", tuple(places)):
            self._know(record)
        keys = tuple(key for key in places.values() if key not in self._owners)
        if keys:
            for record in self._select("key", keys):
                self._know(record)
        # What was not found is not there.
        self._records = {**dict.fromkeys(places), **self._records}
        self._owners = {**dict.fromkeys(keys), **self._owners}

    def _select(self, column: str, values: Sequence[bytes]) -> Iterator[Record]:
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
        return max(len(self._records), len(self._owners)) > _MANY or self._size > _BYTES

    def _has_room(self) -> bool:
        """Say whether more can be known, if need be in place of all that is known so far."""
        if self._full and not self._pending:
            self.forget()
        return not self._full

    # --- writing

    def put(self, record: Record) -> None:
        """Write *record*, soon.

        Raises:
            StoreError: another entry has its key.
        """
        old = self.get(record.uuid)
        if old is None or old.key != record.key:
            if self.at(record.key) is not None:
                raise StoreError(f"two entries of the data store can't both be {record.dn!r}")
            if old is not None:
                self._owners[old.key] = None
        if record.uuid in self._pending:
            self.flush()  # what is written comes in this order, and made room for what follows
        self._pending[record.uuid] = record
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
        """Write what is pending; not while a callback is at work."""
        if self._pending:
            self._database.many(_PUT, self._pending.values())
            self._pending.clear()
            self._unseen.clear()

    def show(self) -> None:
        """Have SQL see what is pending, though a callback is at work."""
        if self._unseen:
            self._database.many(_PUT, self._unseen)
            self._unseen.clear()

    def forget(self) -> None:
        """Know nothing any more, nor write what was pending."""
        self._records.clear()
        self._owners.clear()
        self._pending.clear()
        self._unseen.clear()
        self._size = 0

    def records(self, rest: str, values: Sequence[Any]) -> Iterator[Record]:
        """Yield the entries that ``SELECT`` finds in the table, with this *rest* of a statement."""
        return self._database.records(f"SELECT {COLUMNS} FROM {rest}", values)
