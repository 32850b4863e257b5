# SPDX-License-Identifier: BSD-3-Clause
"""The default store: one SQLite file, in WAL mode.

Synchronous NORMAL: a killed process loses nothing that was committed; a power failure may
take the last commits away again, whole and in order, and what they held is reported anew.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Optional

from .. import dn
from ..exceptions import StoreError, StoreInvalid
from ..view import Named, Record
from .base import FORMAT_VERSION, Origin, Store, check_path, check_version
from .locking import FileLock, require_files
from .schema import (
    APPLICATION_ID,
    DEFENCES,
    FROM_FORMAT_1,
    SCHEMA,
    check_tables,
    origin_of,
    record_of,
)

_MAGIC = b"SQLite format 3\0"
_BESIDE = ("-wal", "-shm", "-journal")

_SCRATCH = """
CREATE TEMP TABLE named (uuid BLOB PRIMARY KEY, word INTEGER NOT NULL) WITHOUT ROWID;
"""

_COLUMNS = "uuid, key, dn, attrs"
_GET_ORIGIN = f"SELECT {', '.join(Origin._fields)} FROM syncrepl_origin"
_SET_ORIGIN = f"UPDATE syncrepl_origin SET {', '.join(f'{name} = ?' for name in Origin._fields)}"
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
            self._check_file(self._lock)
            require_files(self.path, _BESIDE)
            self._connection = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False
            )
            self._lock.check(self.path)  # SQLite follows links: it has opened what is locked
            self._prepare()
            require_files(self.path, _BESIDE)
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

    def _check_file(self, lock: FileLock) -> None:
        head = lock.read(len(_MAGIC))
        if head and head != _MAGIC:
            raise StoreInvalid(
                f"{self.path!r} is not a data store; it was left as it is: change data_path"
            )

    def _is_new(self) -> bool:
        """Say whether there is nothing in it: who made it may have been killed before the schema.

        To switch to WAL writes a first page already, in which no application is named.
        """
        application = self._count("PRAGMA application_id")
        anything = self._execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        return application == 0 and anything is None

    def _prepare(self) -> None:
        for pragma in DEFENCES:
            self._execute(pragma)
        new = self._is_new()
        version = FORMAT_VERSION if new else self._check()
        self._execute("PRAGMA journal_mode = WAL")
        self._execute("PRAGMA synchronous = NORMAL")
        self._execute("PRAGMA temp_store = FILE")
        if new:
            try:
                self.connection.executescript(SCHEMA)
            except sqlite3.Error as error:
                raise self._failed(error) from error
        if version < FORMAT_VERSION:
            self._migrate()
        self._execute(_SCRATCH)

    def _migrate(self) -> None:
        self._execute("BEGIN IMMEDIATE")
        for statement in FROM_FORMAT_1:
            self._execute(statement)
        self._execute("COMMIT")

    def _check(self) -> int:
        """See that this is a store; return the version of its format."""
        application = self._count("PRAGMA application_id")
        if application != APPLICATION_ID:
            raise StoreInvalid(
                f"{self.path!r} is a database, but not a data store; it was left as it is: "
                "change data_path"
            )
        version = self._count("PRAGMA user_version")
        check_version(version, self.path)
        check_tables(lambda sql: self._execute(sql).fetchall(), version, self.path)
        return version

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
        row = self._row(_GET_ORIGIN)
        if row is None:
            raise StoreInvalid(f"the data store {self.path!r} is damaged: its origin is missing")
        return origin_of(row)

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
        return self._row(sql, (dn.FIRST_DISPLACED,)) is not None

    def __len__(self) -> int:
        sql = "SELECT count(*) FROM syncrepl_entry WHERE key < ?"
        return self._count(sql, (dn.FIRST_NOT_LIVE,))

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
            self._execute(_SET_ORIGIN, origin)
        self._execute("COMMIT")

    def rollback(self) -> None:
        if self.in_transaction:
            self._execute("ROLLBACK")

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self._require_transaction()
        self._execute("SAVEPOINT syncrepl_savepoint")
        try:
            yield
        except BaseException:
            if self.in_transaction:  # SQLite ends it itself where the disk is full
                self._execute("ROLLBACK TO syncrepl_savepoint")
                self._execute("RELEASE syncrepl_savepoint")
            raise
        self._require_transaction()
        self._execute("RELEASE syncrepl_savepoint")

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

    def _row(self, sql: str, values: Sequence[Any] = ()) -> Optional[tuple[Any, ...]]:
        """Return the first row; cells are decoded, and fail to be, when they are fetched."""
        cursor = self._execute(sql, values)
        try:
            row: Optional[tuple[Any, ...]] = cursor.fetchone()
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return row

    def _count(self, sql: str, values: Sequence[Any] = ()) -> int:
        row = self._row(sql, values)
        return int(row[0]) if row else 0

    def _executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        try:
            self.connection.executemany(sql, rows)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _one(self, sql: str, value: bytes) -> Optional[Record]:
        row = self._row(sql, (value,))
        return None if row is None else record_of(row)

    def _records(self, sql: str, values: Sequence[Any]) -> Iterator[Record]:
        cursor = self._execute(sql, values)
        try:
            yield from map(record_of, cursor)
        except sqlite3.Error as error:
            raise self._failed(error) from error
        finally:
            cursor.close()

    def _failed(self, error: sqlite3.Error) -> StoreError:
        # A text that is not UTF-8 is an OperationalError of Python's own.
        if type(error) is sqlite3.DatabaseError or "decode to UTF-8" in str(error):
            return StoreInvalid(f"the data store {self.path!r} is damaged: {error}")
        return StoreError(f"the data store {self.path!r} can't be used: {error}")


_PRESENT, _PLACED, _GONE = 0, 1, 2
_LEAVERS = {
    True: "syncrepl_entry LEFT JOIN named USING (uuid) WHERE (word IS NULL OR word = ?)",
    False: "named CROSS JOIN syncrepl_entry USING (uuid) WHERE word = ?",
}


class SQLiteNamed(Named):
    """What a refresh named, in a temporary table: SQLite spills it to disk."""

    def __init__(self, store: "SQLiteStore") -> None:
        """Run statements through *store*."""
        self._execute = store._execute
        self._row = store._row
        self._count = store._count
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
        return self._row(sql, (uuid, _PLACED)) is not None

    def unknown(self) -> bool:
        sql = (
            "SELECT 1 FROM named WHERE word = ? AND NOT EXISTS "
            "(SELECT 1 FROM syncrepl_entry WHERE syncrepl_entry.uuid = named.uuid) LIMIT 1"
        )
        return self._row(sql, (_PRESENT,)) is not None

    def leavers(self, *, unnamed: bool) -> Iterator[Record]:
        # To delete the row that a SELECT is at is safe in SQLite; no other one is deleted.
        return self._records(
            f"SELECT {_COLUMNS} FROM {_LEAVERS[unnamed]} ORDER BY key DESC", (_GONE,)
        )

    def count_leavers(self, *, unnamed: bool) -> int:
        sql = f"SELECT count(*) FROM {_LEAVERS[unnamed]} AND key < ?"
        return self._count(sql, (_GONE, dn.FIRST_NOT_LIVE))

    def clear(self) -> None:
        self._execute("DELETE FROM named")
