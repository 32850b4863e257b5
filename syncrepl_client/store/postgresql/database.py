# SPDX-License-Identifier: BSD-3-Clause
"""The PostgreSQL connection of a store: executes all statements, and explains all errors.

Values and results are binary.  A cursor is of the class and has the rows that are wanted here,
whatever a callback sets on the connection.
"""

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, Callable, NoReturn, Optional, TypeVar

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from ...exceptions import StoreBusy, StoreError, StoreInvalid, StoreLost
from ...protocol.view import Record
from ...waiting import forking
from ...waiting.coroutines import Ask, BlockingCall
from ...waiting.waker import wait_for
from ..base import never, nobody
from ..location import PostgreSQL
from . import leases
from .session import Lapse, Session, connect

T = TypeVar("T")

_OPEN = (TransactionStatus.INTRANS, TransactionStatus.INERROR, TransactionStatus.ACTIVE)
_BUSY = (
    errors.LockNotAvailable,
    errors.QueryCanceled,
    errors.DeadlockDetected,
    errors.SerializationFailure,
)
_DAMAGES = (errors.UndefinedTable, errors.UndefinedColumn, errors.DataCorrupted)
_AT_ONCE = 1000
"""The number of rows that are read at once where there may be many."""
ABORTED = (
    "an SQL error on client.store.connection aborted the transaction, and the callback went on: "
    "raise it, or execute what may fail in 'with connection.transaction():'"
)


class Database:
    """A connection to the database at *place*, once it is open.

    Attributes:
        place: the database, and the schema in it.
        qualifier: what comes before the names of the store's tables.
        stopping: returns True once a stop was requested.
        asker: returns what waits in its place; see :attr:`.Store.asker`.
    """

    def __init__(self, place: PostgreSQL, asker: Callable[[], Optional[Ask]] = nobody) -> None:
        """Initialize without a connection."""
        self.asker = asker
        self.place = place
        self.qualifier = f'"{place.schema}".'
        self.stopping: Callable[[], bool] = never
        self._session: Optional[Session] = None
        self._cursors = itertools.count(1)

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, which may be lost."""
        return self._session is not None

    @property
    def connection(self) -> Session:
        """The connection.

        Raises:
            StoreError: there is none.
        """
        if self._session is None:
            raise StoreError(f"the data store at {self.place} is not open")
        return self._session

    @property
    def is_lost(self) -> bool:
        """Whether the connection was lost."""
        return self._session is not None and self._session.closed

    @property
    def is_usable(self) -> bool:
        """Whether there is a connection that is not lost."""
        return self._session is not None and not self._session.closed

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, possibly an aborted one."""
        return self._session is not None and self._session.info.transaction_status in _OPEN

    @property
    def is_aborted(self) -> bool:
        """Whether the open transaction can only be rolled back."""
        status = TransactionStatus.INERROR
        return self._session is not None and self._session.info.transaction_status is status

    def open(self, lease: Optional[float] = None, *, writes: bool = False) -> None:
        """Connect, in place of a connection that was lost.

        Args:
            lease: after how many seconds of silence the server ends the session; None: never.
            writes: whether a server that is only read from will not do.

        Raises:
            ConfigurationError, StoreError: see :func:`.session.connect`.
        """
        asked = partial(connect, self.place, lease, writes=writes)
        ask, self._session = self.asker(), None
        session: Session = asked() if ask is None else ask(BlockingCall(asked))
        session.stopping = lambda: self.stopping()
        session.asker = lambda: self.asker()
        session.patience, session.at_work = lease, partial(self._at_work, *session.identity)
        self._session = session
        forking.register(self)
        if lease is not None:
            self.limit(lease)

    def limit(self, lease: Optional[float]) -> None:
        """Have the server end the session after so many seconds of silence; None: never."""
        limit = leases.milliseconds(lease)
        self.execute(leases.LIMIT, (limit, limit))

    def _at_work(self, pid: int, started: str) -> bool:
        """Return whether a session executes a statement, and does not wait for its client."""
        with closing(Database(self.place)) as other:
            other.open(leases.LEAST)
            row = other.row(leases.AT_WORK, (pid, started))
            return bool(row and row[0])

    def end_session(self, pid: int, started: str) -> bool:
        """End a session of the same user; return whether there was one."""
        return bool(self.execute(leases.END, (pid, started)).rowcount)

    @property
    def used(self) -> float:
        """When the connection was last used, by ``time.monotonic()``."""
        return 0.0 if self._session is None else self._session.used

    @property
    def lapse(self) -> Optional[Lapse]:
        """What preceded the loss of the connection; None if it is not lost."""
        return None if self._session is None else self._session.lapse

    def pause(self, seconds: float) -> None:
        """Wait for some time."""
        ask, deadline = self.asker(), time.monotonic() + seconds
        if ask is None:
            wait_for(deadline)
        else:
            ask(BlockingCall(wait_for, deadline))

    def close(self) -> None:
        """Close the connection, if there is one; an open transaction is rolled back."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def disown(self) -> None:
        """Leave the connection to the parent process; there is none in the child."""
        session, self._session = self._session, None
        if session is not None and not session.closed:
            forking.never_free(session)
            forking.redirect(session.pgconn.socket)

    # --- statements, with ? in the place of values

    def execute(self, sql: str, values: Sequence[Any] = ()) -> "psycopg.Cursor[Any]":
        """Execute a statement.

        Raises:
            StoreError: it failed; likewise for the methods below.
        """
        try:
            return self._cursor().execute(_marked(sql), values, prepare=False)
        except psycopg.Error as error:
            self._fail(error)

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement for each of *rows*."""
        try:
            self._cursor().executemany(_marked(sql), rows)
        except psycopg.Error as error:
            self._fail(error)

    def row(self, sql: str, values: Sequence[Any] = ()) -> Optional[tuple[Any, ...]]:
        """Return the first row; None if there is none."""
        row: Optional[tuple[Any, ...]] = self.execute(sql, values).fetchone()
        return row

    def number(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Return the first column of the first row as an int; 0 if there is none."""
        row = self.row(sql, values)
        return int(row[0]) if row else 0

    def fetch(
        self, sql: str, values: Sequence[Any], convert: Callable[[tuple[Any, ...]], T]
    ) -> list[T]:
        """Return all rows, each converted."""
        return list(map(convert, self.execute(sql, values).fetchall()))

    def select(
        self, sql: str, values: Sequence[Any], convert: Callable[[tuple[Any, ...]], T]
    ) -> Iterator[T]:
        """Yield the rows, each converted; they are read in portions.

        Outside a transaction the server keeps the result on disk.
        """
        name = f"syncrepl_{next(self._cursors)}"
        hold = "" if self.in_transaction else "WITH HOLD"
        self.execute(f"DECLARE {name} NO SCROLL CURSOR {hold} FOR {sql}", values)
        try:
            while rows := self.execute(f"FETCH {_AT_ONCE} FROM {name}").fetchall():
                yield from map(convert, rows)
        finally:
            if hold or (self.in_transaction and not self.is_aborted):
                self.execute(f"CLOSE {name}")

    def records(self, sql: str, values: Sequence[Any]) -> list[Record]:
        """Return the entries that *sql* selects."""
        return self.fetch(sql, values, record_of)

    @contextmanager
    def transaction(self, how: str = "READ COMMITTED READ WRITE") -> Iterator[None]:
        """Return a context manager with a transaction of its own."""
        self.begin(how)
        try:
            yield
            self.commit()
        finally:
            self.rollback()

    def begin(self, how: str = "READ COMMITTED READ WRITE") -> None:
        """Begin a transaction of an isolation level and access mode, in the words of BEGIN."""
        self.execute(f"BEGIN ISOLATION LEVEL {how}")

    def commit(self) -> None:
        """Commit the transaction.

        PostgreSQL answers ROLLBACK, without an error, if a statement had failed.

        Raises:
            StoreError: it could not be committed.
        """
        if self.execute("COMMIT").statusmessage != "COMMIT":
            raise StoreError(f"nothing was committed: {ABORTED}")

    def rollback(self) -> None:
        """Roll back the transaction, if one is open."""
        if self.in_transaction:
            self.execute("ROLLBACK")

    def _cursor(self) -> "psycopg.Cursor[Any]":
        cursor = psycopg.Cursor(self.connection, row_factory=tuple_row)
        cursor.format = psycopg.pq.Format.BINARY
        return cursor

    # --- errors

    def _fail(self, error: psycopg.Error) -> NoReturn:
        if self.is_lost or self._session is None:
            raise StoreLost(f"the connection to {self.place} was lost: {_said(error)}") from error
        if isinstance(error, errors.InsufficientPrivilege):
            raise StoreError(
                f"{self.place} may not be used so: {_said(error)}; as its owner, {self._grants()}"
            ) from error
        if isinstance(error, errors.InFailedSqlTransaction):
            raise StoreError(ABORTED) from error
        kind = (
            StoreBusy
            if isinstance(error, _BUSY)
            else StoreInvalid
            if isinstance(error, _DAMAGES)
            else StoreError
        )
        raise kind(f"the data store at {self.place} can't be used: {_said(error)}") from error

    def _grants(self) -> str:
        """Return the statements that let this user use the schema."""
        name, user = self.place.schema, self.connection.info.user
        return (
            f'GRANT USAGE, CREATE ON SCHEMA {name} TO "{user}"; where it does not exist, CREATE '
            f'SCHEMA {name} AUTHORIZATION "{user}"'
        )


def _marked(sql: str) -> str:
    return sql.replace("?", "%b")


def _said(error: psycopg.Error) -> str:
    """Return what the server said, without the values, which may be personal data."""
    return error.diag.message_primary or " ".join(str(error).split())


def record_of(row: tuple[Any, ...]) -> Record:
    """Return the entry in a row: UUID, key, DN and attributes.

    Raises:
        StoreInvalid: it is damaged.
    """
    uuid, key, name, attrs = row
    if len(uuid) != 16:
        raise StoreInvalid("an entry in the store is damaged: its UUID has not 16 bytes")
    return Record(uuid, key, text_of(name), attrs)


def bytes_of(text: Optional[str]) -> Optional[bytes]:
    """Return *text* as it is stored: PostgreSQL's own type takes no NUL and no lone surrogate."""
    return None if text is None else text.encode("utf-8", "surrogatepass")


def text_of(cell: Any) -> Any:
    """Return the text in a cell, None for None.

    Raises:
        StoreInvalid: it is damaged.
    """
    try:
        return None if cell is None else cell.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise StoreInvalid("a text in the store is damaged: it is not UTF-8") from error
