# SPDX-License-Identifier: BSD-3-Clause
"""How a client is doing, in figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

from .changes import ChangeKind


@dataclass(frozen=True)
class Stats:
    """A client at one moment; what is counted is counted since it was made.

    Attributes:
        stage: ``"refresh"`` or ``"persist"``, of the search that goes on; ``"disconnected"``
            while there is none; ``"over"`` or ``"closed"``.
        entries: how many the store has, as last committed.
        changes: how many were committed, by kind.
        commits: how many there were.
        reconnects: how often a connection was made again.
        callback_errors: how often the callback raised.
        last_message: when the server last said something, in seconds of Unix time; None: it
            has not.
        lag: seconds from when the last committed change was made at the server, by its clock,
            to its commit here, by ours; None if nothing was committed, or the cookie does not
            tell (OpenLDAP's does).
    """

    stage: str
    entries: int
    changes: Mapping[ChangeKind, int]
    commits: int
    reconnects: int
    callback_errors: int
    last_message: Optional[float]
    lag: Optional[float]
