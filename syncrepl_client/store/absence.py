# SPDX-License-Identifier: BSD-3-Clause
"""What a table that was empty certainly does not have: a Bloom filter with one hash function.

The first refresh looks for each of its entries in the store, nearly always in vain.
"""

from collections.abc import Collection

_BYTES = 1 << 21
"""The size of the filter.  With 1,000,000 entries, one value in nine is looked for in vain."""


class Absence:
    """The values that were not added, most of them."""

    def __init__(self) -> None:
        """Initialize from an empty table."""
        self._bits = bytearray(_BYTES)

    def add(self, *values: bytes) -> None:
        """Note that the table may have *values* from now on, also where they are rolled back."""
        for value in values:
            number = hash(value)
            self._bits[(number >> 3) % _BYTES] |= 1 << (number & 7)

    def possible(self, values: Collection[bytes]) -> list[bytes]:
        """Return those of *values* that the table may have."""
        bits = self._bits
        return [
            value
            for value in values
            if bits[((number := hash(value)) >> 3) % _BYTES] >> (number & 7) & 1
        ]
