# SPDX-License-Identifier: BSD-3-Clause
"""The UUIDs of a refresh, in a temporary file of this machine.

So to mark one, and to look for its mark, takes no round trip.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Optional

from ...entries import dn
from ...protocol.view import Record, SeenUUIDs
from ..cache import EntryCache
from ..scratch import ScratchMap, sort_pairs
from .entries import PostgreSQLEntries

_PRESENT, _PLACED, _GONE = 0, 1, 2
_MANY = 1024
"""The number of marks that are buffered."""
_PORTION = 5000
"""The number of UUIDs in one statement."""
_RECORDS = 256
"""The number of entries that are read at once."""


class PostgreSQLSeenUUIDs(SeenUUIDs):
    """The marks of a refresh; single marks are buffered."""

    def __init__(self, entries: PostgreSQLEntries, cache: EntryCache) -> None:
        """Initialize without marks."""
        self._entries = entries
        self._cache = cache
        self._placed: dict[bytes, None] = {}  # a set that keeps its order
        self._marks: Optional[ScratchMap] = None
        self._none_unseen: Optional[int] = None  # as long as nothing else was written

    @property
    def _all(self) -> ScratchMap:
        if self._marks is None:
            self._marks = ScratchMap()
        return self._marks

    def mark_present(self, uuids: Iterable[bytes]) -> None:
        self._mark(uuids, _PRESENT)

    def mark_placed(self, uuid: bytes) -> None:
        self._none_unseen = None
        self._placed[uuid] = None
        if len(self._placed) >= _MANY:
            self.flush()

    def mark_deleted(self, uuids: Iterable[bytes]) -> None:
        self._cache.flush()
        rest = iter(uuids)
        while some := list(islice(rest, _PORTION)):  # there may be millions of unknown ones
            self._mark((uuid for _, uuid in self._entries.keys_of(some)), _GONE)

    def _mark(self, uuids: Iterable[bytes], mark: int) -> None:
        self.flush()
        self._none_unseen = None
        self._all.add(uuids, mark, replace=mark != _PRESENT)

    def flush(self) -> None:
        """Write the buffered marks."""
        if self._placed:
            self._all.add(self._placed, _PLACED, replace=True)
            self._placed.clear()

    def is_placed(self, uuid: bytes) -> bool:
        return uuid in self._placed or self._last(uuid) == _PLACED

    def is_deleted(self, uuid: bytes) -> bool:
        return uuid not in self._placed and self._last(uuid) == _GONE

    def _last(self, uuid: bytes) -> Optional[int]:
        """Return the last mark, except for the buffered ones."""
        return None if self._marks is None else self._marks.get(uuid)

    def any_unknown(self) -> bool:
        self.flush()
        self._cache.flush()
        present = self._all.after(b"", _PRESENT, 1)
        if not present:
            return False
        last, none_unseen = b"", True
        for portion, marks in self._surveyed():
            last = portion[-1]
            none_unseen = none_unseen and not _unkept(portion, marks)
            marked = {uuid for uuid, mark in marks.items() if mark == _PRESENT}
            if not marked.issubset(portion):
                return True
        self._none_unseen = self._entries.writes if none_unseen else None
        return bool(self._all.after(last, _PRESENT, 1))

    def _surveyed(self) -> Iterator[tuple[list[bytes], dict[bytes, int]]]:
        """Yield all UUIDs of the store in portions, each with the marks up to its last one."""
        last = b""
        # Reading a range is several times as fast as looking for each.
        while portion := self._entries.uuids_after(last, _PORTION):
            yield portion, self._all.between(last, portion[-1])
            last = portion[-1]

    def to_delete(self, *, unseen: bool) -> Iterator[Record]:
        doomed = sort_pairs(self._doomed(unseen=unseen), reverse=True)
        while some := [uuid for _, uuid in islice(doomed, _RECORDS)]:
            found = {each.uuid: each for each in self._entries.with_uuids(some)}
            yield from (found[uuid] for uuid in some if uuid in found)

    def count_to_delete(self, *, unseen: bool) -> int:
        return sum(1 for key, _ in self._doomed(unseen=unseen) if dn.is_live(key))

    def _doomed(self, *, unseen: bool) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and UUID of each entry to delete, in any order."""
        self.flush()
        self._cache.flush()
        if unseen:
            yield from self._unseen()
            return
        for gone in self._marked(_GONE):
            yield from self._entries.keys_of(gone)

    def _unseen(self) -> Iterator[tuple[bytes, bytes]]:
        if self._none_unseen == self._entries.writes:  # known from any_unknown()
            return
        for portion, marks in self._surveyed():
            doomed = _unkept(portion, marks)
            if doomed:
                yield from self._entries.keys_of(doomed)

    def _marked(self, mark: int) -> Iterator[list[bytes]]:
        """Yield the UUIDs with that mark, in portions."""
        last = b""
        while portion := self._all.after(last, mark, _PORTION):
            yield portion
            last = portion[-1]

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Return a context manager that undoes what was marked inside it if it raises."""
        self.flush()
        with self._all.savepoint():
            try:
                yield
                self.flush()
            except BaseException:
                self._placed.clear()
                self._none_unseen = None
                raise

    def clear(self) -> None:
        self._none_unseen = None
        self._placed.clear()
        if self._marks is not None:
            self._marks.clear()

    def close(self) -> None:
        """Delete the temporary file."""
        self._placed.clear()
        marks, self._marks = self._marks, None
        if marks is not None:
            marks.close()


def _unkept(uuids: Iterable[bytes], marks: Mapping[bytes, int]) -> list[bytes]:
    """Return those that are not marked, or marked as gone."""
    return [uuid for uuid in uuids if marks.get(uuid, _GONE) == _GONE]
