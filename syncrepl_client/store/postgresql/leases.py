# SPDX-License-Identifier: BSD-3-Clause
"""The lease of a client on its store: how long its session may be silent before another takes over.

The server measures it, with ``idle_session_timeout`` and ``idle_in_transaction_session_timeout``:
no clocks are compared.
"""

import math
import os
import time
from typing import Any, Optional

KEEPS = 5
"""How many times in a lease something is executed, at least."""
LEAST = 2.0
"""The least lease, in seconds."""
_NAME = "syncrepl_client "
_MOST = 63
"""The number of bytes of an application name that the server keeps."""

LIMIT = """SELECT set_config('idle_session_timeout', ?, false),
set_config('idle_in_transaction_session_timeout', ?, false)"""

END = """
SELECT pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
WHERE pid = ? AND extract(epoch FROM backend_start)::text = ?
"""
AT_WORK = """
SELECT state = 'active' AND wait_event_type IS DISTINCT FROM 'Client'
FROM pg_catalog.pg_stat_activity WHERE pid = ? AND extract(epoch FROM backend_start)::text = ?
"""
TIMELINE = "SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer"


def parameters(lease: float) -> "dict[str, Any]":
    """Return parameters of libpq with which a dead connection is noticed within *lease* seconds."""
    seconds = max(1, int(lease / 4))
    return {
        "connect_timeout": max(2, math.ceil(lease)),
        "keepalives": 1,
        "keepalives_idle": seconds,
        "keepalives_interval": seconds,
        "keepalives_count": 2,
        "tcp_user_timeout": int(1000 * lease),
    }


def host_name() -> str:
    """Return the name of this machine."""
    return os.uname().nodename


def application_name() -> str:
    """Return what the server is told about this process."""
    ending = f"/{os.getpid()}"
    host = host_name().encode("ascii", "replace").decode()
    return f"{_NAME}{host[: _MOST - len(_NAME) - len(ending)]}{ending}"


def client_name(name: str) -> str:
    """Return the host and the process ID in an application name; all of it if it has none."""
    return name[len(_NAME) :] if name.startswith(_NAME) else name


def milliseconds(lease: Optional[float]) -> str:
    """Return *lease* as a setting; None is no limit."""
    return str(round(1000 * (lease or 0)))


class Stuck:
    """Recognizes a session that waits for its client in the middle of a statement.

    Neither timeout applies there: a client that is stopped while it sends a statement, or rows of a
    COPY, would hold the store for ever.
    """

    def __init__(self, lease: float) -> None:
        """Initialize for a lease."""
        self._lease = lease
        self._statement: Optional[tuple[Any, ...]] = None
        self._since = 0.0

    def is_final(self, statement: "Optional[tuple[Any, ...]]") -> bool:
        """Return True if a statement has waited for longer than the lease.

        Args:
            statement: identifies the one that waits now; None if none does.
        """
        now = time.monotonic()
        if statement != self._statement:
            self._statement, self._since = statement, now
        return statement is not None and now - self._since > self._lease
