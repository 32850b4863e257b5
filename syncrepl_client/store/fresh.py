# SPDX-License-Identifier: BSD-3-Clause
"""The marks of a refresh that began with an empty store: it needs hardly any."""

from collections.abc import Iterable, Iterator
from typing import Callable, Optional

from ..protocol.view import Record, SeenUUIDs


class FreshSeenUUIDs(SeenUUIDs):
    """The marks of a refresh, without those that follow from what is stored.

    If the store was empty when the refresh began, an entry in it was placed, unless it is marked as
    deleted.
    """

    def __init__(
        self,
        marks: SeenUUIDs,
        get: Callable[[bytes], Optional[Record]],
        is_empty: Callable[[], bool],
    ) -> None:
        """Initialize from a store.

        Args:
            marks: the marks, as the store keeps them.
            get: returns the entry with a UUID.
            is_empty: returns whether the store has no entry.
        """
        self._marks = marks
        self._get = get
        self._is_empty = is_empty
        self._fresh = self._any_deleted = False

    def mark_present(self, uuids: Iterable[bytes]) -> None:
        self._marks.mark_present(uuids)

    def mark_placed(self, uuid: bytes) -> None:
        if not self._fresh or self._any_deleted:
            self._marks.mark_placed(uuid)

    def mark_deleted(self, uuids: Iterable[bytes]) -> None:
        self._any_deleted = True
        self._marks.mark_deleted(uuids)

    def is_placed(self, uuid: bytes) -> bool:
        if not self._fresh:
            return self._marks.is_placed(uuid)
        return self._get(uuid) is not None and not self.is_deleted(uuid)

    def is_deleted(self, uuid: bytes) -> bool:
        return self._any_deleted and self._marks.is_deleted(uuid)

    def any_unknown(self) -> bool:
        return self._marks.any_unknown()

    def to_delete(self, *, unseen: bool) -> Iterator[Record]:
        return self._marks.to_delete(unseen=unseen and not self._fresh)

    def count_to_delete(self, *, unseen: bool) -> int:
        return self._marks.count_to_delete(unseen=unseen and not self._fresh)

    def clear(self) -> None:
        self._marks.clear()
        self._fresh, self._any_deleted = self._is_empty(), False
