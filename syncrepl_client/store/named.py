# SPDX-License-Identifier: BSD-3-Clause
"""What a refresh named, in a temporary table of the SQLite store: SQLite spills it to disk."""

from collections.abc import Iterable, Iterator

from .. import dn
from ..view import Named, Record
from .ahead import Ahead
from .database import Database

SCRATCH = """
CREATE TEMP TABLE named (uuid BLOB PRIMARY KEY, word INTEGER NOT NULL) WITHOUT ROWID;
"""

_PRESENT, _PLACED, _GONE = 0, 1, 2
_LEAVERS = {
    # To look for the unnamed SQLite reads the index of UUIDs, which is small, and not the table.
    True: "syncrepl_entry WHERE id IN (SELECT id FROM syncrepl_entry LEFT JOIN named USING (uuid) "
    "WHERE word IS NULL OR word = ?)",
    False: "named CROSS JOIN syncrepl_entry USING (uuid) WHERE word = ?",
}
_MANY = 512
"""So many words are held back, at most."""


class SQLiteNamed(Named):
    """What a refresh named; single words are written many at a time."""

    def __init__(self, database: Database, entries: Ahead) -> None:
        """Begin; the table is to be made with :data:`SCRATCH`, of a *database* with *entries*."""
        self._database = database
        self._entries = entries
        self._words: dict[bytes, int] = {}

    def present(self, uuids: Iterable[bytes]) -> None:
        self.flush()
        self._database.many(
            "INSERT OR IGNORE INTO named VALUES (?, ?)", ((uuid, _PRESENT) for uuid in uuids)
        )

    def placed(self, uuid: bytes) -> None:
        self._words[uuid] = _PLACED
        if len(self._words) >= _MANY:
            self.flush()

    def gone(self, uuids: Iterable[bytes]) -> None:
        self.flush()
        self._say((uuid, _GONE) for uuid in uuids)

    def _say(self, words: Iterable[tuple[bytes, int]]) -> None:
        self._database.many("INSERT OR REPLACE INTO named VALUES (?, ?)", words)

    def flush(self) -> None:
        """Write what is held back."""
        if self._words:
            self._say(self._words.items())
            self._words.clear()

    def forget(self) -> None:
        """Forget what is held back."""
        self._words.clear()

    def is_placed(self, uuid: bytes) -> bool:
        if uuid in self._words:
            return True
        sql = "SELECT 1 FROM named WHERE uuid = ? AND word = ?"
        return self._database.row(sql, (uuid, _PLACED)) is not None

    def unknown(self) -> bool:
        self.flush()
        self._entries.flush()
        sql = (
            "SELECT 1 FROM named WHERE word = ? AND NOT EXISTS "
            "(SELECT 1 FROM syncrepl_entry WHERE syncrepl_entry.uuid = named.uuid) LIMIT 1"
        )
        return self._database.row(sql, (_PRESENT,)) is not None

    def leavers(self, *, unnamed: bool) -> Iterator[Record]:
        self.flush()
        # To delete the row that a SELECT is at is safe in SQLite; no other one is deleted.
        return self._entries.records(f"{_LEAVERS[unnamed]} ORDER BY key DESC", (_GONE,))

    def count_leavers(self, *, unnamed: bool) -> int:
        self.flush()
        self._entries.flush()
        sql = f"SELECT count(*) FROM {_LEAVERS[unnamed]} AND key < ?"
        return self._database.number(sql, (_GONE, dn.FIRST_NOT_LIVE))

    def clear(self) -> None:
        self.forget()
        self._database.execute("DELETE FROM named")
