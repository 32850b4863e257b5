# SPDX-License-Identifier: BSD-3-Clause
"""What a client does, turn by turn: connect, search, receive, deliver, commit.

Written once, as coroutines that ask their driver to wait: see :mod:`.driving`.
"""

import logging
import sys
import time
from typing import Optional

import ldap

from . import arguments, retry
from .delivery import Delivery
from .driving import Aside, Carried, ask, finish
from .exceptions import ServerError, TooManyDeletes
from .network.connection import Connection
from .network.link import Link
from .search import Interrupted
from .succession import Succession
from .waiting import Waker

logger = logging.getLogger(__name__)

CANCEL_SECONDS = 0.5
"""So long a stop waits for the server to answer a Cancel."""


class Turns:
    """One turn after another.

    Attributes:
        over: whether there are no more to come.
    """

    def __init__(self, waker: Waker, link: Link, delivery: Delivery, searches: Succession) -> None:
        """Begin with what there is."""
        self.over = False
        self._waker = waker
        self._link = link
        self._delivery = delivery
        self._searches = searches
        self._welcomed: Optional[Connection] = None

    async def begin(self) -> None:
        """Connect, call ``bind_complete`` and start the search."""
        if await self._ready(None):
            self._searches.begin()

    async def run(self) -> None:
        """Poll until the search is over."""
        while await self.poll(None):
            pass

    async def poll(self, deadline: Optional[float]) -> bool:
        """Take a turn, or wait for one until *deadline*; say whether there are more to come."""
        self._revive()
        try:
            if not self.over and not self._waker.stopping:
                await self._turn(deadline)
        except Interrupted:
            self._abort()
        except Exception as error:
            self._abort()
            if not await self._rides_over(error):
                raise
        except BaseException:
            if not self._resting:
                self._abort()
            raise
        if self._waker.stopping and not self.over:
            self.over = True
            await ask(Aside(self._searches.end, CANCEL_SECONDS))
            self._delivery.debug("stopped", "stopped")
        return not self.over

    @property
    def _resting(self) -> bool:
        """Whether whatever ends a wait now does no harm to the search that goes on."""
        search = self._searches.search
        return search is not None and search.resting

    async def hand_over(self, at_once: int, timeout: Optional[float]) -> None:
        """Poll, and hand each change over, until none has come for *timeout* seconds."""
        delivery = self._delivery
        delivery.at_once, delivery.hands_over = at_once, True
        try:
            deadline, handed = arguments.deadline(timeout), delivery.handed
            while await self.poll(deadline):
                if delivery.handed > handed:
                    deadline, handed = arguments.deadline(timeout), delivery.handed
                elif deadline is not None and time.monotonic() >= deadline:
                    break
        finally:
            delivery.at_once, delivery.hands_over = sys.maxsize, False

    # --- one turn: connect, search, receive, deliver, commit

    async def _turn(self, deadline: Optional[float]) -> None:
        if not await self._ready(deadline):
            return
        searches = self._searches
        search = searches.search or searches.begin()
        patience = searches.next_reconcile(search)
        redo = await search.batch(deadline, self._stopping, searches.gives_way, patience)
        if self._delivery.store.in_transaction:
            await self._delivery.commit(searches.next_origin(search, redo))
            self._link.succeeded()
        self.over = not searches.proceed(search, redo)

    def _stopping(self) -> bool:
        return self._waker.stopping

    def _revive(self) -> None:
        """Begin anew where a search came to its end, and a reconcile was asked for."""
        if self.over and self._searches.gives_way():
            self._searches.search, self.over = None, False

    async def _welcome(self) -> None:
        """Do what comes between a bind and the search."""
        connection, facts = self._link.established, self._link.facts
        self._delivery.debug(
            "connected", f"connected to {connection.url.server}, dialect {facts.dialect.name}"
        )
        await finish(self._delivery.callback.bind_complete(connection.ldap))
        self._welcomed = connection

    async def _ready(self, deadline: Optional[float]) -> bool:
        if not await self._link.ready(deadline, self._stopping):
            return False
        if self._link.connection is not self._welcomed:
            await self._welcome()
        return True

    # --- what goes wrong

    def _abort(self) -> None:
        """Undo what is not committed; the next turn begins anew from what is."""
        try:
            self._delivery.roll_back()
        finally:
            self._searches.end(0)

    async def _rides_over(self, error: Exception) -> bool:
        """Say whether a later turn may mend *error*, and see to it that there is one."""
        if self._delivery.is_callbacks(error):
            seconds = self._delivery.retry_delay()
            if seconds is None:
                return False
            reason = error.error if isinstance(error, Carried) else error
            logger.warning(
                "the callback failed; again in %.1f s: %r",
                seconds,
                reason,
                extra={"event": "callback-failed"},
            )
            self._link.pause(seconds)
            return True
        if isinstance(error, TooManyDeletes) or not isinstance(
            error, (ldap.LDAPError, ServerError)
        ):
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
        if callable(getattr(self._delivery.callback, "disconnected", None)):
            await finish(self._delivery.callback.disconnected(error))
        return True
