# SPDX-License-Identifier: BSD-3-Clause
"""The tables of a log of changes in a database: the SQL that databases have in common."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Callable, Optional, Protocol, TypeVar, Union

from ..changelog.rows import Row, size_of
from ..changelog.tables import Mark, ParkedRow, SinkRow, SnapshotRow, Tables
from ..exceptions import StoreInvalid
from .scratch import sort_pairs

T = TypeVar("T")


class Database(Protocol):
    """A database; statements have ``?`` in the place of values."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """Execute a statement."""

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement for each of *rows*."""

    def row(self, sql: str, values: Sequence[Any] = ()) -> "Optional[tuple[Any, ...]]":
        """Return the first row; None if there is none."""

    def fetch(
        self, sql: str, values: Sequence[Any], convert: "Callable[[tuple[Any, ...]], T]"
    ) -> "list[T]":
        """Return all rows, each converted."""

    def select(
        self, sql: str, values: Sequence[Any], convert: "Callable[[tuple[Any, ...]], T]"
    ) -> "Iterator[T]":
        """Yield the rows lazily, each converted."""


_ROW = ", ".join(Row._fields)
_PARKED = ", ".join(ParkedRow._fields)
_MANY = 1000
"""The maximum number of rows to write at once."""


class LogTables(Tables):
    """The tables in the database of a store.

    Rows are buffered.  If they are read inside a callback, they are written and stay in the buffer:
    the callback may roll back to a savepoint of its own.
    """

    def __init__(
        self,
        database: Database,
        in_callback: Callable[[], bool] = lambda: False,
        qualifier: str = "",
    ) -> None:
        """Initialize from the database.

        Args:
            database: of the store.
            in_callback: returns True while a callback runs.
            qualifier: what comes before the names of tables: a schema, and a dot.
        """
        self._any = database
        self._in_callback = in_callback
        self._in = qualifier
        self._exist = False
        self._pending: list[Sequence[Any]] = []
        self._seen = 0
        self._newest: Optional[Mark] = None

    # --- what databases do differently

    @abstractmethod
    def _look(self) -> bool:
        """Return whether the tables exist, after a check of their columns."""

    @abstractmethod
    def _begin(self) -> AbstractContextManager[None]:
        """Return a context manager with a transaction for writing."""

    @abstractmethod
    def _begin_reading(self) -> AbstractContextManager[None]:
        """Return a context manager with a transaction in which nothing changes."""

    def _cell(self, text: Optional[str]) -> Union[str, bytes, None]:
        """Return a text of any characters as it is stored."""
        return text

    def _text(self, cell: Any) -> Any:
        """Return the text in a cell."""
        return cell

    # --- life

    @property
    def exist(self) -> bool:
        if not self._exist:
            self._exist = self._look()
        return self._exist

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self._any.in_transaction:
            yield
            return
        with self._begin():
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        if self._any.in_transaction:
            yield
            return
        with self._begin_reading():
            yield

    def settings(self) -> Optional[str]:
        row = self._any.row(f"SELECT settings FROM {self._in}syncrepl_log_settings")
        if row is None:
            return None
        text: Optional[str] = _checked((self._text(row[0]),), (_TEXT_OR_NOT,))[0]
        return text

    def set(self, settings: str) -> None:
        sql = f"UPDATE {self._in}syncrepl_log_settings SET settings = ?"
        self._any.execute(sql, (self._cell(settings),))

    # --- rows

    def append(self, row: Row) -> None:
        newest = self._newest or self.newest() or Mark(0, 0.0, 0)
        self._write(row, Mark(newest.seq + 1, row.time, newest.total + size_of(row)))

    def restore(self, row: Row) -> None:
        total = self._newest.total if self._newest is not None else 0
        self._write(row, Mark(row.seq, row.time, total + size_of(row)))

    def _write(self, row: Row, mark: Mark) -> None:
        self._newest = mark
        _, name, time, kind, phase, uuid, old_dn, new_dn, place, csn, differences = row
        # For bytes, sqlite3 looks for adapters.
        self._pending.append((
            mark.seq, bytearray(name), time, kind, phase, bytearray(uuid),
            self._cell(old_dn), self._cell(new_dn), place, csn, bytearray(differences),
            mark.total,
        ))  # fmt: skip
        if self._seen or len(self._pending) >= _MANY:
            self.flush()

    def flush(self) -> None:
        """Write the buffered rows; not inside a callback."""
        if self._pending:
            # Rows that were written inside a callback may be there.
            self._insert(self._pending, "ON CONFLICT (seq) DO NOTHING" if self._seen else "")
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
            self._insert(self._pending[self._seen :], "")
            self._seen = len(self._pending)

    def _insert(self, rows: Sequence[Sequence[Any]], conflict: str) -> None:
        marks = ", ".join("?" * 12)
        sql = f"INSERT INTO {self._in}syncrepl_log ({_ROW}, total) VALUES ({marks}) {conflict}"
        self._any.many(sql, rows)

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
        source = f"{self._in}syncrepl_log WHERE {where}"
        sql = f"SELECT {_ROW} FROM {source} ORDER BY seq {order} LIMIT ?"
        return self._any.fetch(sql, (*values, limit), self._row)

    def _row(self, row: tuple[Any, ...]) -> Row:
        *start, old_dn, new_dn, place, csn, differences = row
        texts = self._text(old_dn), self._text(new_dn)
        return Row(*_checked((*start, *texts, place, csn, differences), _ROW_KINDS))

    def marks(self, after: int, limit: int) -> list[Mark]:
        self._show()
        source = f"{self._in}syncrepl_log WHERE seq > ?"
        sql = f"SELECT seq, time, total FROM {source} ORDER BY seq LIMIT ?"
        return self._any.fetch(sql, (after, limit), _mark)

    def newest(self) -> Optional[Mark]:
        self._show()
        sql = f"SELECT seq, time, total FROM {self._in}syncrepl_log ORDER BY seq DESC LIMIT 1"
        row = self._any.row(sql)
        return None if row is None else _mark(row)

    def left(self, place: int) -> Iterator[tuple[int, bytes]]:
        self._show()
        sql = f"SELECT seq, uuid FROM {self._in}syncrepl_log WHERE place = ? ORDER BY seq"
        return self._any.select(sql, (place,), _leaving)

    def changed(self, after: int) -> Iterator[bytes]:
        self._show()
        sql = f"SELECT DISTINCT uuid FROM {self._in}syncrepl_log WHERE seq > ?"
        return self._any.select(sql, (after,), _uuid)

    def trim(self, through: int) -> None:
        self._show()
        self._any.execute(f"DELETE FROM {self._in}syncrepl_log WHERE seq <= ?", (through,))

    def sort(self, pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        return sort_pairs(pairs)

    # --- sinks

    def sinks(self) -> list[SinkRow]:
        sql = f"SELECT name, position, moved, lost FROM {self._in}syncrepl_sink ORDER BY name"
        return self._any.fetch(sql, (), _sink_row)

    def put_sink(self, sink: SinkRow) -> None:
        sql = (
            f"INSERT INTO {self._in}syncrepl_sink (name, position, moved, lost) "
            "VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET position = excluded.position, "
            "moved = excluded.moved, lost = excluded.lost"
        )
        self._any.execute(sql, sink)

    def remove_sink(self, name: str) -> None:
        self.remove_requested(name)
        self._any.execute(f"DELETE FROM {self._in}syncrepl_parked WHERE sink = ?", (name,))
        self._any.execute(f"DELETE FROM {self._in}syncrepl_sink WHERE name = ?", (name,))

    def parked(self) -> list[ParkedRow]:
        source = f"{self._in}syncrepl_parked ORDER BY sink, seq, snapshot, uuid"
        return self._any.fetch(f"SELECT {_PARKED} FROM {source}", (), self._parked_row)

    def _parked_row(self, row: tuple[Any, ...]) -> ParkedRow:
        *start, reason, released, snapshot = row
        cells = (*start, self._text(reason), released, snapshot)
        parked = ParkedRow(*_checked(cells, (_TEXT, _INT, _BYTES, _FLOAT, _TEXT, _INT, _BYTES)))
        return parked._replace(released=bool(parked.released))

    def put_parked(self, parked: Iterable[ParkedRow]) -> None:
        sql = (
            f"INSERT INTO {self._in}syncrepl_parked ({_PARKED}) VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (sink, seq, snapshot, uuid) DO UPDATE SET "
            "time = excluded.time, reason = excluded.reason, released = excluded.released"
        )
        cells = (
            (*row[:4], self._cell(row.reason), int(row.released), row.snapshot) for row in parked
        )
        self._any.many(sql, cells)

    def remove_parked(self, parked: Iterable[ParkedRow]) -> None:
        where = "sink = ? AND seq = ? AND snapshot = ? AND uuid = ?"
        sql = f"DELETE FROM {self._in}syncrepl_parked WHERE {where}"
        self._any.many(sql, ((row.sink, row.seq, row.snapshot, row.uuid) for row in parked))

    def requested(self) -> list[SnapshotRow]:
        sql = f"SELECT sink, id, cursor, sent FROM {self._in}syncrepl_snapshot ORDER BY sink"
        return self._any.fetch(sql, (), _snapshot_row)

    def put_requested(self, snapshot: SnapshotRow) -> None:
        sql = (
            f"INSERT INTO {self._in}syncrepl_snapshot (sink, id, cursor, sent) "
            "VALUES (?, ?, ?, ?) ON CONFLICT (sink) DO UPDATE SET id = excluded.id, "
            "cursor = excluded.cursor, sent = excluded.sent"
        )
        self._any.execute(sql, snapshot)

    def remove_requested(self, sink: str) -> None:
        self._any.execute(f"DELETE FROM {self._in}syncrepl_snapshot WHERE sink = ?", (sink,))


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


def _mark(row: tuple[Any, ...]) -> Mark:
    return Mark(*_checked(row, (_INT, _FLOAT, _INT)))


def _uuid(row: tuple[Any, ...]) -> bytes:
    uuid: bytes = _checked(row, (_BYTES,))[0]
    return uuid


def _leaving(row: tuple[Any, ...]) -> tuple[int, bytes]:
    seq, uuid = _checked(row, (_INT, _BYTES))
    return seq, uuid


def _sink_row(row: tuple[Any, ...]) -> SinkRow:
    return SinkRow(*_checked(row, (_TEXT, _INT, _FLOAT, _INT)))


def _snapshot_row(row: tuple[Any, ...]) -> SnapshotRow:
    return SnapshotRow(*_checked(row, (_TEXT, _BYTES, _BYTES, _INT)))
