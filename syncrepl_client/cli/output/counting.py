# SPDX-License-Identifier: BSD-3-Clause
"""Counts how many entries the server has named in a refresh."""

from collections.abc import Iterable, Iterator

from ...protocol.view import Record, SeenUUIDs
from ...store import Store


class CountingSeenUUIDs(SeenUUIDs):
    """The marks of a refresh, which also counts how many entries the server named.

    Callbacks are called for differences only; this counts unchanged entries too.

    Attributes:
        count: how many entries were named since the last complete refresh.
        expected: how many the store had after that.  A server that sends only changes names fewer.
    """

    def __init__(self, store: Store) -> None:
        """Wrap the marks of *store*, and replace them."""
        self.count = 0
        complete = store.exists and store.origin.cookie is not None
        self.expected = len(store) if complete else 0
        self._store = store
        self._seen = store.seen
        store.seen = self

    def mark_present(self, uuids: Iterable[bytes]) -> None:
        listed = list(uuids)
        self.count += len(listed)
        self._seen.mark_present(listed)

    def mark_placed(self, uuid: bytes) -> None:
        self.count += 1
        self._seen.mark_placed(uuid)

    def mark_deleted(self, uuids: Iterable[bytes]) -> None:
        listed = list(uuids)
        self.count += len(listed)
        self._seen.mark_deleted(listed)

    def is_placed(self, uuid: bytes) -> bool:
        return self._seen.is_placed(uuid)

    def is_deleted(self, uuid: bytes) -> bool:
        return self._seen.is_deleted(uuid)

    def any_unknown(self) -> bool:
        return self._seen.any_unknown()

    def to_delete(self, *, unseen: bool) -> Iterator[Record]:
        return self._seen.to_delete(unseen=unseen)

    def count_to_delete(self, *, unseen: bool) -> int:
        return self._seen.count_to_delete(unseen=unseen)

    def clear(self) -> None:
        self._seen.clear()
        self.count = 0
        self.expected = len(self._store)
