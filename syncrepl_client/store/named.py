# SPDX-License-Identifier: BSD-3-Clause
"""What a refresh named, in temporary tables of the SQLite store: SQLite spills them to disk.

An entry that the store has is known by its row's number there, which is small and quick.  Only
UUIDs that the store doesn't have are kept as they are.
"""

from collections.abc import Iterable, Iterator, Sequence

from .. import dn
from ..view import Named, Record
from .ahead import Ahead
from .database import Database, unadapted

SCRATCH = (
    "CREATE TEMP TABLE named (id INTEGER PRIMARY KEY, word INTEGER NOT NULL)",
    "CREATE TEMP TABLE stranger (uuid BLOB PRIMARY KEY, word INTEGER NOT NULL) WITHOUT ROWID",
)

_PRESENT, _PLACED, _GONE = 0, 1, 2
_CONFLICT = {
    _PRESENT: "word = word",
    _PLACED: "word = excluded.word",
    _GONE: "word = excluded.word",
}
"""That a UUID is present is news only if nothing else was said of it."""
_LEAVERS = {
    # To look for the unnamed SQLite reads the index of UUIDs, which is small, and not the table.
    True: "syncrepl_entry WHERE id IN (SELECT id FROM syncrepl_entry AS each WHERE NOT EXISTS "
    "(SELECT 1 FROM named WHERE named.id = each.id AND word <> ?))",
    False: "named CROSS JOIN syncrepl_entry USING (id) WHERE word = ?",
}
_SETTLE = (
    "INSERT OR IGNORE INTO named SELECT id, word FROM stranger CROSS JOIN syncrepl_entry "
    "USING (uuid)"
)
_WORD = "SELECT word FROM syncrepl_entry CROSS JOIN named USING (id) WHERE uuid = ?"
_STRANGE_WORD = "SELECT word FROM stranger WHERE uuid = ?"
_MANY = 256
"""So many words are held back, and so many UUIDs asked for at once."""


class SQLiteNamed(Named):
    """What a refresh named; single words are written many at a time."""

    def __init__(self, database: Database, entries: Ahead) -> None:
        """Begin; the tables are to be made with :data:`SCRATCH`, of a *database* with *entries*."""
        self._database = database
        self._entries = entries
        self._placed: dict[bytes, None] = {}  # a set that keeps its order
        self._used = False
        entries.on_remove = self._removed

    def present(self, uuids: Iterable[bytes]) -> None:
        self._settle()
        self._say(list(dict.fromkeys(uuids)), _PRESENT)

    def placed(self, uuid: bytes) -> None:
        if len(self._placed) >= _MANY:
            self.flush()  # not later: the last one may not be stored yet
        self._placed[uuid] = None

    def gone(self, uuids: Iterable[bytes]) -> None:
        self.flush()
        self._say(list(dict.fromkeys(uuids)), _GONE)

    def flush(self) -> None:
        """Write what is held back."""
        if self._placed:
            uuids = list(self._placed)
            self._say(uuids, _PLACED)
            self._placed.clear()

    def forget(self) -> None:
        """Forget what is held back."""
        self._placed.clear()

    def _say(self, uuids: Sequence[bytes], word: int) -> None:
        self._entries.flush()
        self._used = True
        for start in range(0, len(uuids), _MANY):
            some = uuids[start : start + _MANY]
            listed = f"({', '.join('?' * len(some))})"
            known = self._database.execute(
                f"INSERT INTO named SELECT id, {word} FROM syncrepl_entry WHERE uuid IN {listed} "
                f"ON CONFLICT (id) DO UPDATE SET {_CONFLICT[word]}",
                unadapted(some),
            ).rowcount
            if known != len(some):
                self._say_of_strangers(some, listed, word)

    def _say_of_strangers(self, uuids: Sequence[bytes], listed: str, word: int) -> None:
        sql = f"SELECT uuid FROM syncrepl_entry WHERE uuid IN {listed}"
        known = {uuid for (uuid,) in self._database.execute(sql, unadapted(uuids))}
        self._database.many(
            "INSERT INTO stranger VALUES (?, ?) "
            f"ON CONFLICT (uuid) DO UPDATE SET {_CONFLICT[word]}",
            ((uuid, word) for uuid in uuids if uuid not in known),
        )

    def _removed(self, uuid: bytes) -> None:
        """Hear that an entry is about to be removed: another one may get its row's number."""
        if self._used or self._placed:
            self.flush()
            number = "(SELECT id FROM syncrepl_entry WHERE uuid = ?)"
            self._database.execute(
                f"INSERT OR REPLACE INTO stranger SELECT ?, word FROM named WHERE id = {number}",
                (uuid, uuid),
            )
            self._database.execute(f"DELETE FROM named WHERE id = {number}", (uuid,))

    def _settle(self) -> None:
        """Write all that is held back; know strangers that the store has by now."""
        self.flush()
        self._entries.flush()
        if self._used:
            self._database.execute(_SETTLE)

    def is_placed(self, uuid: bytes) -> bool:
        if uuid in self._placed:
            return True
        found = self._database.row(_WORD, (uuid,)) or self._database.row(_STRANGE_WORD, (uuid,))
        return found == (_PLACED,)

    def unknown(self) -> bool:
        self.flush()
        self._entries.flush()
        sql = (
            "SELECT 1 FROM stranger WHERE word = ? AND NOT EXISTS "
            "(SELECT 1 FROM syncrepl_entry WHERE syncrepl_entry.uuid = stranger.uuid) LIMIT 1"
        )
        return self._database.row(sql, (_PRESENT,)) is not None

    def leavers(self, *, unnamed: bool) -> Iterator[Record]:
        self._settle()
        # To delete the row that a SELECT is at is safe in SQLite; no other one is deleted.
        return self._entries.records(f"{_LEAVERS[unnamed]} ORDER BY key DESC", (_GONE,))

    def count_leavers(self, *, unnamed: bool) -> int:
        self._settle()
        sql = f"SELECT count(*) FROM {_LEAVERS[unnamed]} AND key < ?"
        return self._database.number(sql, (_GONE, dn.FIRST_NOT_LIVE))

    def clear(self) -> None:
        self.forget()
        self._database.execute("DELETE FROM named")
        self._database.execute("DELETE FROM stranger")
        self._used = False
