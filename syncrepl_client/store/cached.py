# SPDX-License-Identifier: BSD-3-Clause
"""A store in a database whose entries go through a cache."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Optional

from ..protocol.view import Record
from .base import Store
from .cache import EntryCache


class CachedStore(Store):
    """What the stores in databases share: single entries."""

    _cache: EntryCache

    @abstractmethod
    def _require_transaction(self) -> None:
        """Raise StoreError unless a transaction is open."""

    def get(self, uuid: bytes) -> Optional[Record]:
        return self._cache.get(uuid)

    def at(self, key: bytes) -> Optional[Record]:
        return self._cache.at(key)

    def prefetch(self, places: Mapping[bytes, bytes]) -> None:
        self._cache.prefetch(places)

    def put(self, record: Record) -> None:
        self._require_transaction()
        self._cache.put(record)

    def remove(self, uuid: bytes) -> None:
        self._require_transaction()
        self._cache.remove(uuid)

    def _is_empty(self) -> bool:
        self._write_out()
        return self._cache.is_empty()

    def _write_out(self) -> None:
        """Make what was put visible to SQL."""
        if self.in_callback:
            self._cache.show()
        else:
            self._cache.flush()
