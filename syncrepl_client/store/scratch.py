# SPDX-License-Identifier: BSD-3-Clause
"""Temporary sets and lists of byte strings that do not need memory for their members.

SQLite keeps a database without a name in its page cache and, once that is full, in a temporary file
that is deleted as soon as it is open.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Optional

from ..exceptions import StoreError
from .closing import Closing

_CACHE_KIBIBYTES = 16384
_PRAGMAS = f"""
PRAGMA temp_store = FILE;
PRAGMA cache_size = -{_CACHE_KIBIBYTES};
PRAGMA synchronous = OFF;
"""
_NEVER_COMMITTED = """
PRAGMA journal_mode = OFF;
BEGIN;
"""


class ScratchSet(Closing):
    """A set of byte strings on disk, deleted when it is closed; a context manager."""

    def __init__(self) -> None:
        """Initialize an empty set.

        Raises:
            StoreError: SQLite can't create it; the other methods raise it too.
        """
        self._connection = _open(
            f"CREATE TABLE member (value BLOB PRIMARY KEY) WITHOUT ROWID; {_NEVER_COMMITTED}"
        )

    def add(self, value: bytes) -> None:
        """Add *value*, unless it is in the set."""
        self._execute("INSERT OR IGNORE INTO member VALUES (?)", value)

    def __contains__(self, value: bytes) -> bool:
        return self._execute("SELECT 1 FROM member WHERE value = ?", value) is not None

    def _execute(self, sql: str, value: bytes) -> Any:
        try:
            return self._connection.execute(sql, (value,)).fetchone()
        except sqlite3.Error as error:
            raise _failed(error) from error

    def close(self) -> None:
        """Delete the set."""
        self._connection.close()


class ScratchMap:
    """A map of byte strings to small numbers on disk, deleted when it is closed.

    The other methods raise StoreError where SQLite can't use its temporary file.
    """

    def __init__(self) -> None:
        """Initialize an empty map.

        Raises:
            StoreError: SQLite can't create it.
        """
        self._connection = _open(
            "CREATE TABLE member (value BLOB PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID"
        )

    def add(self, values: Iterable[bytes], number: int, *, replace: bool) -> None:
        """Map each of *values* to *number*; with *replace*, also those that are in the map."""
        how = "REPLACE" if replace else "IGNORE"
        with self.savepoint():
            self._many(
                f"INSERT OR {how} INTO member VALUES (?, ?)", ((each, number) for each in values)
            )

    def get(self, value: bytes) -> Optional[int]:
        """Return the number of *value*; None if it is not in the map."""
        rows = self._rows("SELECT number FROM member WHERE value = ?", value)
        return rows[0][0] if rows else None

    def after(self, value: bytes, number: int, limit: int) -> "list[bytes]":
        """Return up to *limit* values above *value* that are mapped to *number*, in order."""
        sql = "SELECT value FROM member WHERE value > ? AND number = ? ORDER BY value LIMIT ?"
        return [value for (value,) in self._rows(sql, value, number, limit)]

    def between(self, first: bytes, last: bytes) -> "dict[bytes, int]":
        """Return the values above *first*, up to *last*, and the number of each."""
        sql = "SELECT value, number FROM member WHERE value > ? AND value <= ?"
        return dict(self._rows(sql, first, last))

    def clear(self) -> None:
        """Remove all values."""
        self._rows("DELETE FROM member")

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Return a context manager that undoes what was written inside it if it raises."""
        self._rows("SAVEPOINT scratch")
        try:
            yield
        except BaseException:
            self._rows("ROLLBACK TO scratch")
            raise
        finally:
            self._rows("RELEASE scratch")

    def _rows(self, sql: str, *values: Any) -> "list[Any]":
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise _failed(error) from error

    def _many(self, sql: str, rows: Iterable[tuple[bytes, int]]) -> None:
        try:
            self._connection.executemany(sql, rows)
        except sqlite3.Error as error:
            raise _failed(error) from error

    def close(self) -> None:
        """Delete the map."""
        self._connection.close()


def sort_pairs(
    pairs: Iterable[tuple[bytes, bytes]], *, reverse: bool = False
) -> Iterator[tuple[bytes, bytes]]:
    """Yield *pairs* in order, sorted on disk.

    Raises:
        StoreError: SQLite's temporary file can't be used.
    """
    order = "1 DESC, 2 DESC" if reverse else "1, 2"
    with closing(_open(f"CREATE TABLE pair (one BLOB, other BLOB); {_NEVER_COMMITTED}")) as scratch:
        try:
            scratch.executemany("INSERT INTO pair VALUES (?, ?)", pairs)
            yield from scratch.execute(f"SELECT one, other FROM pair ORDER BY {order}")
        except sqlite3.Error as error:
            raise _failed(error) from error


def _open(statements: str) -> sqlite3.Connection:
    connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    try:
        connection.executescript(f"{_PRAGMAS} {statements}")
    except sqlite3.Error as error:
        connection.close()
        raise _failed(error) from error
    return connection


def _failed(error: sqlite3.Error) -> StoreError:
    return StoreError(
        f"SQLite's temporary file can't be used: {error}; is the disk full? The environment "
        "variable SQLITE_TMPDIR says where it is"
    )
