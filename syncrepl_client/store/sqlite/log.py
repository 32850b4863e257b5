# SPDX-License-Identifier: BSD-3-Clause
"""The tables of a log of changes in an SQLite store; they are created on demand."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Callable, Optional

from ...changelog.rows import Row, size_of
from ...changelog.tables import Mark, ParkedRow, SinkRow, SnapshotRow, Tables
from ...exceptions import StoreInvalid
from .database import Database
from .schema import check_tables

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
_ROW = ", ".join(Row._fields)
_PARKED = ", ".join(ParkedRow._fields)
_PUT = f"INTO syncrepl_log ({_ROW}, total) VALUES ({', '.join('?' * 12)})"
_MANY = 1000
"""The maximum number of rows to write at once."""


class SQLiteLog(Tables):
    """The tables in the database of a store.

    Rows are buffered.  If they are read inside a callback, they are written and stay in the buffer:
    the callback may roll back to a savepoint of its own.
    """

    def __init__(self, database: Database, in_callback: Callable[[], bool] = lambda: False) -> None:
        """Initialize from the database; *in_callback* returns True while a callback runs."""
        self._database = database
        self._in_callback = in_callback
        self._exist = False
        self._pending: list[Sequence[Any]] = []
        self._seen = 0
        self._newest: Optional[Mark] = None

    # --- life

    @property
    def exist(self) -> bool:
        if not self._exist and self._database.is_open:
            sql = "SELECT 1 FROM sqlite_master WHERE lower(name) = 'syncrepl_log'"
            if self._database.row(sql) is not None:
                check_tables(self._database.rows, _COLUMNS, self._database.path)
                self._exist = True
        return self._exist

    def create(self) -> None:
        for statement in _SCHEMA.split(";"):
            self._database.execute(statement)

    def drop(self) -> None:
        self.forget()
        for table in _COLUMNS:
            self._database.execute(f"DROP TABLE IF EXISTS {table}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self._database.in_transaction:
            yield
            return
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        finally:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        if self._database.in_transaction:
            yield
            return
        self._database.execute("BEGIN")
        try:
            yield
        finally:
            self._database.execute("ROLLBACK")

    def settings(self) -> Optional[str]:
        row = self._database.row("SELECT settings FROM syncrepl_log_settings")
        if row is None:
            return None
        text: Optional[str] = _checked(row, (_TEXT_OR_NOT,))[0]
        return text

    def set(self, settings: str) -> None:
        self._database.execute("UPDATE syncrepl_log_settings SET settings = ?", (settings,))

    # --- rows

    def append(self, row: Row) -> None:
        newest = self._newest or self.newest() or Mark(0, 0.0, 0)
        self._newest = Mark(newest.seq + 1, row.time, newest.total + size_of(row))
        _, name, time, kind, phase, uuid, *rest, differences = row
        self._pending.append((
            self._newest.seq, bytearray(name), time, kind, phase, bytearray(uuid), *rest,
            bytearray(differences), self._newest.total,
        ))  # fmt: skip
        if self._seen or len(self._pending) >= _MANY:
            self.flush()

    def flush(self) -> None:
        """Write the buffered rows; not inside a callback."""
        if self._pending:
            # Rows that were written inside a callback may be there.
            how = "INSERT OR REPLACE" if self._seen else "INSERT"
            self._database.many(f"{how} {_PUT}", self._pending)
            self._pending.clear()
            self._seen = 0

    def forget(self) -> None:
        """Discard the buffered rows and cached values."""
        self._pending.clear()
        self._seen = 0
        self._exist, self._newest = False, None

    def _show(self) -> None:
        """Write the buffered rows, so that they can be read."""
        if not self._in_callback():
            self.flush()
        elif self._seen < len(self._pending):
            self._database.many(f"INSERT {_PUT}", self._pending[self._seen :])
            self._seen = len(self._pending)

    def rows(
        self,
        after: int,
        before: Optional[int],
        limit: int,
        *,
        uuid: Optional[bytes] = None,
        newest: bool = False,
    ) -> list[Row]:
        self._show()
        where, values = "seq > ?", list[Any]((after,))
        if before is not None:
            where, values = f"{where} AND seq < ?", [*values, before]
        if uuid is not None:
            where, values = f"{where} AND uuid = ?", [*values, uuid]
        order = "DESC" if newest else "ASC"
        sql = f"SELECT {_ROW} FROM syncrepl_log WHERE {where} ORDER BY seq {order} LIMIT ?"
        return list(self._database.select(sql, (*values, limit), _row))

    def marks(self, after: int, limit: int) -> list[Mark]:
        self._show()
        sql = "SELECT seq, time, total FROM syncrepl_log WHERE seq > ? ORDER BY seq LIMIT ?"
        return list(self._database.select(sql, (after, limit), _mark))

    def newest(self) -> Optional[Mark]:
        self._show()
        sql = "SELECT seq, time, total FROM syncrepl_log ORDER BY seq DESC LIMIT 1"
        row = self._database.row(sql)
        return None if row is None else _mark(row)

    def left(self, place: int) -> Iterator[tuple[int, bytes]]:
        self._show()
        sql = "SELECT seq, uuid FROM syncrepl_log WHERE place = ? ORDER BY seq"
        return self._database.select(sql, (place,), _leaving)

    def changed(self, after: int) -> Iterator[bytes]:
        self._show()
        sql = "SELECT DISTINCT uuid FROM syncrepl_log WHERE seq > ?"
        return self._database.select(sql, (after,), _uuid)

    def trim(self, through: int) -> None:
        self._show()
        self._database.execute("DELETE FROM syncrepl_log WHERE seq <= ?", (through,))

    def sort(self, pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        scratch = Database("")  # SQLite's temporary file
        with closing(scratch):
            scratch.open()
            scratch.execute("CREATE TABLE pair (one BLOB, other BLOB)")
            scratch.many("INSERT INTO pair VALUES (?, ?)", pairs)
            yield from scratch.select("SELECT one, other FROM pair ORDER BY 1, 2", (), _pair)

    # --- sinks

    def sinks(self) -> list[SinkRow]:
        sql = "SELECT name, position, moved, lost FROM syncrepl_sink ORDER BY name"
        return list(self._database.select(sql, (), _sink_row))

    def put_sink(self, sink: SinkRow) -> None:
        self._database.execute("INSERT OR REPLACE INTO syncrepl_sink VALUES (?, ?, ?, ?)", sink)

    def remove_sink(self, name: str) -> None:
        self.remove_requested(name)
        self._database.execute("DELETE FROM syncrepl_parked WHERE sink = ?", (name,))
        self._database.execute("DELETE FROM syncrepl_sink WHERE name = ?", (name,))

    def parked(self) -> list[ParkedRow]:
        sql = f"SELECT {_PARKED} FROM syncrepl_parked ORDER BY sink, seq, snapshot, uuid"
        return list(self._database.select(sql, (), _parked_row))

    def put_parked(self, parked: Iterable[ParkedRow]) -> None:
        sql = "INSERT OR REPLACE INTO syncrepl_parked VALUES (?, ?, ?, ?, ?, ?, ?)"
        self._database.many(sql, parked)

    def remove_parked(self, parked: Iterable[ParkedRow]) -> None:
        sql = "DELETE FROM syncrepl_parked WHERE sink = ? AND seq = ? AND snapshot = ? AND uuid = ?"
        self._database.many(sql, ((row.sink, row.seq, row.snapshot, row.uuid) for row in parked))

    def requested(self) -> list[SnapshotRow]:
        sql = "SELECT sink, id, cursor, sent FROM syncrepl_snapshot ORDER BY sink"
        return list(self._database.select(sql, (), _snapshot_row))

    def put_requested(self, snapshot: SnapshotRow) -> None:
        sql = "INSERT OR REPLACE INTO syncrepl_snapshot VALUES (?, ?, ?, ?)"
        self._database.execute(sql, snapshot)

    def remove_requested(self, sink: str) -> None:
        self._database.execute("DELETE FROM syncrepl_snapshot WHERE sink = ?", (sink,))


# --- cells: SQLite lets any type into any column


def _checked(row: tuple[Any, ...], kinds: tuple[tuple[type, ...], ...]) -> tuple[Any, ...]:
    for value, allowed in zip(row, kinds):
        if type(value) not in allowed:
            raise StoreInvalid("the log of changes is damaged: a cell is not of its type")
    return row


_INT, _FLOAT, _TEXT, _BYTES = (int,), (float,), (str,), (bytes,)
_NUMBER_OR_NOT, _TEXT_OR_NOT = (int, type(None)), (str, type(None))
_ROW_KINDS = (_INT, _BYTES, _FLOAT, _TEXT, _TEXT, _BYTES, _TEXT_OR_NOT, _TEXT_OR_NOT,
              _NUMBER_OR_NOT, _TEXT_OR_NOT, _BYTES)  # fmt: skip


def _row(row: tuple[Any, ...]) -> Row:
    return Row(*_checked(row, _ROW_KINDS))


def _mark(row: tuple[Any, ...]) -> Mark:
    return Mark(*_checked(row, (_INT, _FLOAT, _INT)))


def _uuid(row: tuple[Any, ...]) -> bytes:
    uuid: bytes = _checked(row, (_BYTES,))[0]
    return uuid


def _leaving(row: tuple[Any, ...]) -> tuple[int, bytes]:
    seq, uuid = _checked(row, (_INT, _BYTES))
    return seq, uuid


def _pair(row: tuple[Any, ...]) -> tuple[bytes, bytes]:
    one, other = row
    return one, other


def _sink_row(row: tuple[Any, ...]) -> SinkRow:
    return SinkRow(*_checked(row, (_TEXT, _INT, _FLOAT, _INT)))


def _parked_row(row: tuple[Any, ...]) -> ParkedRow:
    parked = ParkedRow(*_checked(row, (_TEXT, _INT, _BYTES, _FLOAT, _TEXT, _INT, _BYTES)))
    return parked._replace(released=bool(parked.released))


def _snapshot_row(row: tuple[Any, ...]) -> SnapshotRow:
    return SnapshotRow(*_checked(row, (_TEXT, _BYTES, _BYTES, _INT)))
