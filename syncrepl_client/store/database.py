# SPDX-License-Identifier: BSD-3-Clause
"""The SQLite connection of a store: every statement passes here, and every error is explained."""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Optional
from urllib.parse import quote

from ..exceptions import StoreError, StoreInvalid
from ..view import Record
from .schema import record_of


def unadapted(values: Iterable[bytes]) -> list[bytearray]:
    """Return *values* in a type that sqlite3 does not look for adapters of, as it does of bytes."""
    return list(map(bytearray, values))


class Database:
    """A connection to the file *path*, once it is open."""

    def __init__(self, path: str) -> None:
        """Begin closed."""
        self.path = path
        self._connection: Optional[sqlite3.Connection] = None

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
            how: parameters of SQLite's URIs, such as ``mode=ro``; None: to read and write, and
                SQLite makes the file if need be.

        Raises:
            sqlite3.Error: it can't be opened.
        """
        name, uri = self.path, how is not None
        if uri:
            name = f"file://{quote(os.fsencode(os.path.abspath(self.path)))}?{how}"
        self._connection = sqlite3.connect(
            name, uri=uri, isolation_level=None, check_same_thread=False
        )

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run a statement.

        Raises:
            StoreError: it failed; so do all that follow.
        """
        try:
            return self.connection.execute(sql, values)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def script(self, sql: str) -> None:
        """Run statements."""
        try:
            self.connection.executescript(sql)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement for each of *rows*."""
        try:
            self.connection.executemany(sql, rows)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def row(self, sql: str, values: Sequence[Any] = ()) -> Optional[tuple[Any, ...]]:
        """Return the first row; cells are decoded, and fail to be, when they are fetched."""
        cursor = self.execute(sql, values)
        try:
            row: Optional[tuple[Any, ...]] = cursor.fetchone()
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return row

    def number(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Return the number in the first cell of the first row; 0 where there is none."""
        row = self.row(sql, values)
        return int(row[0]) if row else 0

    def records(self, sql: str, values: Sequence[Any]) -> Iterator[Record]:
        """Yield entries; *sql* selects the columns that they have."""
        cursor = self.execute(sql, values)
        try:
            yield from map(record_of, cursor)
        except sqlite3.Error as error:
            raise self._failed(error) from error
        finally:
            cursor.close()

    def _failed(self, error: sqlite3.Error) -> StoreError:
        # A text that is not UTF-8 is an OperationalError of Python's own.
        if type(error) is sqlite3.DatabaseError or "decode to UTF-8" in str(error):
            return StoreInvalid(f"the data store {self.path!r} is damaged: {error}")
        return StoreError(f"the data store {self.path!r} can't be used: {error}")
