# SPDX-License-Identifier: BSD-3-Clause
"""Whose a store is: the lock of a session, its lease, and the term that is the fence.

The lock belongs to a session of the server.  Who loses the session has lost the lock, and takes
it again over another one, like everybody else.
"""

import logging
import os
import time
from contextlib import suppress
from typing import Optional

from ...exceptions import StoreError, StoreLocked, StoreLost
from ..holder import Holder
from . import leases, locks
from .database import Database
from .leases import Stuck

logger = logging.getLogger(__name__)

STORE, CLIENTS = "store", "clients"
"""The lock of the client that has the store, and the one that all its clients share."""
NOW = "extract(epoch FROM clock_timestamp())"
_PATIENCE = 1.0
"""How many seconds a client that was killed may need to leave the server."""
_NEAR = 0.9
"""The part of a lease after which its end is taken to be the reason of a loss."""


class Tenancy:
    """The right of a connection to write to the store.

    Attributes:
        lease: after how many seconds of silence another client may take the store; None: it is not
            shared.
        held: whether this client has it.
        holder: who has it, if this client does.
    """

    def __init__(self, database: Database, lease: Optional[float]) -> None:
        """Initialize without it."""
        self.lease = lease
        self.held = False
        self.holder: Optional[Holder] = None
        self._database = database
        self._origin = f"{database.qualifier}syncrepl_origin"
        self._mine: Optional[tuple[int, str]] = None
        self._patience = _PATIENCE if lease is None else 0.0
        self._stuck = None if lease is None else Stuck(lease)

    @property
    def term(self) -> int:
        """The number of this tenancy; 0 if it was never held."""
        return 0 if self.holder is None else self.holder.term

    @property
    def next_keep(self) -> Optional[float]:
        """When :meth:`keep` is due, by ``time.monotonic()``; None: never."""
        if self.lease is None:
            return None
        return self._database.used + self.lease / leases.KEEPS

    @property
    def overdue(self) -> Optional[float]:
        """For how many seconds nothing was executed, if that ended the transaction; or None."""
        lapse = self._database.lapse
        if lapse is None or self.lease is None or not lapse.in_transaction:
            return None
        return lapse.seconds if lapse.seconds >= _NEAR * self.lease else None

    def connect(self) -> None:
        """Connect if there is no usable connection."""
        if self._database.is_usable:
            return
        self.held = False
        self._database.open(self.lease, writes=True)
        if self.lease is not None:
            locks.try_lock(self._database, CLIENTS, shared=True)
        # Where only the connection broke, the server may not know for hours.  A pooler may have
        # given the session to somebody else by now.
        pooled = self._database.place.session_pooling
        if self._mine is not None and not pooled and self._database.end_session(*self._mine):
            self._patience = _PATIENCE
        self._mine = self._database.connection.identity

    def take(self) -> bool:
        """Lock the store; return False if another client has it, and it is shared.

        Raises:
            StoreLocked: another client has it, and it is not shared.
        """
        patience, self._patience = self._patience, _PATIENCE if self.lease is None else 0.0
        if self._stuck is None:
            locks.lock(self._database, STORE, patience)
            self.held = True
            return True
        self.held = self._try(patience) or (self._end_stuck(self._stuck) and self._try(_PATIENCE))
        if self.held:
            self._database.limit(self.lease)
        return self.held

    def _try(self, patience: float) -> bool:
        try:
            locks.lock(self._database, STORE, patience)
        except StoreLocked:
            return False
        return True

    def require(self) -> None:
        """Connect and lock, if that was not done.

        Raises:
            StoreLocked: another client has the store.
        """
        self.connect()
        if not self.held and not self.take():
            raise StoreLocked(f"the data store at {self._database.place} is in use")

    def _end_stuck(self, stuck: Stuck) -> bool:
        """End the session of a holder that waits for its client for longer than the lease.

        Returns:
            whether there was one.
        """
        holder = next(iter(locks.lockers(self._database, STORE)), None)
        waits = None if holder is None or not holder.waits else (holder.pid, holder.statement)
        if not stuck.is_final(waits) or holder is None:
            return False
        logger.warning(
            "the session of %s is ended: it has waited for the rest of a statement for longer than "
            "the lease of %g s",
            leases.client_name(holder.name),
            self.lease,
            extra={"event": "holder-ended"},
        )
        return self._database.end_session(holder.pid, holder.started)

    def begin(self) -> None:
        """Begin a term: whoever had the store before can't commit any more."""
        host, pid, timeline = leases.host_name(), os.getpid(), self._timeline()
        row = self._database.row(
            f"UPDATE {self._origin} SET term = term + 1, host = ?, pid = ?, since = {NOW}, "
            "timeline = ? RETURNING since, term",
            (host, pid, timeline),
        )
        since, term = row or (0.0, 0)
        self.holder = Holder(host, pid, since, term, timeline)

    def _timeline(self) -> int:
        """Return the timeline of the database; 0 if the service that runs it does not tell."""
        try:
            return self._database.number(leases.TIMELINE)
        except StoreLost:
            raise
        except StoreError:
            return 0

    def keep(self) -> None:
        """Execute something if nothing was executed lately."""
        due = self.next_keep
        if due is not None and self._database.is_usable and time.monotonic() >= due:
            self._database.execute("SELECT 1")

    def release(self) -> None:
        """Let another client have the store at once; the connection stays, without a limit."""
        held, self.held, self.holder = self.held, False, None
        if not held or not self._database.is_usable:
            return
        with suppress(StoreError):  # the server does so anyway, a moment later
            self._database.rollback()
            locks.unlock(self._database, STORE)
            self._database.limit(None)

    def drop(self) -> None:
        """Close the connection."""
        self.held, self.holder = False, None
        self._database.close()
