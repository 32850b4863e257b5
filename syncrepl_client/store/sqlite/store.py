# SPDX-License-Identifier: BSD-3-Clause
"""The default store: one SQLite file, in WAL mode.

With synchronous=NORMAL a killed process loses no commit; a power failure may lose the last commits,
whole and in order, and their changes are reported again.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from operator import attrgetter
from typing import TYPE_CHECKING, Optional

from ...entries import dn
from ...exceptions import StoreInvalid
from ...protocol.view import Record
from ..base import FORMAT_VERSION, Origin, check_path
from ..cache import EntryCache
from ..cached import CachedStore
from ..fresh import FreshSeenUUIDs
from ..locking import FileLock, check_owner, require_files
from .database import Database
from .entries import SQLiteEntries
from .schema import (
    DEFENCES,
    LOOK_FOR_LOG,
    MIGRATION,
    SCHEMA,
    check_database,
    namesakes_of,
    new_key,
    origin_of,
)
from .seen import SCRATCH, SQLiteSeenUUIDs

if TYPE_CHECKING:  # most stores have no log, and import takes its time
    from .log import SQLiteLog

_MAGIC = b"SQLite format 3\0"
BESIDE = ("-wal", "-shm", "-journal")
"""Suffixes of the files that SQLite creates beside the database."""

_GET_ORIGIN = f"SELECT {', '.join(Origin._fields)} FROM syncrepl_origin"
_SET_ORIGIN = f"UPDATE syncrepl_origin SET {', '.join(f'{name} = ?' for name in Origin._fields)}"
_GET_NAMESAKES = "SELECT namesakes FROM syncrepl_origin"
_COUNT = "SELECT count(*) FROM syncrepl_entry WHERE key < ?"
_SET_COVERED = "UPDATE syncrepl_origin SET cookie = ?, known = ?"
_others = attrgetter("dialect", "url", "identity", "epoch", "reconciled", "tally")


class SQLiteStore(CachedStore):
    """Entries and cookie in one file."""

    _database: Database
    _seen: SQLiteSeenUUIDs

    def __init__(self, path: str) -> None:
        """Open the store at *path* if it exists; otherwise check that it can be created.

        Raises:
            StoreError: it can't, it is in use, or there is something else.
        """
        self.path = path
        self._lock: Optional[FileLock] = None
        self._origin: Optional[Origin] = None  # committed last by this client
        self._database = Database(path)
        self._entries = SQLiteEntries(self._database)
        self._cache = EntryCache(self._entries, self._require_transaction)
        self._seen = SQLiteSeenUUIDs(self._database, self._cache)
        self.seen = FreshSeenUUIDs(self._seen, self.get, self._is_empty)
        self._log: Optional[SQLiteLog] = None
        check_path(path)
        if os.path.lexists(path):
            self._open(create=False)

    def _open(self, *, create: bool) -> None:
        self._lock = FileLock(self.path, create=create)
        try:
            self._check_file(self._lock)
            require_files(self.path, BESIDE)
            check_owner(self.path, ("", *BESIDE))
            self._database.open()
            self._lock.check(self.path)  # SQLite follows links: it has opened what is locked
            self._prepare()
            require_files(self.path, BESIDE)
        except BaseException:
            self.close()
            raise

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection in whose open transaction callbacks run.

        Rows that they write there are committed with the change and the cookie, or not at all.
        Don't commit or roll back on it; tables named ``syncrepl_...`` are reserved for the store.
        """
        return self._database.connection

    def _check_file(self, lock: FileLock) -> None:
        head = lock.read(len(_MAGIC))
        if head and head != _MAGIC:
            raise StoreInvalid(
                f"{self.path!r} is not a data store; it was left as it is: change data_path"
            )

    def _is_new(self) -> bool:
        """Return True if the database is empty: its creator may have been killed before the schema.

        Switching to WAL already writes a first page, without an application ID.
        """
        application = self._database.number("PRAGMA application_id")
        anything = self._database.row("SELECT 1 FROM sqlite_master LIMIT 1")
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
        self._read_namesakes()
        self._cache.note_if_empty()

    def _migrate(self, version: int) -> None:
        self._database.connection.create_function("new_key", 3, new_key)
        self._database.execute("BEGIN IMMEDIATE")
        for each in range(version, FORMAT_VERSION):
            for statement in MIGRATION[each]:
                self._database.execute(statement)
        self._database.execute("COMMIT")

    def _check(self) -> int:
        """Check that this is a store; return its format version."""
        return check_database(self._database.rows, self.path)

    @property
    def exists(self) -> bool:
        return self._database.is_open

    def create(self) -> None:
        if not self.exists:
            self._open(create=True)

    def close(self) -> None:
        self._forget()
        self._origin = None
        self._database.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # --- reading

    @property
    def origin(self) -> Origin:
        row = self._database.row(_GET_ORIGIN)
        if row is None:
            raise StoreInvalid(f"the data store {self.path!r} is damaged: its origin is missing")
        return origin_of(row)

    def below(self, key: bytes, *, reverse: bool = False) -> Iterator[Record]:
        self._write_out()
        order = "DESC" if reverse else "ASC"
        return self._entries.records(
            f"key > ? AND key < ? ORDER BY key {order}", (key, key + dn.KEY_END)
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
        return self._entries.records("key < ? ORDER BY key", (dn.FIRST_NOT_LIVE,))

    # --- writing

    @property
    def log(self) -> "SQLiteLog":
        if self._log is None:
            from .log import SQLiteLog

            self._log = SQLiteLog(self._database, lambda: self.in_callback)
        return self._log

    @property
    def has_log(self) -> bool:
        return self.exists and self._database.row(LOOK_FOR_LOG) is not None and self.log.exist

    def begin(self) -> None:
        if self._lock is not None:
            self._lock.check(self.path)
        self._seen.flush()  # which a rollback shall not undo
        self._database.change("BEGIN IMMEDIATE")

    def commit(self, origin: Optional[Origin] = None) -> None:
        self._require_transaction()
        self._flush()
        if origin is not None:
            self._set_origin(origin)
        self._database.change("COMMIT")
        self._origin = origin or self._origin

    def _set_origin(self, origin: Origin) -> None:
        """Write the origin; of nearly all, only what is another than before."""
        before, cookie = self._origin, origin.cookie
        if cookie and before and _others(before) == _others(origin):
            # For bytes and for None, sqlite3 looks for adapters.
            self._database.change(_SET_COVERED, (bytearray(cookie), origin.known))
        else:
            self._database.change(_SET_ORIGIN, origin)

    def rollback(self) -> None:
        self._forget()  # also where SQLite has rolled back by itself
        if self.in_transaction:
            self._database.execute("ROLLBACK")
        if self.exists:
            self._read_namesakes()

    def _flush(self) -> None:
        self._cache.flush()
        if self._log is not None:
            self._log.flush()

    def _forget(self) -> None:
        self._cache.forget()
        self._seen.forget()
        if self._log is not None:
            self._log.forget()

    def _read_namesakes(self) -> None:
        self.namesakes = namesakes_of(self._database.row(_GET_NAMESAKES))
