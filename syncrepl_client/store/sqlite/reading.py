# SPDX-License-Identifier: BSD-3-Clause
"""Reads an SQLite store, also while a client has it open; nothing is created or changed.

Readers of a database in WAL mode block nobody, and see the same commit all the time.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Optional

from ...changelog.log import Log
from ...entries import dn
from ...exceptions import StoreError, StoreInvalid, StorePathError
from ...protocol.view import Record
from ..base import KEYS_VERSION, Origin, log_of
from ..locking import is_locked, require_files
from ..reading import StoreReader
from .database import Database
from .log import SQLiteLog
from .schema import (
    DEFENCES,
    check_database,
    namesakes_of,
    origin_columns,
    origin_of,
    record_of,
)
from .store import BESIDE

_ENTRY = "uuid, key, dn, attrs FROM syncrepl_entry"
_PAGES_AT_ONCE = 4096


class CommittedEntries:
    """The entries in the database of a store."""

    def __init__(self, database: Database) -> None:
        """Initialize from the database."""
        self._database = database

    def __len__(self) -> int:
        """Return the number of live entries."""
        sql = "SELECT count(*) FROM syncrepl_entry WHERE key < ?"
        return self._database.number(sql, (dn.FIRST_NOT_LIVE,))

    def get(self, uuid: bytes) -> Optional[Record]:
        """Return the entry *uuid*; None if there is none.

        Raises:
            StoreError: the store can't be read, or is damaged.
        """
        row = self._database.row(f"SELECT {_ENTRY} WHERE uuid = ?", (uuid,))
        return None if row is None else record_of(row)

    def at(self, key: bytes) -> Optional[Record]:
        """Return the entry with that key; None if there is none.

        Raises:
            StoreError: the store can't be read, or is damaged.
        """
        row = self._database.row(f"SELECT {_ENTRY} WHERE key = ?", (key,))
        return None if row is None else record_of(row)

    def below(self, key: bytes) -> Iterator[Record]:
        """Yield the entries below *key*, in order of key.

        Raises:
            StoreError: the store can't be read, or is damaged.
        """
        return self._database.records(
            f"SELECT {_ENTRY} WHERE key > ? AND key < ? ORDER BY key", (key, key + dn.KEY_END)
        )

    def live(self) -> Iterator[Record]:
        """Yield the live entries lazily, parents before children.

        Raises:
            StoreError: the store can't be read, or is damaged.
        """
        return self._database.records(
            f"SELECT {_ENTRY} WHERE key < ? ORDER BY key", (dn.FIRST_NOT_LIVE,)
        )

    def following(self, uuid: bytes, limit: int) -> list[Record]:
        """Return up to *limit* records of any kind after *uuid*, in order of UUID.

        Raises:
            StoreError: the store can't be read, or is damaged.
        """
        sql = f"SELECT {_ENTRY} WHERE uuid > ? ORDER BY uuid LIMIT ?"
        return list(self._database.records(sql, (uuid, limit)))


class SQLiteReader(CommittedEntries, StoreReader):
    """The store as it was last committed when this was opened.

    While it is open, SQLite can't restart its ``-wal`` file, so that of a busy client grows.

    Attributes:
        path: of the file.
        changed: when the store's files were last written, in seconds of Unix time.
        in_use: whether a client has it open.
        origin: where the entries come from.
    """

    def __init__(self, path: str) -> None:
        """Open the store at *path*.

        Raises:
            StorePathError: there is none, or it can't be read.
            StoreInvalid, StoreVersionError: it is not a store of this version.
            StoreError: SQLite can't open it.
        """
        self.path = path
        require_store(path)
        self.in_use = is_locked(path)
        self._has_wal = os.path.exists(f"{path}-wal")
        self.changed = max(_written(f"{path}{end}") for end in ("", "-wal"))
        super().__init__(Database(path))
        try:
            self._open()
            version = check_database(self._database.rows, path)
            columns = ", ".join(origin_columns(version))
            row = self._database.row(f"SELECT {columns} FROM syncrepl_origin")
            if row is None:
                raise StoreInvalid(f"the data store {path!r} is damaged: its origin is missing")
            self.origin: Origin = origin_of(row)
            self._namesakes: Optional[frozenset[bytes]] = None  # keys of an older format
            if version >= KEYS_VERSION:
                names = self._database.row("SELECT namesakes FROM syncrepl_origin")
                self._namesakes = namesakes_of(names)
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        try:
            self._database.open(self._how())
        except sqlite3.Error as error:
            raise StoreError(f"the data store {self.path!r} can't be opened: {error}") from error
        for statement in (*DEFENCES, "PRAGMA query_only = ON", "BEGIN"):
            self._database.execute(statement)

    def _how(self) -> str:
        """Return the parameters for SQLite's URI with which it leaves no file behind.

        If there is no ``-wal`` file SQLite creates one to read, and removes it afterwards if it may
        write.
        """
        if self._has_wal:
            return "mode=ro"
        directory = os.path.dirname(self.path) or "."
        if os.access(self.path, os.W_OK) and os.access(directory, os.W_OK | os.X_OK):
            return "mode=rw"
        return "mode=ro&immutable=1"

    def key(self, name: str) -> bytes:
        """Return the key of the DN *name* here; raise ValueError if it is not a valid DN."""
        return dn.key_among(name, self._namesakes or ())

    def at(self, key: bytes) -> Optional[Record]:
        """Return the entry with that key; None if there is none.

        Raises:
            StoreError: the store can't be read, or is damaged.
        """
        if self._namesakes is None:
            return next((each for each in self.live() if dn.key(each.dn) == key), None)
        return super().at(key)

    @property
    def changelog(self) -> Log:
        """The log of changes.

        Raises:
            UsageError: the store has none.
        """
        return log_of(SQLiteLog(self._database), self)

    @property
    def has_log(self) -> bool:
        return SQLiteLog(self._database).exist

    def copy(self, path: str) -> None:
        """Copy the database, including tables of other programs, to a new file at *path*.

        Raises:
            StoreError: the file exists, it can't be written, or this one can't be read.
        """
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            with closing(sqlite3.connect(path)) as target:
                # In steps, so that signals are heard in between.
                self._database.connection.backup(
                    target, pages=_PAGES_AT_ONCE, progress=lambda *_: None
                )
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"the data store {self.path!r} can't be copied to {path!r}: {error}"
            ) from error

    def close(self) -> None:
        """Close it; a second call does nothing."""
        self._database.close()


def require_store(path: str) -> None:
    """Check that there is a file at *path* that this user may read.

    Raises:
        StorePathError: there is none.
    """
    require_files(path, ("", *BESIDE))
    if not os.path.exists(path):
        raise StorePathError(
            f"there is no data store {path!r}: the data path is what the program gave, to which "
            "'syncrepl.sqlite3' is added"
        )
    if not os.access(path, os.R_OK):
        raise StorePathError(f"the data store {path!r} may not be read by this user")


def _written(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except FileNotFoundError:
        return 0.0
