# SPDX-License-Identifier: BSD-3-Clause
"""A temporary set of byte strings that does not need memory for its members.

SQLite keeps a database without a name in its page cache and, once that is full, in a temporary file
that is deleted as soon as it is open.  Nothing is ever committed, so there is no journal.
"""

import sqlite3
from types import TracebackType
from typing import Any, Optional

from ..exceptions import StoreError

_CACHE_KIBIBYTES = 16384
_SCHEMA = f"""
PRAGMA temp_store = FILE;
PRAGMA cache_size = -{_CACHE_KIBIBYTES};
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE member (value BLOB PRIMARY KEY) WITHOUT ROWID;
BEGIN;
"""


class ScratchSet:
    """A set of byte strings on disk, deleted when it is closed; a context manager."""

    def __init__(self) -> None:
        """Initialize an empty set.

        Raises:
            StoreError: SQLite can't create it; the other methods raise it too.
        """
        self._connection = sqlite3.connect("", isolation_level=None)
        try:
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            self._connection.close()
            raise _failed(error) from error

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


def _failed(error: sqlite3.Error) -> StoreError:
    return StoreError(
        f"SQLite's temporary file can't be used: {error}; is the disk full? The environment "
        "variable SQLITE_TMPDIR says where it is"
    )
