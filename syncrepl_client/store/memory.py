# SPDX-License-Identifier: BSD-3-Clause
"""A store in memory: for tests, and for mirrors that start from scratch each time."""

from typing import Optional

from .mapping import MappingStore


class MemoryStore(MappingStore):
    """Entries and cookie in a dict.  They survive :meth:`close`, so that a test can go on."""

    def __init__(self) -> None:
        """Initialize an empty store."""
        super().__init__(dict)
        self._kept: dict[bytes, bytes] = {}

    def create(self) -> None:
        self._data = self._kept
        self._read_namesakes()

    def _flush(self, pending: dict[bytes, Optional[bytes]]) -> None:
        for name, value in pending.items():
            if value is not None:
                self._kept[name] = value
            else:
                self._kept.pop(name, None)

    def close(self) -> None:
        self.rollback()
        self._seen.clear()
