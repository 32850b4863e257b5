# SPDX-License-Identifier: BSD-3-Clause
"""The poll loop: connect, search, receive, deliver, commit.

Written once, as coroutines: see :mod:`~syncrepl_client.waiting.coroutines`.
"""

import logging
import sys
import time
from typing import Any, Optional

import ldap

from ..exceptions import LaggingServer, ServerError, StoreLost, TooManyDeletes
from ..network.connection import Connection
from ..network.link import Link
from ..waiting.coroutines import BlockingCall, CallbackStopIteration, ask, maybe_await
from ..waiting.waker import Waker
from . import arguments, retry
from .delivery import Delivery
from .garbage import fewer_collections
from .search import Interrupted
from .searches import Searches
from .tenure import Tenure

logger = logging.getLogger(__name__)

CANCEL_SECONDS = 0.5
"""How long a stop waits for the server to answer a Cancel."""
HAND_OVER_ATTEMPTS = 3
"""After so many failed connections in a row, another client may have a shared store."""


class Poller:
    """Runs the poll loop of a client.

    Attributes:
        over: whether the search is over.
    """

    def __init__(
        self, waker: Waker, tenure: Tenure, link: Link, delivery: Delivery, searches: Searches
    ) -> None:
        """Initialize from the parts of the client; nothing is started."""
        self.over = False
        self._waker = waker
        self._tenure = tenure
        self._link = link
        self._delivery = delivery
        self._searches = searches
        self._welcomed: Optional[Connection] = None
        self._shared = delivery.store.lease is not None
        self._active = False

    async def start(self) -> None:
        """Connect, call ``bind_complete`` and start the search, unless the server lags.

        A client that stands by does nothing.
        """
        try:
            if self._tenure.held and await self._ready(None):
                self._searches.begin()
        except LaggingServer as error:
            await self._wait_for(error)
        except Exception:
            await self._deactivate()  # nobody will poll
            raise

    async def run(self) -> None:
        """Poll until the search is over."""
        while await self.poll(None):
            pass

    async def poll(self, deadline: Optional[float]) -> bool:
        """Process one batch, or wait for one until *deadline*; return False when it is over."""
        if self.over:
            self._revive()
        try:
            if not self.over and not self._waker.stopping:
                await self._poll_once(deadline)
        except Interrupted:
            self._abort()
        except Exception as error:
            self._abort()
            if not await self._rides_over(error):
                if self.over:
                    await self._hand_over()
                raise
        except BaseException:
            if not self._resting:
                self._abort()
            raise
        if self._waker.stopping and not self.over:
            self.over = True
            await ask(BlockingCall(self._searches.end, CANCEL_SECONDS))
            self._delivery.debug("stopped", "stopped")
        if self.over:
            await self._hand_over()
        return not self.over

    async def _hand_over(self) -> None:
        """Let another client have a shared store, as this one does not get on."""
        try:
            await self._deactivate()
        finally:
            self._tenure.release()

    @property
    def _resting(self) -> bool:
        """Whether the running search may go on after an exception that interrupts a wait."""
        search = self._searches.search
        return search is not None and search.resting

    async def iterate(self, at_once: int, timeout: Optional[float]) -> None:
        """Poll, and yield each change, until none has come for *timeout* seconds."""
        delivery = self._delivery
        delivery.at_once, delivery.iterating = at_once, True
        try:
            deadline, yielded = arguments.deadline(timeout), delivery.yielded
            while await self.poll(deadline):
                if delivery.yielded > yielded:
                    deadline, yielded = arguments.deadline(timeout), delivery.yielded
                elif deadline is not None and time.monotonic() >= deadline:
                    break
        finally:
            delivery.at_once, delivery.iterating = sys.maxsize, False

    # --- one batch: connect, search, receive, deliver, commit

    async def _poll_once(self, deadline: Optional[float]) -> None:
        if not (self._is_ready() or await self._ready(deadline)):
            return
        searches = self._searches
        search = searches.search or searches.begin()
        patience = searches.next_reconcile(search)
        with fewer_collections(search.sync.refreshing):
            redo = await search.batch(deadline, self._stopping, searches.gives_way, patience)
        if self._delivery.store.in_transaction:
            origin, complete = await searches.next_origin(search, redo)
            await self._delivery.commit(origin, complete=complete)
            self._link.succeeded()
        self.over = not searches.proceed(search, redo)

    def _stopping(self) -> bool:
        return self._waker.stopping

    def _revive(self) -> None:
        """Start again if a reconcile was asked for after the end."""
        if self._searches.gives_way():
            self._searches.search, self.over = None, False

    async def _welcome(self) -> None:
        """Call ``bind_complete`` for a new connection."""
        connection, facts = self._link.established, self._link.facts
        self._delivery.debug(
            "connected", f"connected to {connection.url.server}, dialect {facts.dialect.name}"
        )
        await maybe_await(self._delivery.callback.bind_complete(connection.ldap))
        await self._searches.meet(connection)
        self._welcomed = connection

    def _is_ready(self) -> bool:
        """Return True if there is nothing that :meth:`_ready` would do."""
        if self._shared or self._waker.stopping:  # a shared store has to be kept
            return False
        return self._tenure.held and self._link.is_ready and self._link.connection is self._welcomed

    async def _ready(self, deadline: Optional[float]) -> bool:
        """Wait for the store, and a connection; return False if the deadline or a stop is first."""
        while await self._tenure.ready(deadline, self._stopping):
            if await self._link.ready(self._tenure.bound(deadline), self._stopping):
                await self._activate()
                if self._link.connection is not self._welcomed:
                    await self._welcome()
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return False
        return False

    async def _activate(self) -> None:
        if self._shared and not self._active:
            self._delivery.create_store(self._link.established.url)
            await self._tell("activated")
            self._active = True

    async def _deactivate(self) -> None:
        if self._active:
            self._active = False
            await self._tell("deactivated")

    async def _tell(self, method: str, *arguments: Any) -> None:
        """Call a method of the callback, if it has that."""
        called = getattr(self._delivery.callback, method, None)
        if callable(called):
            await maybe_await(called(*arguments))

    # --- errors

    def _abort(self) -> None:
        """Roll back, and end the search; the next poll starts from the last commit."""
        try:
            self._delivery.roll_back()
        finally:
            self._searches.end(0)

    async def _rides_over(self, error: Exception) -> bool:
        """Return True if *error* is to be retried, and schedule the next attempt."""
        loss = self._tenure.loss(error)
        if loss is not None:
            return await self._rides_over_loss(loss)
        try:
            return await self._retries(error)
        except StoreLost as lost:
            self._abort()
            return await self._rides_over_loss(lost)

    async def _rides_over_loss(self, error: Exception) -> bool:
        """Return True if the store is to be taken again, and schedule the next attempt.

        Raises:
            CallbackOverdue: it would be lost again.
        """
        if self._waker.stopping:
            return True  # the stop ended a wait for the database
        overdue = self._delivery.overdue()
        if not self._link.reconnects:
            await self._deactivate()
            return False
        seconds = self._tenure.lose()
        logger.warning(
            "the store is lost; again in %.1f s: %s", seconds, error, extra={"event": "store-lost"}
        )
        self._searches.forget()
        self._link.close()
        await self._deactivate()
        await self._tell("disconnected", error)
        if overdue is not None:
            raise overdue from error
        return True

    async def _retries(self, error: Exception) -> bool:
        if self._delivery.is_callbacks(error):
            seconds = self._delivery.retry_delay()
            if seconds is None:
                return False
            reason = error.error if isinstance(error, CallbackStopIteration) else error
            logger.warning(
                "the callback failed; again in %.1f s: %r",
                seconds,
                reason,
                extra={"event": "callback-failed"},
            )
            self._link.pause(seconds)
            return True
        if isinstance(error, ldap.NO_SUCH_OBJECT) and self._searches.may_be_elsewhere:
            error = LaggingServer(f"it does not have the search base ({error})")
        if isinstance(error, LaggingServer):
            await self._wait_for(error)
            return True
        if isinstance(error, TooManyDeletes):
            self._delivery.note_refusal(error)
            return False
        if not isinstance(error, (ldap.LDAPError, ServerError)):
            return False
        if isinstance(error, ldap.LDAPError):
            retry.mark(error)
        if not (self._link.reconnects and retry.retriable(error)):
            self.over = True
            return False
        seconds = self._link.lost()
        logger.warning(
            "disconnected; again in %.1f s: %s", seconds, error, extra={"event": "disconnected"}
        )
        await self._tell("disconnected", error)
        if self._link.attempts >= HAND_OVER_ATTEMPTS:
            await self._hand_over()  # another one may reach a server
        return True

    async def _wait_for(self, error: LaggingServer) -> None:
        """Have the next server tried, after a while, and all of them asked again.

        Also without *reconnect*: whether a server lags or was restored only time can tell.
        """
        where = self._link.established.url.server
        seconds = self._searches.wait_for(str(error))
        self._link.lost()
        self._link.pause(seconds)
        logger.warning(
            "%s is not believed for now, another attempt in %.1f s: %s",
            where,
            seconds,
            error,
            extra={"event": "lagging"},
        )
        await self._tell("disconnected", error)
