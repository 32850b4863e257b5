# SPDX-License-Identifier: BSD-3-Clause
"""The default store: one SQLite file, in WAL mode.

Synchronous NORMAL: a killed process loses nothing that was committed; a power failure may
take the last commits away again, whole and in order, and what they held is reported anew.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Optional

from .. import dn
from ..exceptions import StoreError, StoreInvalid
from ..view import Record
from .ahead import Ahead
from .base import FORMAT_VERSION, Origin, Store, check_path
from .database import Database
from .locking import FileLock, require_files
from .named import SCRATCH, SQLiteNamed
from .schema import (
    DEFENCES,
    MIGRATION,
    SCHEMA,
    check_database,
    origin_of,
)

_MAGIC = b"SQLite format 3\0"
BESIDE = ("-wal", "-shm", "-journal")
"""Ends of the names of the files that SQLite has beside the one."""

_GET_ORIGIN = f"SELECT {', '.join(Origin._fields)} FROM syncrepl_origin"
_SET_ORIGIN = f"UPDATE syncrepl_origin SET {', '.join(f'{name} = ?' for name in Origin._fields)}"
_COUNT = "SELECT count(*) FROM syncrepl_entry WHERE key < ?"
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
        self._database = Database(path)
        self._ahead = Ahead(self._database)
        self._named = self.named = SQLiteNamed(self._database, self._ahead)
        check_path(path)
        if os.path.lexists(path):
            self._open(create=False)

    def _open(self, *, create: bool) -> None:
        self._lock = FileLock(self.path, create=create)
        try:
            self._check_file(self._lock)
            require_files(self.path, BESIDE)
            self._database.open()
            self._lock.check(self.path)  # SQLite follows links: it has opened what is locked
            self._prepare()
            require_files(self.path, BESIDE)
        except BaseException:
            self.close()
            raise

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection whose open transaction callbacks run in.

        Rows that they write there commit with the change and the cookie, or not at all.  Don't
        commit or roll back on it; tables named ``syncrepl_...`` are the store's own.
        """
        return self._database.connection

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
        application = self._database.number("PRAGMA application_id")
        anything = self._database.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        return application == 0 and anything is None

    def _prepare(self) -> None:
        for pragma in DEFENCES:
            self._database.execute(pragma)
        new = self._is_new()
        version = FORMAT_VERSION if new else self._check()
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute("PRAGMA temp_store = FILE")
        if new:
            self._database.script(SCHEMA)
        if version < FORMAT_VERSION:
            self._migrate(version)
        for statement in SCRATCH:
            self._database.execute(statement)

    def _migrate(self, version: int) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        for each in range(version, FORMAT_VERSION):
            for statement in MIGRATION[each]:
                self._database.execute(statement)
        self._database.execute("COMMIT")

    def _check(self) -> int:
        """See that this is a store; return the version of its format."""
        return check_database(lambda sql: self._database.execute(sql).fetchall(), self.path)

    @property
    def exists(self) -> bool:
        return self._database.is_open

    def create(self) -> None:
        if not self.exists:
            self._open(create=True)

    def close(self) -> None:
        self._forget()
        self._database.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # --- what it holds

    @property
    def origin(self) -> Origin:
        row = self._database.row(_GET_ORIGIN)
        if row is None:
            raise StoreInvalid(f"the data store {self.path!r} is damaged: its origin is missing")
        return origin_of(row)

    def get(self, uuid: bytes) -> Optional[Record]:
        return self._ahead.get(uuid)

    def at(self, key: bytes) -> Optional[Record]:
        return self._ahead.at(key)

    def expect(self, places: Mapping[bytes, bytes]) -> None:
        self._ahead.expect(places)

    def below(self, key: bytes, *, reverse: bool = False) -> Iterator[Record]:
        self._write_out()
        return self._ahead.records(
            f"syncrepl_entry WHERE key > ? AND key < ? ORDER BY key {'DESC' if reverse else 'ASC'}",
            (key, key + _END),
        )

    def has_displaced(self) -> bool:
        self._write_out()
        sql = "SELECT 1 FROM syncrepl_entry WHERE key >= ? LIMIT 1"
        return self._database.row(sql, (dn.FIRST_DISPLACED,)) is not None

    def __len__(self) -> int:
        self._write_out()
        return self._database.number(_COUNT, (dn.FIRST_NOT_LIVE,))

    def count(self) -> int:
        if not self.exists:
            return 0
        with closing(Database(self.path)) as reader:
            reader.open("mode=ro")
            return reader.number(_COUNT, (dn.FIRST_NOT_LIVE,))

    def live(self) -> Iterator[Record]:
        self._write_out()
        return self._ahead.records(
            "syncrepl_entry WHERE key < ? ORDER BY key", (dn.FIRST_NOT_LIVE,)
        )

    # --- changing it

    @property
    def in_transaction(self) -> bool:
        return self._database.in_transaction

    def begin(self) -> None:
        if self._lock is not None:
            self._lock.check(self.path)
        self._named.flush()  # which a rollback shall not undo
        self._database.execute("BEGIN IMMEDIATE")

    def commit(self, origin: Optional[Origin] = None) -> None:
        self._require_transaction()
        self._ahead.flush()
        if origin is not None:
            self._database.execute(_SET_ORIGIN, origin)
        self._database.execute("COMMIT")

    def rollback(self) -> None:
        self._forget()  # also where SQLite has rolled back by itself
        if self.in_transaction:
            self._database.execute("ROLLBACK")

    def _forget(self) -> None:
        """Forget what is not written yet."""
        self._ahead.forget()
        self._named.forget()

    def _write_out(self) -> None:
        """Have SQL see what was put."""
        if self.lent:
            self._ahead.show()
        else:
            self._ahead.flush()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self._require_transaction()
        self._ahead.flush()
        self._named.flush()
        self._database.execute("SAVEPOINT syncrepl_savepoint")
        try:
            yield
        except BaseException:
            self._forget()
            if self.in_transaction:  # SQLite ends it itself where the disk is full
                self._database.execute("ROLLBACK TO syncrepl_savepoint")
                self._database.execute("RELEASE syncrepl_savepoint")
            raise
        self._require_transaction()
        self._database.execute("RELEASE syncrepl_savepoint")

    def _require_transaction(self) -> None:
        if not self._database.in_transaction:
            raise StoreError(
                "no transaction is open; if a callback ended it: don't commit or roll back on "
                "client.store.connection, nor use it as a context manager"
            )

    def put(self, record: Record) -> None:
        self._require_transaction()
        self._ahead.put(record)

    def remove(self, uuid: bytes) -> None:
        self._require_transaction()
        self._ahead.remove(uuid)
