# SPDX-License-Identifier: BSD-3-Clause
"""Advisory locks of the sessions of a store."""

import hashlib
import time
from typing import NamedTuple

from ...exceptions import StoreLocked
from .database import Database

_RETRY = 0.05
_HOLDERS = """
SELECT pg_stat_activity.pid, coalesce(extract(epoch FROM backend_start)::text, ''),
    coalesce(extract(epoch FROM backend_start)::double precision, 0),
    coalesce(application_name::text, ''),
    coalesce(state = 'active' AND wait_event_type = 'Client', false),
    coalesce(extract(epoch FROM query_start)::text, '')
FROM pg_catalog.pg_locks
JOIN pg_catalog.pg_stat_activity ON pg_stat_activity.pid = pg_locks.pid
WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_catalog.pg_database
        WHERE pg_database.datname = current_database())
    AND (classid::bigint << 32) | objid::bigint = ?
ORDER BY backend_start, pg_stat_activity.pid
"""


class Locker(NamedTuple):
    """A session that holds a lock.

    Attributes:
        pid: the process ID of its backend.
        started: when that was started, as text.
        since: the same, in seconds of Unix time.
        name: the application name.
        waits: whether it waits for its client in the middle of a statement ...
        statement: ... that began then.
    """

    pid: int
    started: str
    since: float
    name: str
    waits: bool
    statement: str


def try_lock(database: Database, what: str, *, shared: bool = False) -> bool:
    """Lock something of the store until the connection of *database* ends, if nobody has.

    Args:
        database: an open connection.
        what: the name of the lock.
        shared: whether others may hold it as well.
    """
    # To wait in the server would keep it from removing old versions of rows.
    function = "pg_try_advisory_lock_shared" if shared else "pg_try_advisory_lock"
    return bool(database.number(f"SELECT {function}(?)::integer", (_key(database, what),)))


def lock(database: Database, what: str, patience: float = 0.0) -> None:
    """Lock something of the store until the connection of *database* ends.

    Args:
        database: an open connection.
        what: the name of the lock.
        patience: how many seconds to try.

    Raises:
        StoreLocked: another connection has locked it.
    """
    deadline = time.monotonic() + patience
    while not try_lock(database, what):
        if time.monotonic() >= deadline or database.stopping():
            raise StoreLocked(
                f"the data store at {database.place} is in use by another client: stop that one, "
                "or use another schema"
            )
        database.pause(_RETRY)


def unlock(database: Database, what: str) -> None:
    """Undo :func:`lock`."""
    database.execute("SELECT pg_advisory_unlock(?)", (_key(database, what),))


def lockers(database: Database, what: str) -> "list[Locker]":
    """Return the sessions that have locked something of the store, the oldest first."""
    return database.fetch(_HOLDERS, (_key(database, what),), lambda row: Locker(*row))


def _key(database: Database, what: str) -> int:
    name = f"syncrepl_client {database.place.schema} {what}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
