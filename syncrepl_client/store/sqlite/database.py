# SPDX-License-Identifier: BSD-3-Clause
"""The SQLite connection of a store: executes all statements, and explains all errors."""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Callable, Optional, TypeVar
from urllib.parse import quote

from ...exceptions import StoreBusy, StoreError, StoreInvalid
from ...protocol.view import Record
from ...waiting import forking
from .schema import record_of

T = TypeVar("T")
_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What sqlite3 raises: the latter where the message of an error has in it what is damaged."""


def unadapted(values: Iterable[bytes]) -> list[bytearray]:
    """Return *values* as bytearrays, for which sqlite3 does not look for adapters."""
    return list(map(bytearray, values))


class Database:
    """A connection to the file *path*, once it is open."""

    def __init__(self, path: str) -> None:
        """Initialize without a connection."""
        self.path = path
        self._connection: Optional[sqlite3.Connection] = None
        self._cursor: Optional[sqlite3.Cursor] = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection.

        Raises:
            StoreError: there is none.
        """
        if self._connection is None:
            raise StoreError(f"the data store {self.path!r} is not open")
        return self._connection

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._connection is not None and self._connection.in_transaction

    def open(self, how: Optional[str] = None) -> None:
        """Connect.

        Args:
            how: parameters of an SQLite URI, such as ``mode=ro``; None: read and write, and create
                the file if it does not exist.

        Raises:
            sqlite3.Error: it can't be opened.
        """
        name, uri = self.path, how is not None
        if uri:
            name = f"file://{quote(os.fsencode(os.path.abspath(self.path)))}?{how}"
        self._connection = sqlite3.connect(
            name, uri=uri, isolation_level=None, check_same_thread=False
        )
        forking.register(self)

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection, self._cursor = self._connection, None, None
        if connection is not None:
            connection.close()

    def disown(self) -> None:
        """Leave the connection to the parent process; there is none in the child."""
        connection, self._connection, self._cursor = self._connection, None, None
        if connection is not None:
            forking.never_free(connection)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Execute a statement.

        Raises:
            StoreError: it failed; likewise for the methods below.
        """
        try:
            return self.connection.execute(sql, values)
        except _ERRORS as error:
            raise self._failed(error) from error

    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Execute a statement that returns no rows; return how many it changed.

        As :meth:`execute`, without a cursor of its own.
        """
        if self._cursor is None:
            self._cursor = self.connection.cursor()
        try:
            return self._cursor.execute(sql, values).rowcount
        except _ERRORS as error:
            raise self._failed(error) from error

    def script(self, sql: str) -> None:
        """Execute statements."""
        try:
            self.connection.executescript(sql)
        except _ERRORS as error:
            raise self._failed(error) from error

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement for each of *rows*."""
        try:
            self.connection.executemany(sql, rows)
        except _ERRORS as error:
            raise self._failed(error) from error

    def row(self, sql: str, values: Sequence[Any] = ()) -> Optional[tuple[Any, ...]]:
        """Return the first row; None if there is none.  Values are decoded when it is fetched."""
        cursor = self.execute(sql, values)
        try:
            row: Optional[tuple[Any, ...]] = cursor.fetchone()
        except _ERRORS as error:
            raise self._failed(error) from error
        return row

    def rows(self, sql: str) -> "list[tuple[Any, ...]]":
        """Return all rows."""
        return list(self.select(sql, (), tuple))

    def fetch(
        self, sql: str, values: Sequence[Any], convert: Callable[[tuple[Any, ...]], T]
    ) -> list[T]:
        """Return all rows, each converted."""
        return list(self.select(sql, values, convert))

    def select(
        self, sql: str, values: Sequence[Any], convert: Callable[[tuple[Any, ...]], T]
    ) -> Iterator[T]:
        """Yield the rows lazily, each converted."""
        cursor = self.execute(sql, values)
        try:
            yield from map(convert, cursor)
        except _ERRORS as error:
            raise self._failed(error) from error
        finally:
            if self._connection is not None:  # a closed one has closed it
                cursor.close()

    def number(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Return the first column of the first row as an int; 0 if there is none."""
        row = self.row(sql, values)
        return int(row[0]) if row else 0

    def records(self, sql: str, values: Sequence[Any]) -> Iterator[Record]:
        """Yield the entries that *sql* selects."""
        return self.select(sql, values, record_of)

    def _failed(self, error: Exception) -> StoreError:
        # A text that is not UTF-8 is an OperationalError of Python's own.
        damages = (sqlite3.DatabaseError, UnicodeDecodeError)
        if type(error) in damages or "decode to UTF-8" in str(error):
            return StoreInvalid(f"the data store {self.path!r} is damaged: {error}")
        kind = StoreBusy if "is locked" in str(error) else StoreError
        return kind(f"the data store {self.path!r} can't be used: {error}")
