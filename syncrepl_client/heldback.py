# SPDX-License-Identifier: BSD-3-Clause
"""Where it is remembered what :mod:`.arrangement` holds back."""

from bisect import bisect_left, bisect_right
from typing import Optional


class HeldInMemory:
    """Keys in memory, for a store that is no database."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._keys: list[bytes] = []
        self._committed: list[bytes] = []
        self._changed = False

    def add(self, key: bytes) -> None:
        """Hold back the entry with that key."""
        place = bisect_left(self._keys, key)
        if self._keys[place : place + 1] != [key]:
            self._keys.insert(place, key)
            self._changed = True

    def remove(self, key: bytes) -> None:
        """Hold it back no more."""
        del self._keys[bisect_left(self._keys, key)]
        self._changed = True

    def __contains__(self, key: bytes) -> bool:
        place = bisect_left(self._keys, key)
        return self._keys[place : place + 1] == [key]

    def following(self, key: bytes, below: bytes) -> Optional[bytes]:
        """Return the next key after *key* that begins with *below*; None if none does."""
        place = bisect_right(self._keys, key)
        found = self._keys[place : place + 1]
        return found[0] if found and found[0].startswith(below) else None

    def commit(self) -> None:
        """Hear that the store is committed."""
        if self._changed:
            self._committed = list(self._keys)
            self._changed = False

    def rollback(self) -> None:
        """Hear that the store was rolled back."""
        self._keys = list(self._committed)
        self._changed = False
