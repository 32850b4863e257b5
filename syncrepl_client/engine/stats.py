# SPDX-License-Identifier: BSD-3-Clause
"""Statistics of a client."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

from ..changes import ChangeKind


@dataclass(frozen=True)
class Stats:
    """Statistics of a client at one moment; counters start with the client.

    Attributes:
        stage: ``"refresh"`` or ``"persist"``, of the running search; ``"standby"`` while another
            client has the store; ``"disconnected"`` while there is neither; ``"over"`` or
            ``"closed"``.
        entries: the number of entries in the store, as last committed.
        changes: the number of committed changes, by kind.
        commits: the number of commits.
        reconnects: how often the connection was re-established.
        callback_errors: how often the callback raised an exception.
        last_message: when the last message arrived from the server, in seconds of Unix time; None:
            none has.
        lag: seconds from when the last committed change was made, by the server's clock, to its
            commit, by the local clock; None if nothing was committed, or the cookie does not tell
            (OpenLDAP's does).
        term: how often the store has been taken, of a client that has a PostgreSQL store; None for
            others.
        timeline: of the database at that time.  Only both together are never repeated, if a standby
            of an asynchronous replication was promoted.
        active: whether the client has the store; False while it stands by, or has lost it.
    """

    stage: str
    entries: int
    changes: Mapping[ChangeKind, int]
    commits: int
    reconnects: int
    callback_errors: int
    last_message: Optional[float]
    lag: Optional[float]
    term: Optional[int] = None
    timeline: Optional[int] = None
    active: bool = True


CONNECTING = Stats("connecting", 0, dict.fromkeys(ChangeKind, 0), 0, 0, 0, None, None, active=False)
"""The statistics before there is a client."""
