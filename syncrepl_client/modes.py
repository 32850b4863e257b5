# SPDX-License-Identifier: BSD-3-Clause
"""The two modes of a content synchronization search."""

from enum import Enum


class SyncreplMode(Enum):
    """What follows the refresh stage; the values are those of RFC 4533, 2.2."""

    REFRESH_ONLY = 1
    """Report the changes since the last run, then end."""

    REFRESH_AND_PERSIST = 3
    """Report the changes since the last run, then each change as it happens."""
