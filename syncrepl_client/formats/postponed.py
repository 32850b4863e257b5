# SPDX-License-Identifier: BSD-3-Clause
"""Postponed renames: to below a parent that has not come yet.

Each has an *origin*, the key that the entry still has on the other server, and a *target*, the key
that it has in the store.  The entries below it are moved by it too.
"""

from collections.abc import Iterator
from typing import NamedTuple, Optional

from ..changes import Change
from ..entries import dn


class Rename(NamedTuple):
    """A rename, and later changes that have to follow it."""

    origin: bytes
    target: bytes
    changes: list[Change]


class Postponed:
    """Postponed renames by origin and by target; few, and only until the next commit.

    Attributes:
        size: how many changes are kept.
    """

    def __init__(self) -> None:
        """Initialize empty."""
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
        """Remove *rename*."""
        del self._origins[rename.origin], self._targets[rename.target]
        self.size -= len(rename.changes)

    def __contains__(self, rename: Rename) -> bool:
        return self._origins.get(rename.origin) is rename

    def __iter__(self) -> Iterator[Rename]:
        """Iterate over the current renames."""
        return iter(list(self._origins.values()))

    def followed(self, change: Change, old: bytes) -> Optional[Rename]:
        """Return the rename that moves the entry with the key *old* as *change* says, or None."""
        for origin in _upwards(old) if self._origins else ():
            rename = self._origins.get(origin)
            if rename is not None:
                target = rename.changes[0].new_dn or ""
                if change.new_dn == dn.rebase(change.old_dn or "", old[len(origin) :], target):
                    return rename
        return None

    def to_above(self, key: bytes) -> Optional[Rename]:
        """Return the rename to the key *key*, or else to the nearest one above it; None if none."""
        found = filter(None, map(self._targets.get, _upwards(key) if self._targets else ()))
        return next(found, None)

    def to_below(self, key: bytes) -> Iterator[Rename]:
        """Yield the renames whose targets are *key* or below it."""
        return (each for each in self if each.target.startswith(key))

    def from_above(self, key: bytes) -> Iterator[Rename]:
        """Yield the renames whose origins are *key* or above it."""
        return filter(None, map(self._origins.get, _upwards(key) if self._origins else ()))

    def from_below(self, key: bytes) -> Iterator[Rename]:
        """Yield the renames whose origins are *key* or below it."""
        return (each for each in self if each.origin.startswith(key))


def _upwards(key: bytes) -> Iterator[bytes]:
    while key:
        yield key
        key = dn.parent(key)
