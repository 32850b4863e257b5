# SPDX-License-Identifier: BSD-3-Clause
"""The entry table of a PostgreSQL store.  Ranges of keys are read in portions, without a cursor."""

from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from typing import Callable, Optional

from ...entries import dn
from ...protocol.view import Record
from ..cache import EntryTable
from .database import Database, bytes_of
from .schema import HEAD

_COLUMNS = "uuid, key, dn, attrs"
_INDEXED = f"substr(key, 1, {HEAD})"
_FIRST, _PORTION = 64, 512
"""The number of entries that are read at first, and then."""
_REMOVED = 1000
"""The maximum number of entries to delete at once."""


class PostgreSQLEntries(EntryTable):
    """The entry table.

    Entries to delete are buffered.  As with :class:`.cache.EntryCache`, they stay in the buffer if
    they are deleted during a callback.

    Attributes:
        writes: how often something was written or deleted.
    """

    def __init__(self, database: Database, in_callback: Callable[[], bool] = lambda: False) -> None:
        """Initialize from the database; *in_callback* returns True while a callback runs."""
        self._database = database
        self._table = f"{database.qualifier}syncrepl_entry"
        self._in_callback = in_callback
        self._removed: list[bytes] = []
        self._shown = 0
        self.writes = 0

    # --- reading

    def is_empty(self) -> bool:
        return self._database.row(f"SELECT 1 FROM {self._table} LIMIT 1") is None

    def with_uuids(self, uuids: Collection[bytes]) -> list[Record]:
        self.settle()
        sql = f"SELECT {_COLUMNS} FROM {self._table} WHERE uuid = ANY(?)"
        return self._database.records(sql, (list(uuids),))

    def with_keys(self, keys: Collection[bytes]) -> list[Record]:
        self.settle()
        # The index is used, also where the table was small when it was last analyzed.
        sql = (
            f"SELECT found.* FROM unnest(?::bytea[]) AS wanted (value) CROSS JOIN LATERAL "
            f"(SELECT {_COLUMNS} FROM {self._table} WHERE {_INDEXED} = substr(value, 1, {HEAD}) "
            "AND key = value LIMIT 1) AS found"
        )
        return self._database.records(sql, (list(keys),))

    def is_vacant(self, key: bytes) -> bool:
        return not next(self.portions(key, key + dn.KEY_END, limit=1), [])

    def portions(
        self,
        low: bytes,
        high: bytes,
        *,
        including: bool = False,
        reverse: bool = False,
        limit: int = _FIRST,
    ) -> Iterator[list[Record]]:
        """Yield the entries with keys between these two in portions, in order of key.

        Args:
            low: the key before the first one; with *including*, the first one.
            high: the key after the last one.
            including: whether *low* is one of them.
            reverse: from the last to the first.
            limit: the size of the first portion.
        """
        order = "DESC" if reverse else "ASC"
        sql = (
            f"SELECT {_COLUMNS} FROM {self._table} WHERE {_INDEXED} >= ? AND key {{above}} ? "
            f"AND {_INDEXED} <= ? AND key < ? ORDER BY {_INDEXED} {order}, key {order} LIMIT ?"
        )
        while True:
            self.settle()
            values = (low[:HEAD], low, high[:HEAD], high, limit)
            portion = self._database.records(sql.format(above=">=" if including else ">"), values)
            if portion:
                yield portion
            if len(portion) < limit:
                return
            if reverse:
                high = portion[-1].key
            else:
                low, including = portion[-1].key, False
            limit = _PORTION

    def between(
        self, low: bytes, high: bytes, *, including: bool = False, reverse: bool = False
    ) -> Iterator[Record]:
        """Yield the entries of :meth:`portions` one by one."""
        portions = self.portions(low, high, including=including, reverse=reverse)
        return chain.from_iterable(portions)

    def live(self) -> Iterator[Record]:
        """Yield the live entries, in order of key."""
        return self.between(b"", dn.FIRST_NOT_LIVE, including=True)

    def all(self) -> Iterator[Record]:
        """Yield all entries, in order of key."""
        return self.between(b"", dn.KEY_END, including=True)

    def below(self, key: bytes, *, reverse: bool = False) -> Iterator[Record]:
        """Yield the entries whose keys start with *key*, except *key* itself, in order of key."""
        return self.between(key, key + dn.KEY_END, reverse=reverse)

    def following(self, uuid: bytes, limit: int) -> list[Record]:
        """Return up to *limit* entries with UUIDs above *uuid*, in their order."""
        self.settle()
        sql = f"SELECT {_COLUMNS} FROM {self._table} WHERE uuid > ? ORDER BY uuid LIMIT ?"
        return self._database.records(sql, (uuid, limit))

    def uuids_after(self, uuid: bytes, limit: int) -> list[bytes]:
        """Return up to *limit* UUIDs above *uuid*, in their order."""
        self.settle()
        sql = f"SELECT uuid FROM {self._table} WHERE uuid > ? ORDER BY uuid LIMIT ?"
        return self._database.fetch(sql, (uuid, limit), _first)

    def keys_of(self, uuids: Collection[bytes]) -> list[tuple[bytes, bytes]]:
        """Return pairs of key and UUID of the entries with these UUIDs."""
        self.settle()
        sql = f"SELECT key, uuid FROM {self._table} WHERE uuid = ANY(?)"
        return self._database.fetch(sql, (list(uuids),), _pair)

    def has_displaced(self) -> bool:
        """Return True if there is a displaced entry."""
        self.settle()
        sql = f"SELECT 1 FROM {self._table} WHERE {_INDEXED} >= ? LIMIT 1"
        return self._database.row(sql, (dn.FIRST_DISPLACED,)) is not None

    def count(self) -> int:
        """Return the number of live entries."""
        self.settle()
        # All of them are counted in the index of UUIDs, which is small.
        sql = (
            f"SELECT (SELECT count(*) FROM {self._table}) - "
            f"(SELECT count(*) FROM {self._table} WHERE {_INDEXED} >= ?)"
        )
        return self._database.number(sql, (dn.FIRST_NOT_LIVE,))

    # --- writing

    def write(self, records: Iterable[Record]) -> None:
        self.settle()
        self.writes += 1
        uuids, keys, names, attrs = zip(*records)
        sql = (
            f"INSERT INTO {self._table} ({_COLUMNS}) SELECT * FROM "
            "unnest(?::bytea[], ?::bytea[], ?::bytea[], ?::bytea[]) ON CONFLICT (uuid) DO UPDATE "
            "SET key = excluded.key, dn = excluded.dn, attrs = excluded.attrs"
        )
        values = (list(uuids), list(keys), list(map(bytes_of, names)), list(attrs))
        self._database.execute(sql, values)

    def delete(self, uuid: bytes) -> None:
        self.writes += 1
        self._removed.append(uuid)
        if len(self._removed) >= _REMOVED:
            self.settle()

    def settle(self) -> None:
        """Delete what is buffered."""
        removed: Optional[list[bytes]] = self._removed
        if self._in_callback():
            removed, self._shown = self._removed[self._shown :], len(self._removed)
        else:
            self.forget()
        if removed:
            self._database.execute(f"DELETE FROM {self._table} WHERE uuid = ANY(?)", (removed,))

    def forget(self) -> None:
        """Discard what is buffered."""
        self._removed, self._shown = [], 0


def _first(row: "tuple[bytes]") -> bytes:
    return row[0]


def _pair(row: "tuple[bytes, bytes]") -> "tuple[bytes, bytes]":
    return row
