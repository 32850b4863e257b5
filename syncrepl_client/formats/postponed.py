# SPDX-License-Identifier: BSD-3-Clause
"""Renames to below a parent that has not come yet: told of, and still to be done.

Each has an *origin*, the key of where the entry still is on the other server, and a *target*,
of where the store has it.  What is below it is on the way with it.
"""

from collections.abc import Iterator
from typing import NamedTuple, Optional

from .. import dn
from ..changes import Change


class Rename(NamedTuple):
    """A rename, and what was told of since that has to come after it."""

    origin: bytes
    target: bytes
    changes: list[Change]


class Postponed:
    """Renames by origin and by target; few, and only until the next commit.

    Attributes:
        size: how many changes are kept.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.size = 0
        self._origins: dict[bytes, Rename] = {}
        self._targets: dict[bytes, Rename] = {}

    def add(self, rename: Rename) -> None:
        """Postpone *rename*."""
        self._origins[rename.origin] = self._targets[rename.target] = rename
        self.size += len(rename.changes)

    def extend(self, rename: Rename, change: Change) -> None:
        """Postpone *change* with *rename*."""
        rename.changes.append(change)
        self.size += 1

    def remove(self, rename: Rename) -> None:
        """Postpone it no longer."""
        del self._origins[rename.origin], self._targets[rename.target]
        self.size -= len(rename.changes)

    def __contains__(self, rename: Rename) -> bool:
        return self._origins.get(rename.origin) is rename

    def __iter__(self) -> Iterator[Rename]:
        """Iterate over those that there are now."""
        return iter(list(self._origins.values()))

    def followed(self, old: bytes, new: bytes) -> Optional[Rename]:
        """Return the rename that takes an entry from *old* to *new*."""
        for origin in _upwards(old) if self._origins else ():
            rename = self._origins.get(origin)
            if rename is not None and new == rename.target + old[len(origin) :]:
                return rename
        return None

    def to_above(self, key: bytes) -> Optional[Rename]:
        """Return the rename with the store's entry at *key*, or the nearest one to above it."""
        found = filter(None, map(self._targets.get, _upwards(key) if self._targets else ()))
        return next(found, None)

    def to_below(self, key: bytes) -> Iterator[Rename]:
        """Yield the renames to what is below *key*, or is *key*."""
        return (each for each in self if each.target.startswith(key))

    def from_above(self, key: bytes) -> Iterator[Rename]:
        """Yield the renames of the other server's entry at *key*, and of those above it."""
        return filter(None, map(self._origins.get, _upwards(key) if self._origins else ()))

    def from_below(self, key: bytes) -> Iterator[Rename]:
        """Yield the renames of the other server's entry at *key*, and of those below it."""
        return (each for each in self if each.origin.startswith(key))


def _upwards(key: bytes) -> Iterator[bytes]:
    while key:
        yield key
        key = dn.parent(key)
