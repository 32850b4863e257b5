# SPDX-License-Identifier: BSD-3-Clause
"""What :class:`.LDIFCallback` stores in the transaction of the changes.

That is the keys of the entries that :mod:`.arrangement` holds back, which are kept as long as the
store, and records that are written to the stream before the commit.  A rollback restores both.
"""

from abc import abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Any, Optional, Union

from ..exceptions import StoreError
from ..protocol.view import View
from ..store import Store
from .arrangement import HeldBack


class LDIFState(HeldBack):
    """The keys that are held back, and the records that are not written yet."""

    @abstractmethod
    def held(self) -> list[tuple[bytes, Optional[bytes]]]:
        """Return the keys that are held back, with the UUIDs of the entries if known."""

    def renew(self, view: View) -> None:
        stored = ((key, uuid and view.get(uuid)) for key, uuid in self.held())
        others = [(key, record) for key, record in stored if not record or record.key != key]
        for key, _ in others:
            self.remove(key)
        for _, record in others:
            if record:
                self.add(record.key, record.uuid)

    @abstractmethod
    def write(self, record: str) -> None:
        """Buffer *record*."""

    @abstractmethod
    def records(self) -> Iterator[str]:
        """Yield the buffered records, and remove them."""

    def committing(self) -> None:
        """Called when the transaction is about to be committed."""

    def rolled_back(self) -> None:
        """Called when the transaction was rolled back, or when none was open."""


def open_state(store: Store) -> LDIFState:
    """Return state in the database of the open *store*; in memory, if it is not a database."""
    try:
        store.connection  # noqa: B018 - it is asked for
    except StoreError:
        return LDIFStateInMemory()
    return LDIFStateInPostgreSQL(store) if store.qualifier else LDIFStateInDatabase(store)


_END = b"\xff" * 2
"""Sorts after every key that starts with a given key."""


class LDIFStateInDatabase(LDIFState):
    """A table of keys, and a temporary table of records, which SQLite spills to disk."""

    _records = "temp.syncrepl_records"
    _held_columns = "(key BLOB NOT NULL PRIMARY KEY, uuid BLOB) WITHOUT ROWID"
    _records_columns = "(id INTEGER PRIMARY KEY, record TEXT NOT NULL)"

    def __init__(self, store: Store) -> None:
        """Create the tables if they do not exist; *store* has a database."""
        self._store = store
        self._held = f"{store.qualifier}syncrepl_held_back"
        self._create()

    def _create(self) -> None:
        self._execute(f"CREATE TABLE IF NOT EXISTS {{held}} {self._held_columns}")
        self._execute(f"CREATE TABLE IF NOT EXISTS {{records}} {self._records_columns}")

    def _execute(self, sql: str, *values: Union[bytes, str, int]) -> Any:
        """Execute a statement with the names of the two tables in it."""
        statement = sql.format(held=self._held, records=self._records)
        return self._store.connection.execute(statement, values)

    def add(self, key: bytes, uuid: bytes) -> None:
        sql = (
            "INSERT INTO {held} (key, uuid) VALUES (?, ?) "
            "ON CONFLICT (key) DO UPDATE SET uuid = excluded.uuid"
        )
        self._execute(sql, key, uuid)

    def remove(self, key: bytes) -> None:
        self._execute("DELETE FROM {held} WHERE key = ?", key)

    def __contains__(self, key: bytes) -> bool:
        return self._execute("SELECT 1 FROM {held} WHERE key = ?", key).fetchone() is not None

    def following(self, key: bytes, below: bytes) -> Optional[bytes]:
        sql = "SELECT key FROM {held} WHERE key > ? AND key < ? ORDER BY key LIMIT 1"
        row: Optional[tuple[bytes]] = self._execute(sql, key, below + _END).fetchone()
        return None if row is None else row[0]

    def held(self) -> list[tuple[bytes, Optional[bytes]]]:
        rows: list[tuple[bytes, Optional[bytes]]]
        rows = self._execute("SELECT key, uuid FROM {held}").fetchall()
        return rows

    def write(self, record: str) -> None:
        self._execute("INSERT INTO {records} (record) VALUES (?)", record)

    def records(self) -> Iterator[str]:
        last = 0
        sql = "SELECT id, record FROM {records} WHERE id > ? ORDER BY id LIMIT 1000"
        while rows := self._execute(sql, last).fetchall():
            yield from (record for _, record in rows)
            last = rows[-1][0]
        self._execute("DELETE FROM {records}")


class LDIFStateInPostgreSQL(LDIFStateInDatabase):
    """A table of keys in the schema of the store, and a temporary table of records."""

    _records = "pg_temp.syncrepl_records"
    _held_columns = "(key bytea NOT NULL PRIMARY KEY, uuid bytea)"
    _records_columns = "(id bigserial PRIMARY KEY, record text NOT NULL)"

    def _create(self) -> None:
        super()._create()
        self._session = self._store.connection

    def rolled_back(self) -> None:
        if self._store.connection is not self._session:  # with which the records are gone
            self._create()

    def _execute(self, sql: str, *values: Union[bytes, str, int]) -> Any:
        return super()._execute(sql.replace("?", "%s"), *values)


class LDIFStateInMemory(LDIFState):
    """State for a store that is not a database; it ends with the process."""

    def __init__(self) -> None:
        """Initialize empty."""
        self._keys: list[bytes] = []
        self._uuids: dict[bytes, bytes] = {}
        self._committed: dict[bytes, bytes] = {}
        self._changed = False
        self._records: list[str] = []

    def add(self, key: bytes, uuid: bytes) -> None:
        if key not in self:
            self._keys.insert(bisect_left(self._keys, key), key)
        self._uuids[key] = uuid
        self._changed = True

    def remove(self, key: bytes) -> None:
        if key in self:
            del self._keys[bisect_left(self._keys, key)], self._uuids[key]
            self._changed = True

    def __contains__(self, key: bytes) -> bool:
        return key in self._uuids

    def following(self, key: bytes, below: bytes) -> Optional[bytes]:
        place = bisect_right(self._keys, key)
        found = self._keys[place : place + 1]
        return found[0] if found and found[0].startswith(below) else None

    def held(self) -> list[tuple[bytes, Optional[bytes]]]:
        return list(self._uuids.items())

    def write(self, record: str) -> None:
        self._records.append(record)

    def records(self) -> Iterator[str]:
        yield from self._records
        self._records.clear()

    def committing(self) -> None:
        if self._changed:
            self._committed, self._changed = dict(self._uuids), False

    def rolled_back(self) -> None:
        self._records.clear()
        if self._changed:
            self._uuids, self._changed = dict(self._committed), False
            self._keys = sorted(self._uuids)
