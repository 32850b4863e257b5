# SPDX-License-Identifier: BSD-3-Clause
"""nsUniqueId, from which 389-ds makes the UUIDs of content synchronization."""

from typing import Optional

from ..entries.attributes import Attributes

NAME = "nsUniqueId"


def of_entry(attrs: Attributes) -> Optional[bytes]:
    """Return the UUID of the entry with these attributes; None if they don't have it."""
    for name, values in attrs.items():
        if name.lower() == NAME.lower() and values:
            try:
                return bytes.fromhex(values[0].decode().replace("-", ""))
            except ValueError:
                return None
    return None


def equals(uuid: bytes) -> str:
    """Return the filter that matches the entry with that UUID."""
    digits = uuid.hex()
    value = "-".join(digits[start : start + 8] for start in range(0, len(digits), 8))
    return f"({NAME}={value})"
