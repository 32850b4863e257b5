# SPDX-License-Identifier: BSD-3-Clause
"""The entry table of an SQLite store."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from ...entries import dn
from ...protocol.view import Record
from ..cache import EntryTable
from .database import Database, unadapted
from .schema import record_of

COLUMNS = "uuid, key, dn, attrs"
_GET = f"SELECT {COLUMNS} FROM syncrepl_entry WHERE uuid = ?"
_PUT = (
    f"INSERT INTO syncrepl_entry ({COLUMNS}) VALUES (?, ?, ?, ?) ON CONFLICT (uuid) DO UPDATE SET "
    "key = excluded.key, dn = excluded.dn, attrs = excluded.attrs"
)
_PUT_IN_PLACE = "UPDATE syncrepl_entry SET dn = ?, attrs = ? WHERE uuid = ? AND key = ?"
"""Leaves the index of keys alone, which :data:`_PUT` writes even if the key is the same."""


class SQLiteEntries(EntryTable):
    """The entry table."""

    def __init__(self, database: Database) -> None:
        """Initialize from the database."""
        self._database = database

    def is_empty(self) -> bool:
        return self._database.row("SELECT 1 FROM syncrepl_entry LIMIT 1") is None

    def with_uuids(self, uuids: Collection[bytes]) -> Iterable[Record]:
        if len(uuids) == 1:
            row = self._database.row(_GET, unadapted(uuids))
            return () if row is None else (record_of(row),)
        return self.records(f"uuid IN ({_marks(uuids)})", unadapted(uuids))

    def with_keys(self, keys: Collection[bytes]) -> Iterator[Record]:
        return self.records(f"key IN ({_marks(keys)})", unadapted(keys))

    def is_vacant(self, key: bytes) -> bool:
        sql = "SELECT 1 FROM syncrepl_entry WHERE key > ? AND key < ? LIMIT 1"
        return self._database.row(sql, (key, key + dn.KEY_END)) is None

    def records(self, where: str, values: Sequence[Any]) -> Iterator[Record]:
        """Yield the entries that the condition *where* is true for."""
        sql = f"SELECT {COLUMNS} FROM syncrepl_entry WHERE {where}"
        return self._database.records(sql, values)

    def write(self, records: Collection[Record]) -> None:
        if len(records) == 1:  # one change at a time, nearly always of an entry that stays
            ((uuid, key, dn, attrs),) = records
            row = (dn, bytearray(attrs), bytearray(uuid), bytearray(key))
            if self._database.change(_PUT_IN_PLACE, row):
                return
        # For bytes, sqlite3 looks for adapters.
        rows = [
            (bytearray(uuid), bytearray(key), dn, bytearray(attrs))
            for uuid, key, dn, attrs in records
        ]
        self._database.many(_PUT, rows)

    def delete(self, uuid: bytes) -> None:
        self._database.execute("DELETE FROM syncrepl_entry WHERE uuid = ?", (uuid,))


def _marks(values: Collection[bytes]) -> str:
    return ", ".join("?" * len(values))
