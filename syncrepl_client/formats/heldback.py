# SPDX-License-Identifier: BSD-3-Clause
"""What :class:`.LDIFCallback` keeps in the transaction of what it hears.

Two things: the keys of what :mod:`.arrangement` holds back, which last as long as the store,
and records that are to be written out before the commit.  After a rollback both are as before.
"""

from abc import abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Any, Optional, Union

from ..exceptions import StoreError
from ..store import Store
from .arrangement import HeldBack


class Notes(HeldBack):
    """Keys of what is held back, and records that are not written out yet."""

    @abstractmethod
    def write(self, record: str) -> None:
        """Keep *record*."""

    @abstractmethod
    def records(self) -> Iterator[str]:
        """Yield the records that were kept, and keep them no longer."""

    def committing(self) -> None:
        """Hear that the transaction is about to be committed."""

    def rolled_back(self) -> None:
        """Hear that it was rolled back, or that none was open."""


def open_notes(store: Store) -> Notes:
    """Return notes in the database of the open *store*; in memory, if it has none."""
    try:
        store.connection  # noqa: B018 - it is asked for
    except StoreError:
        return NotesInMemory()
    return NotesInDatabase(store)


_END = b"\xff" * 2
"""Sorts after every continuation of a key."""


class NotesInDatabase(Notes):
    """A table of keys, and a temporary one of records; SQLite spills that to disk."""

    def __init__(self, store: Store) -> None:
        """Make the tables where they are not there yet; *store* has a database."""
        self._store = store
        self._execute(
            "CREATE TABLE IF NOT EXISTS syncrepl_held_back (key BLOB NOT NULL PRIMARY KEY) "
            "WITHOUT ROWID"
        )
        self._execute(
            "CREATE TEMP TABLE IF NOT EXISTS syncrepl_records "
            "(id INTEGER PRIMARY KEY, record TEXT NOT NULL)"
        )

    def _execute(self, sql: str, values: tuple[Union[bytes, str], ...] = ()) -> Any:
        return self._store.connection.execute(sql, values)

    def add(self, key: bytes) -> None:
        self._execute("INSERT OR IGNORE INTO syncrepl_held_back VALUES (?)", (key,))

    def remove(self, key: bytes) -> None:
        self._execute("DELETE FROM syncrepl_held_back WHERE key = ?", (key,))

    def __contains__(self, key: bytes) -> bool:
        sql = "SELECT 1 FROM syncrepl_held_back WHERE key = ?"
        return self._execute(sql, (key,)).fetchone() is not None

    def following(self, key: bytes, below: bytes) -> Optional[bytes]:
        row: Optional[tuple[bytes]] = self._execute(
            "SELECT key FROM syncrepl_held_back WHERE key > ? AND key < ? ORDER BY key LIMIT 1",
            (key, below + _END),
        ).fetchone()
        return None if row is None else row[0]

    def write(self, record: str) -> None:
        self._execute("INSERT INTO syncrepl_records (record) VALUES (?)", (record,))

    def records(self) -> Iterator[str]:
        for (record,) in self._execute("SELECT record FROM syncrepl_records ORDER BY id"):
            yield record
        self._execute("DELETE FROM syncrepl_records")


class NotesInMemory(Notes):
    """Notes beside a store that is no database: they don't outlive their process."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._keys: list[bytes] = []
        self._committed: list[bytes] = []
        self._changed = False
        self._records: list[str] = []

    def add(self, key: bytes) -> None:
        if key not in self:
            self._keys.insert(bisect_left(self._keys, key), key)
            self._changed = True

    def remove(self, key: bytes) -> None:
        if key in self:
            del self._keys[bisect_left(self._keys, key)]
            self._changed = True

    def __contains__(self, key: bytes) -> bool:
        place = bisect_left(self._keys, key)
        return self._keys[place : place + 1] == [key]

    def following(self, key: bytes, below: bytes) -> Optional[bytes]:
        place = bisect_right(self._keys, key)
        found = self._keys[place : place + 1]
        return found[0] if found and found[0].startswith(below) else None

    def write(self, record: str) -> None:
        self._records.append(record)

    def records(self) -> Iterator[str]:
        yield from self._records
        self._records.clear()

    def committing(self) -> None:
        if self._changed:
            self._committed, self._changed = list(self._keys), False

    def rolled_back(self) -> None:
        self._records.clear()
        if self._changed:
            self._keys, self._changed = list(self._committed), False
