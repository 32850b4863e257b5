# SPDX-License-Identifier: BSD-3-Clause
"""A look into an SQLite store, also while a client has it open: nothing is created or changed.

Readers of a database in WAL mode are in nobody's way, and see one commit all the time.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from types import TracebackType
from typing import Optional

from .. import dn
from ..exceptions import StoreError, StoreInvalid, StorePathError
from ..messages import Attributes
from ..view import Record
from .base import Items, Origin
from .database import Database
from .locking import require_files
from .schema import DEFENCES, check_database, origin_columns, origin_of, record_of
from .sqlite import BESIDE

_ENTRY = "uuid, key, dn, attrs FROM syncrepl_entry"
_PAGES_AT_ONCE = 4096


class StoreReader:
    """The store as it was last committed when this was opened.

    While it is open, SQLite can't begin its ``-wal`` file again from the start, so that a busy
    client's grows.

    Attributes:
        path: of the file.
        changed: when the store's files were last written, in seconds of Unix time.
        in_use: whether a client has it open, or was killed while it had.
        origin: whose answer the store holds.
    """

    def __init__(self, path: str) -> None:
        """Open the store at *path*.

        Raises:
            StorePathError: there is none, or it can't be read.
            StoreInvalid, StoreVersionError: there is something else.
            StoreError: SQLite can't open it.
        """
        self.path = path
        _require(path)
        self.in_use = os.path.exists(f"{path}-wal")
        self.changed = max(_written(f"{path}{end}") for end in ("", "-wal"))
        self._database = Database(path)
        try:
            self._open()
            version = check_database(self._rows, path)
            names = ", ".join(origin_columns(version))
            row = self._database.row(f"SELECT {names} FROM syncrepl_origin")
            if row is None:
                raise StoreInvalid(f"the data store {path!r} is damaged: its origin is missing")
            self.origin: Origin = origin_of(row)
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
        """Return how SQLite is to open the file, so that it leaves nothing behind.

        Where there is no ``-wal`` file SQLite makes one to read, and removes it in the end if
        it may write.
        """
        if self.in_use:
            return "mode=ro"
        directory = os.path.dirname(self.path) or "."
        if os.access(self.path, os.W_OK) and os.access(directory, os.W_OK | os.X_OK):
            return "mode=rw"
        return "mode=ro&immutable=1"

    def _rows(self, sql: str) -> "list[tuple[object, ...]]":
        return self._database.execute(sql).fetchall()

    def __len__(self) -> int:
        """Return the number of live entries."""
        sql = "SELECT count(*) FROM syncrepl_entry WHERE key < ?"
        return self._database.number(sql, (dn.FIRST_NOT_LIVE,))

    def at(self, key: bytes) -> Optional[Record]:
        """Return the entry with that key.

        Raises:
            StoreError: the store can't be read, or is damaged.
        """
        row = self._database.row(f"SELECT {_ENTRY} WHERE key = ?", (key,))
        return None if row is None else record_of(row)

    def items(self) -> Mapping[str, Attributes]:
        """Return a read-only mapping of DN to attributes; it reads as it goes."""
        return Items(self)

    def live(self) -> Iterator[Record]:
        """Yield the live entries as it reads them, parents before children.

        Raises:
            StoreError: the store can't be read, or is damaged.
        """
        return self._database.records(
            f"SELECT {_ENTRY} WHERE key < ? ORDER BY key", (dn.FIRST_NOT_LIVE,)
        )

    def copy(self, path: str) -> None:
        """Write a store with the same content at *path*, with all that is in the database.

        Raises:
            StoreError: there is a file, it can't be written, or this one not be read.
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

    def __enter__(self) -> "StoreReader":
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()


def _require(path: str) -> None:
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
