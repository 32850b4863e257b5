# SPDX-License-Identifier: BSD-3-Clause
"""Access to the log of changes of a store that a client has open, from other threads and processes.

It uses a connection of its own.  Only the tables of sinks are written, between the transactions of
the client.
"""

import sqlite3
from contextlib import ExitStack
from types import TracebackType
from typing import Optional

from ...changelog import snapshots
from ...changelog.log import Event, Log
from ...changelog.snapshots import Page
from ...exceptions import StoreError, UsageError
from .database import Database
from .log import SQLiteLog
from .reading import CommittedEntries, require_store
from .schema import DEFENCES, check_database


class SharedLog(Log):
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
        self._committed = CommittedEntries(self._database)
        super().__init__(tables, self._committed)
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

    def snapshot_page(self, snapshot: bytes, cursor: bytes, seq: int, limit: int) -> Page:
        """Return a part of a snapshot: the entries after *cursor*, as they were after event *seq*.

        Args:
            snapshot: the identifier of the snapshot.
            cursor: the UUID of the last entry of the part before; empty at the beginning.
            seq: the sequence number.
            limit: the maximum number of entries.

        Raises:
            StoreError: the store can't be read, or is damaged.
        """
        with self._tables.snapshot():
            return snapshots.read(self._states(), self._committed, snapshot, cursor, seq, limit)

    def snapshot_event(self, snapshot: bytes, uuid: bytes, seq: int) -> Optional[Event]:
        """Return the event of one entry in a snapshot; None if there was none after event *seq*.

        Raises:
            StoreError: the store can't be read, or is damaged.
        """
        with self._tables.snapshot():
            return snapshots.event_of(self._states(), snapshot, uuid, seq)

    def close(self) -> None:
        """Close it; a second call does nothing."""
        self._database.close()

    def __enter__(self) -> "SharedLog":
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()
