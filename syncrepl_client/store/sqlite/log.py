# SPDX-License-Identifier: BSD-3-Clause
"""The tables of a log of changes in an SQLite store; they are created on demand."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable

from ..log import LogTables
from .database import Database
from .schema import LOOK_FOR_LOG, check_tables

_COLUMNS = {
    "syncrepl_log": [
        "seq INTEGER", "id BLOB", "time REAL", "kind TEXT", "phase TEXT", "uuid BLOB",
        "old_dn TEXT", "new_dn TEXT", "place INTEGER", "csn TEXT", "differences BLOB",
        "total INTEGER",
    ],
    "syncrepl_log_settings": ["only INTEGER", "settings TEXT"],
    "syncrepl_sink": ["name TEXT", "position INTEGER", "moved REAL", "lost INTEGER"],
    "syncrepl_parked": [
        "sink TEXT", "seq INTEGER", "uuid BLOB", "time REAL", "reason TEXT", "released INTEGER",
        "snapshot BLOB",
    ],
    "syncrepl_snapshot": ["sink TEXT", "id BLOB", "cursor BLOB", "sent INTEGER"],
}  # fmt: skip

_SCHEMA = """
CREATE TABLE syncrepl_log (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    time REAL NOT NULL,
    kind TEXT NOT NULL,
    phase TEXT NOT NULL,
    uuid BLOB NOT NULL,
    old_dn TEXT,
    new_dn TEXT,
    place INTEGER,
    csn TEXT,
    differences BLOB NOT NULL,
    total INTEGER NOT NULL
);
CREATE INDEX syncrepl_log_entry ON syncrepl_log (uuid);
CREATE INDEX syncrepl_log_place ON syncrepl_log (place) WHERE place IS NOT NULL;
CREATE TABLE syncrepl_log_settings (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    settings TEXT
);
INSERT INTO syncrepl_log_settings (only) VALUES (1);
CREATE TABLE syncrepl_sink (
    name TEXT PRIMARY KEY,
    position INTEGER NOT NULL,
    moved REAL NOT NULL,
    lost INTEGER NOT NULL
);
CREATE TABLE syncrepl_parked (
    sink TEXT NOT NULL,
    seq INTEGER NOT NULL,
    uuid BLOB NOT NULL,
    time REAL NOT NULL,
    reason TEXT NOT NULL,
    released INTEGER NOT NULL,
    snapshot BLOB NOT NULL,
    PRIMARY KEY (sink, seq, snapshot, uuid)
) WITHOUT ROWID;
CREATE TABLE syncrepl_snapshot (
    sink TEXT PRIMARY KEY,
    id BLOB NOT NULL,
    cursor BLOB NOT NULL,
    sent INTEGER NOT NULL
)
"""


class SQLiteLog(LogTables):
    """The tables in the database of a store."""

    def __init__(self, database: Database, in_callback: Callable[[], bool] = lambda: False) -> None:
        """Initialize from the database; *in_callback* returns True while a callback runs."""
        super().__init__(database, in_callback)
        self._database = database

    def _look(self) -> bool:
        if not self._database.is_open:
            return False
        if self._database.row(LOOK_FOR_LOG) is None:
            return False
        check_tables(self._database.rows, _COLUMNS, self._database.path)
        return True

    def create(self) -> None:
        for statement in _SCHEMA.split(";"):
            self._database.execute(statement)

    def drop(self) -> None:
        self.forget()
        for table in _COLUMNS:
            self._database.execute(f"DROP TABLE IF EXISTS {table}")

    @contextmanager
    def _begin(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        finally:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")

    @contextmanager
    def _begin_reading(self) -> Iterator[None]:
        self._database.execute("BEGIN")
        try:
            yield
        finally:
            self._database.execute("ROLLBACK")
