# SPDX-License-Identifier: BSD-3-Clause
"""What a table that was empty certainly does not have: a Bloom filter with one hash function.

The first refresh looks for each of its entries in the store, nearly always in vain.
"""

from collections.abc import Collection

_BYTES = 1 << 22
"""The size of the filter; a byte for a bit takes less time.  With 300,000 entries, one value in
eight is looked for in vain."""


class Absence:
    """The values that were not added, most of them."""

    def __init__(self) -> None:
        """Initialize from an empty table."""
        self._taken = bytearray(_BYTES)

    def add(self, *values: bytes) -> None:
        """Note that the table may have *values* from now on, also where they are rolled back."""
        for value in values:
            self._taken[hash(value) % _BYTES] = 1

    def possible(self, values: Collection[bytes]) -> list[bytes]:
        """Return those of *values* that the table may have."""
        taken = self._taken
        return [value for value in values if taken[hash(value) % _BYTES]]

    def claim(self, values: Collection[bytes]) -> list[bytes]:
        """Return :meth:`possible` values; the table may have all of them from now on."""
        taken, possible = self._taken, []
        for value in values:
            slot = hash(value) % _BYTES
            if taken[slot]:
                possible.append(value)
            else:
                taken[slot] = 1
        return possible
