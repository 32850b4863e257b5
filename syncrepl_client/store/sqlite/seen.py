# SPDX-License-Identifier: BSD-3-Clause
"""The UUIDs of a refresh, in temporary tables of the SQLite store, which SQLite spills to disk.

An entry in the store is represented by its row ID, which is small and fast.  Only UUIDs that the
store doesn't have are stored themselves.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Optional

from ...entries import dn
from ...protocol.view import Record, SeenUUIDs
from ..cache import EntryCache
from .database import Database, unadapted
from .entries import COLUMNS

SCRATCH = (
    "CREATE TEMP TABLE seen (id INTEGER PRIMARY KEY, mark INTEGER NOT NULL)",
    "CREATE TEMP TABLE unstored (uuid BLOB PRIMARY KEY, mark INTEGER NOT NULL) WITHOUT ROWID",
)

_PRESENT, _PLACED, _GONE = 0, 1, 2
_CONFLICT = {
    _PRESENT: "mark = mark",
    _PLACED: "mark = excluded.mark",
    _GONE: "mark = excluded.mark",
}
"""_PRESENT does not replace another mark."""
_TO_DELETE = {
    # To look for the unseen SQLite reads the index of UUIDs, which is small, and not the table.
    True: "syncrepl_entry WHERE id IN (SELECT id FROM syncrepl_entry AS each WHERE NOT EXISTS "
    "(SELECT 1 FROM seen WHERE seen.id = each.id AND mark <> ?))",
    False: "seen CROSS JOIN syncrepl_entry USING (id) WHERE mark = ?",
}
_SETTLE = (
    "INSERT OR IGNORE INTO seen SELECT id, mark FROM unstored CROSS JOIN syncrepl_entry "
    "USING (uuid)"
)
_MARK = "SELECT mark FROM syncrepl_entry CROSS JOIN seen USING (id) WHERE uuid = ?"
_UNSTORED_MARK = "SELECT mark FROM unstored WHERE uuid = ?"
_MANY = 256
"""The number of marks that are buffered, and of UUIDs in one statement."""


class SQLiteSeenUUIDs(SeenUUIDs):
    """The marks of a refresh; single marks are buffered."""

    def __init__(self, database: Database, entries: EntryCache) -> None:
        """Initialize; the statements :data:`SCRATCH` create the tables."""
        self._database = database
        self._entries = entries
        self._placed: dict[bytes, None] = {}  # a set that keeps its order
        self._used = self._any_unstored = self._any_gone = False
        entries.on_remove = self._removed

    def mark_present(self, uuids: Iterable[bytes]) -> None:
        self.flush()
        self._mark(list(dict.fromkeys(uuids)), _PRESENT)

    def mark_placed(self, uuid: bytes) -> None:
        if len(self._placed) >= _MANY:
            self.flush()  # not later: the last one may not be stored yet
        self._placed[uuid] = None

    def mark_deleted(self, uuids: Iterable[bytes]) -> None:
        self.flush()
        self._any_gone = True
        self._mark(list(dict.fromkeys(uuids)), _GONE)

    def flush(self) -> None:
        """Write the buffered marks."""
        if self._placed:
            uuids = list(self._placed)
            self._mark(uuids, _PLACED)
            self._placed.clear()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Return a context manager that undoes what was marked inside it if it raises.

        The tables of the marks are rolled back with the others.
        """
        self.flush()
        yield

    def forget(self) -> None:
        """Discard the buffered marks."""
        self._placed.clear()

    def _mark(self, uuids: Sequence[bytes], mark: int) -> None:
        self._entries.flush()
        self._used = True
        for start in range(0, len(uuids), _MANY):
            some = uuids[start : start + _MANY]
            listed = f"({', '.join('?' * len(some))})"
            if mark == _PRESENT and self._any_unstored:  # some may have another mark
                self._database.execute(f"{_SETTLE} WHERE uuid IN {listed}", unadapted(some))
            known = self._database.execute(
                f"INSERT INTO seen SELECT id, {mark} FROM syncrepl_entry WHERE uuid IN {listed} "
                f"ON CONFLICT (id) DO UPDATE SET {_CONFLICT[mark]}",
                unadapted(some),
            ).rowcount
            if known != len(some) and mark != _GONE:  # there may be millions of those
                self._mark_unstored(some, listed, mark)

    def _mark_unstored(self, uuids: Sequence[bytes], listed: str, mark: int) -> None:
        self._any_unstored = True
        sql = f"SELECT uuid FROM syncrepl_entry WHERE uuid IN {listed}"
        known = {uuid for (uuid,) in self._database.execute(sql, unadapted(uuids))}
        self._database.many(
            "INSERT INTO unstored VALUES (?, ?) "
            f"ON CONFLICT (uuid) DO UPDATE SET {_CONFLICT[mark]}",
            ((uuid, mark) for uuid in uuids if uuid not in known),
        )

    def _removed(self, uuid: bytes) -> None:
        """Move the mark of an entry before it is removed: its row ID may be reused."""
        if self._used or self._placed:
            self.flush()
            self._any_unstored = True
            number = "(SELECT id FROM syncrepl_entry WHERE uuid = ?)"
            self._database.execute(
                f"INSERT OR REPLACE INTO unstored SELECT ?, mark FROM seen WHERE id = {number}",
                (uuid, uuid),
            )
            self._database.execute(f"DELETE FROM seen WHERE id = {number}", (uuid,))

    def _settle(self) -> None:
        """Write all that is buffered; move the marks of entries that are in the store by now."""
        self.flush()
        self._entries.flush()
        if self._used:
            self._database.execute(_SETTLE)

    def is_placed(self, uuid: bytes) -> bool:
        return uuid in self._placed or self._last(uuid) == (_PLACED,)

    def is_deleted(self, uuid: bytes) -> bool:
        return uuid not in self._placed and self._last(uuid) == (_GONE,)

    def _last(self, uuid: bytes) -> Optional[tuple[int]]:
        """Return the last mark, except for the buffered ones."""
        return self._database.row(_MARK, (uuid,)) or self._database.row(_UNSTORED_MARK, (uuid,))

    def any_unknown(self) -> bool:
        self.flush()
        self._entries.flush()
        sql = (
            "SELECT 1 FROM unstored WHERE mark = ? AND NOT EXISTS "
            "(SELECT 1 FROM syncrepl_entry WHERE syncrepl_entry.uuid = unstored.uuid) LIMIT 1"
        )
        return self._database.row(sql, (_PRESENT,)) is not None

    def _count_unmarked(self) -> Optional[int]:
        """Return how many entries have no mark; None where some are marked as deleted.

        All marks are of entries in the store then, and to count rows takes much less than to look
        for each.
        """
        if self._any_gone:
            return None
        counts = "(SELECT count(*) FROM syncrepl_entry) - (SELECT count(*) FROM seen)"
        return self._database.number(f"SELECT {counts}")

    def to_delete(self, *, unseen: bool) -> Iterator[Record]:
        self._settle()
        if unseen and self._count_unmarked() == 0:
            return iter(())
        # To delete the row that a SELECT is at is safe in SQLite; no other one is deleted.
        sql = f"SELECT {COLUMNS} FROM {_TO_DELETE[unseen]} ORDER BY key DESC"
        return self._database.records(sql, (_GONE,))

    def count_to_delete(self, *, unseen: bool) -> int:
        self._settle()
        unmarked = self._count_unmarked() if unseen else None
        not_live = "SELECT 1 FROM syncrepl_entry WHERE key >= ? LIMIT 1"
        if unmarked is not None and not self._database.number(not_live, (dn.FIRST_NOT_LIVE,)):
            return unmarked
        sql = f"SELECT count(*) FROM {_TO_DELETE[unseen]} AND key < ?"
        return self._database.number(sql, (_GONE, dn.FIRST_NOT_LIVE))

    def clear(self) -> None:
        self.forget()
        self._database.execute("DELETE FROM seen")
        self._database.execute("DELETE FROM unstored")
        self._used = self._any_unstored = self._any_gone = False
