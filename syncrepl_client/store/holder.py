# SPDX-License-Identifier: BSD-3-Clause
"""Who has a store that several clients share."""

from typing import NamedTuple


class Holder(NamedTuple):
    """The client that has a shared store, or had it last.

    Attributes:
        host: the name of its machine.
        pid: its process ID there.
        since: when it took the store, in seconds of Unix time, by the database's clock.
        term: how often the store was taken by then.
        timeline: of the database at that time: another one after each promotion of a standby; 0 if
            it is not known.
    """

    host: str
    pid: int
    since: float
    term: int
    timeline: int
