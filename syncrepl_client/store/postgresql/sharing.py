# SPDX-License-Identifier: BSD-3-Clause
"""Access to the log of changes of a store that a client has open, from other threads and processes.

It uses a connection of its own, and writes only to the tables of sinks.
"""

from contextlib import suppress
from functools import partial
from typing import Callable, Optional

from ...exceptions import StoreLost, UsageError
from ..location import PostgreSQL
from ..reading import SharedLog
from .database import Database
from .locks import lock, unlock
from .log import PostgreSQLLog
from .reading import CommittedEntries, require_store


class PostgreSQLSharedLog(SharedLog):
    """The log of changes of a store that may be open elsewhere.

    It shows committed changes.  One thread at a time may use it.
    """

    def __init__(self, place: PostgreSQL, patience: float, lease: Optional[float] = None) -> None:
        """Open the log of the store at *place*.

        Raises:
            StorePathError: there is no store.
            StoreInvalid, StoreVersionError: there is something else.
            StoreError: there is no connection.
            UsageError: the store has no log.
        """
        self._database = Database(place)
        tables = PostgreSQLLog(self._database)
        super().__init__(tables, CommittedEntries(self._database))
        try:
            self._database.open(lease)
            patience_ms = max(1, round(1000 * patience))
            self._database.execute(f"SET lock_timeout = {patience_ms}")
            require_store(self._database)
            if not tables.exist:
                raise UsageError(
                    f"the data store at {place} has no log of changes: run its client with "
                    "changelog=Changelog()"
                )
        except BaseException:
            self.close()
            raise

    def lock(self, name: str) -> Callable[[], None]:
        """Lock the sink *name*; return what unlocks it.

        Raises:
            StoreLocked: it is locked.
        """
        lock(self._database, f"sink {name}")
        return partial(self._unlock, name)

    def _unlock(self, name: str) -> None:
        with suppress(StoreLost):  # which has unlocked it
            unlock(self._database, f"sink {name}")

    def close(self) -> None:
        """Close it; a second call does nothing."""
        self._database.close()
