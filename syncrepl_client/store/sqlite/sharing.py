# SPDX-License-Identifier: BSD-3-Clause
"""Access to the log of changes of a store that a client has open, from other threads and processes.

It uses a connection of its own.  Only the tables of sinks are written, between the transactions of
the client.
"""

import sqlite3
from contextlib import ExitStack
from typing import Callable

from ...exceptions import StoreError, UsageError
from ..locking import FileLock
from ..reading import SharedLog
from .database import Database
from .log import SQLiteLog
from .reading import CommittedEntries, require_store
from .schema import DEFENCES, check_database


class SQLiteSharedLog(SharedLog):
    """The log of changes of a store that may be open elsewhere.

    It shows committed changes.  One thread at a time may use it.
    """

    def __init__(self, path: str, patience: float) -> None:
        """Open the log of the store at *path*.

        Raises:
            StorePathError: there is no store, or it can't be read.
            StoreInvalid, StoreVersionError: there is something else.
            StoreError: SQLite can't open it.
            UsageError: the store has no log.
        """
        require_store(path)
        self._database = Database(path)
        tables = SQLiteLog(self._database)
        super().__init__(tables, CommittedEntries(self._database))
        with ExitStack() as undo:
            undo.callback(self.close)
            try:
                self._database.open("mode=rw")
            except sqlite3.Error as error:
                raise StoreError(f"the data store {path!r} can't be opened: {error}") from error
            for statement in (*DEFENCES, f"PRAGMA busy_timeout = {round(1000 * patience)}"):
                self._database.execute(statement)
            check_database(self._database.rows, path)
            if not tables.exist:
                raise UsageError(
                    f"the data store {path!r} has no log of changes: run its client with "
                    "changelog=Changelog()"
                )
            undo.pop_all()

    def lock(self, name: str) -> Callable[[], None]:
        """Lock the sink *name*; return what unlocks it.

        Raises:
            StoreLocked: it is locked.
            StorePathError: the lock can't be created beside the store.
        """
        prefix = self._database.path.removesuffix("sqlite3")
        return FileLock(f"{prefix}{name}.relay", create=True).release

    def close(self) -> None:
        """Close it; a second call does nothing."""
        self._database.close()
