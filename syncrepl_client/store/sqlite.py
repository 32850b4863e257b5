# SPDX-License-Identifier: BSD-3-Clause
"""The default store: one SQLite file, in WAL mode.

Synchronous NORMAL: a killed process loses nothing that was committed; a power failure may
take the last commits away again, whole and in order, and what they held is reported anew.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Optional

from .. import dn
from ..exceptions import StoreError, StoreInvalid
from ..view import Named, Record
from .base import FORMAT_VERSION, Origin, Store, check_path, check_version
from .locking import FileLock

_APPLICATION_ID = 0x53524C43
_MAGIC = b"SQLite format 3\0"

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE syncrepl_entry (
    id INTEGER PRIMARY KEY,
    uuid BLOB NOT NULL UNIQUE,
    key BLOB NOT NULL UNIQUE,
    dn TEXT NOT NULL,
    attrs BLOB NOT NULL
);
CREATE TABLE syncrepl_origin (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    cookie BLOB,
    dialect TEXT,
    url TEXT
);
INSERT INTO syncrepl_origin (only) VALUES (1);
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {FORMAT_VERSION};
COMMIT;
"""

_SCRATCH = """
CREATE TEMP TABLE named (uuid BLOB PRIMARY KEY, word INTEGER NOT NULL) WITHOUT ROWID;
"""

_COLUMNS = "uuid, key, dn, attrs"
_END = b"\xff" * 2
"""Sorts after every continuation of a key that is not a displaced one's."""


class SQLiteStore(Store):
    """Entries and cookie in one file."""

    def __init__(self, path: str) -> None:
        """Open the store at *path* if it exists, see that it can be made if not.

        Raises:
            StoreError: it can't, it is in use, or there is something else.
        """
        self.path = path
        self._lock: Optional[FileLock] = None
        self._connection: Optional[sqlite3.Connection] = None
        self.named = SQLiteNamed(self)
        check_path(path)
        if os.path.lexists(path):
            self._open(create=False)

    def _open(self, *, create: bool) -> None:
        self._lock = FileLock(self.path, create=create)
        try:
            self._check_file()
            self._connection = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False
            )
            self._prepare()
        except BaseException:
            self.close()
            raise

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection whose open transaction callbacks run in.

        Rows that they write there commit with the change and the cookie, or not at all.  Don't
        commit or roll back on it; tables named ``syncrepl_...`` are the store's own.
        """
        if self._connection is None:
            raise StoreError(f"the data store {self.path!r} is not open")
        return self._connection

    def _check_file(self) -> None:
        with open(self.path, "rb") as file:
            head = file.read(len(_MAGIC))
        if head and head != _MAGIC:
            raise StoreInvalid(
                f"{self.path!r} is not a data store; it was left as it is: change data_path"
            )

    def _is_new(self) -> bool:
        """Say whether there is nothing in it: who made it may have been killed before the schema.

        To switch to WAL writes a first page already, in which no application is named.
        """
        (application,) = self._execute("PRAGMA application_id").fetchone()
        anything = self._execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        return application == 0 and anything is None

    def _prepare(self) -> None:
        new = self._is_new()
        if not new:
            self._check()
        self._execute("PRAGMA journal_mode = WAL")
        self._execute("PRAGMA synchronous = NORMAL")
        self._execute("PRAGMA temp_store = FILE")
        if new:
            try:
                self.connection.executescript(_SCHEMA)
            except sqlite3.Error as error:
                raise self._failed(error) from error
        self._execute(_SCRATCH)

    def _check(self) -> None:
        (application,) = self._execute("PRAGMA application_id").fetchone()
        if application != _APPLICATION_ID:
            raise StoreInvalid(
                f"{self.path!r} is a database, but not a data store; it was left as it is: "
                "change data_path"
            )
        (version,) = self._execute("PRAGMA user_version").fetchone()
        check_version(version, self.path)

    @property
    def exists(self) -> bool:
        return self._connection is not None

    def create(self) -> None:
        if not self.exists:
            self._open(create=True)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # --- what it holds

    @property
    def origin(self) -> Origin:
        row = self._execute("SELECT cookie, dialect, url FROM syncrepl_origin").fetchone()
        if row is None:
            raise StoreInvalid(f"the data store {self.path!r} is damaged: its origin is missing")
        return Origin(*row)

    def get(self, uuid: bytes) -> Optional[Record]:
        return self._one(f"SELECT {_COLUMNS} FROM syncrepl_entry WHERE uuid = ?", uuid)

    def at(self, key: bytes) -> Optional[Record]:
        return self._one(f"SELECT {_COLUMNS} FROM syncrepl_entry WHERE key = ?", key)

    def below(self, key: bytes, *, reverse: bool = False) -> Iterator[Record]:
        return self._records(
            f"SELECT {_COLUMNS} FROM syncrepl_entry WHERE key > ? AND key < ? "
            f"ORDER BY key {'DESC' if reverse else 'ASC'}",
            (key, key + _END),
        )

    def has_displaced(self) -> bool:
        sql = "SELECT 1 FROM syncrepl_entry WHERE key >= ? LIMIT 1"
        return self._execute(sql, (dn.FIRST_DISPLACED,)).fetchone() is not None

    def __len__(self) -> int:
        sql = "SELECT count(*) FROM syncrepl_entry WHERE key < ?"
        count: int = self._execute(sql, (dn.FIRST_NOT_LIVE,)).fetchone()[0]
        return count

    def live(self) -> Iterator[Record]:
        return self._records(
            f"SELECT {_COLUMNS} FROM syncrepl_entry WHERE key < ? ORDER BY key",
            (dn.FIRST_NOT_LIVE,),
        )

    # --- changing it

    @property
    def in_transaction(self) -> bool:
        return self.exists and self.connection.in_transaction

    def begin(self) -> None:
        if self._lock is not None:
            self._lock.check(self.path)
        self._execute("BEGIN IMMEDIATE")

    def commit(self, origin: Optional[Origin] = None) -> None:
        self._require_transaction()
        if origin is not None:
            self._execute("UPDATE syncrepl_origin SET cookie = ?, dialect = ?, url = ?", origin)
        self._execute("COMMIT")

    def rollback(self) -> None:
        if self.in_transaction:
            self._execute("ROLLBACK")

    def _require_transaction(self) -> None:
        if not self.connection.in_transaction:
            raise StoreError(
                "no transaction is open; if a callback ended it: don't commit or roll back on "
                "client.store.connection, nor use it as a context manager"
            )

    def put(self, record: Record) -> None:
        self._require_transaction()
        self._execute(
            "INSERT INTO syncrepl_entry (uuid, key, dn, attrs) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (uuid) DO UPDATE SET key = excluded.key, dn = excluded.dn, "
            "attrs = excluded.attrs",
            record,
        )

    def remove(self, uuid: bytes) -> None:
        self._require_transaction()
        self._execute("DELETE FROM syncrepl_entry WHERE uuid = ?", (uuid,))

    # --- every statement passes here

    def _execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        try:
            return self.connection.execute(sql, values)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        try:
            self.connection.executemany(sql, rows)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _one(self, sql: str, value: bytes) -> Optional[Record]:
        row = self._execute(sql, (value,)).fetchone()
        return None if row is None else Record(*row)

    def _records(self, sql: str, values: Sequence[Any]) -> Iterator[Record]:
        cursor = self._execute(sql, values)
        try:
            yield from map(Record._make, cursor)
        except sqlite3.Error as error:
            raise self._failed(error) from error
        finally:
            cursor.close()

    def _failed(self, error: sqlite3.Error) -> StoreError:
        if type(error) is sqlite3.DatabaseError:
            return StoreInvalid(f"the data store {self.path!r} is damaged: {error}")
        return StoreError(f"the data store {self.path!r} can't be used: {error}")


_PRESENT, _PLACED, _GONE = 0, 1, 2


class SQLiteNamed(Named):
    """What a refresh named, in a temporary table: SQLite spills it to disk."""

    def __init__(self, store: "SQLiteStore") -> None:
        """Run statements through *store*."""
        self._execute = store._execute
        self._executemany = store._executemany
        self._records = store._records

    def present(self, uuids: Iterable[bytes]) -> None:
        self._executemany(
            "INSERT OR IGNORE INTO named VALUES (?, ?)", ((uuid, _PRESENT) for uuid in uuids)
        )

    def placed(self, uuid: bytes) -> None:
        self._execute("INSERT OR REPLACE INTO named VALUES (?, ?)", (uuid, _PLACED))

    def gone(self, uuids: Iterable[bytes]) -> None:
        self._executemany(
            "INSERT OR REPLACE INTO named VALUES (?, ?)", ((uuid, _GONE) for uuid in uuids)
        )

    def is_placed(self, uuid: bytes) -> bool:
        sql = "SELECT 1 FROM named WHERE uuid = ? AND word = ?"
        return self._execute(sql, (uuid, _PLACED)).fetchone() is not None

    def unknown(self) -> bool:
        sql = (
            "SELECT 1 FROM named WHERE word = ? AND NOT EXISTS "
            "(SELECT 1 FROM syncrepl_entry WHERE syncrepl_entry.uuid = named.uuid) LIMIT 1"
        )
        return self._execute(sql, (_PRESENT,)).fetchone() is not None

    def leavers(self, *, unnamed: bool) -> Iterator[Record]:
        if unnamed:
            tables, gone = "syncrepl_entry LEFT JOIN named USING (uuid)", "word IS NULL OR word = ?"
        else:
            tables, gone = "named CROSS JOIN syncrepl_entry USING (uuid)", "word = ?"
        # To delete the row that a SELECT is at is safe in SQLite; no other one is deleted.
        return self._records(
            f"SELECT {_COLUMNS} FROM {tables} WHERE {gone} ORDER BY key DESC", (_GONE,)
        )

    def clear(self) -> None:
        self._execute("DELETE FROM named")
