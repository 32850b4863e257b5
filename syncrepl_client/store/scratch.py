# SPDX-License-Identifier: BSD-3-Clause
"""Temporary sets and lists of byte strings that do not need memory for their members.

SQLite keeps a database without a name in its page cache and, once that is full, in a temporary file
that is deleted as soon as it is open.  Nothing is ever committed, so there is no journal.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from types import TracebackType
from typing import Any, Optional

from ..exceptions import StoreError

_CACHE_KIBIBYTES = 16384
_PRAGMAS = f"""
PRAGMA temp_store = FILE;
PRAGMA cache_size = -{_CACHE_KIBIBYTES};
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
"""


class ScratchSet:
    """A set of byte strings on disk, deleted when it is closed; a context manager."""

    def __init__(self) -> None:
        """Initialize an empty set.

        Raises:
            StoreError: SQLite can't create it; the other methods raise it too.
        """
        self._connection = _open("CREATE TABLE member (value BLOB PRIMARY KEY) WITHOUT ROWID")

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

    def __enter__(self) -> "ScratchSet":
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()


def sort_pairs(pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Yield *pairs* in order, sorted on disk.

    Raises:
        StoreError: SQLite's temporary file can't be used.
    """
    with closing(_open("CREATE TABLE pair (one BLOB, other BLOB)")) as connection:
        try:
            connection.executemany("INSERT INTO pair VALUES (?, ?)", pairs)
            yield from connection.execute("SELECT one, other FROM pair ORDER BY 1, 2")
        except sqlite3.Error as error:
            raise _failed(error) from error


def _open(schema: str) -> sqlite3.Connection:
    """Return a connection to a new temporary database, in a transaction that is never committed."""
    connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    try:
        connection.executescript(f"{_PRAGMAS}{schema};\nBEGIN;")
    except sqlite3.Error as error:
        connection.close()
        raise _failed(error) from error
    return connection


def _failed(error: sqlite3.Error) -> StoreError:
    return StoreError(
        f"SQLite's temporary file can't be used: {error}; is the disk full? The environment "
        "variable SQLITE_TMPDIR says where it is"
    )
