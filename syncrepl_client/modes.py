# SPDX-License-Identifier: BSD-3-Clause
"""The two modes of a content synchronization search."""

from enum import Enum


class SyncreplMode(Enum):
    """What to do once the refresh stage is over; the values are those of RFC 4533, 2.2."""

    REFRESH_ONLY = 1
    """Report what happened since the last run, then end."""

    REFRESH_AND_PERSIST = 3
    """Report what happened since the last run, then each change as it happens."""
