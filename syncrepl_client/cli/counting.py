# SPDX-License-Identifier: BSD-3-Clause
"""How much of a refresh is over: what the server named, of what the store had."""

from collections.abc import Iterable, Iterator

from ..store import Store
from ..view import Named, Record


class CountingNamed(Named):
    """A store's scratch pad of a refresh that counts how many entries the server named.

    Callbacks hear of what differs; this hears of what is still the same, too.

    Attributes:
        count: how many were named since the last refresh that was completed.
        expected: how many the store had after the last one.  A server that tells of changes
            alone names fewer.
    """

    def __init__(self, store: Store) -> None:
        """Count for *store*, in the place of its own."""
        self.count = 0
        complete = store.exists and store.origin.cookie is not None
        self.expected = len(store) if complete else 0
        self._store = store
        self._named = store.named
        store.named = self

    def present(self, uuids: Iterable[bytes]) -> None:
        listed = list(uuids)
        self.count += len(listed)
        self._named.present(listed)

    def placed(self, uuid: bytes) -> None:
        self.count += 1
        self._named.placed(uuid)

    def gone(self, uuids: Iterable[bytes]) -> None:
        listed = list(uuids)
        self.count += len(listed)
        self._named.gone(listed)

    def is_placed(self, uuid: bytes) -> bool:
        return self._named.is_placed(uuid)

    def unknown(self) -> bool:
        return self._named.unknown()

    def leavers(self, *, unnamed: bool) -> Iterator[Record]:
        return self._named.leavers(unnamed=unnamed)

    def count_leavers(self, *, unnamed: bool) -> int:
        return self._named.count_leavers(unnamed=unnamed)

    def clear(self) -> None:
        self._named.clear()
        self.count = 0
        self.expected = len(self._store)
