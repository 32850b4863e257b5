# SPDX-License-Identifier: BSD-3-Clause
"""One content synchronization search: its messages, batch by batch, into the delivery."""

import contextlib
import time
from collections.abc import Generator
from typing import Callable, Optional

import ldap

from .connection import Connection
from .delivery import Delivery
from .messages import Message
from .modes import SyncreplMode
from .placement import Step
from .protocol import Fact, RefreshDone, Request, StartOver, Synchronization

BATCH_MESSAGES = 1000
"""So many messages share a commit, at most."""
REFRESH_SECONDS = 1.0
"""So long a transaction of the refresh stage stays open, at most."""
PERSIST_SECONDS = 0.25
"""So long changes of the persist stage wait for their commit, at most."""
STEPS_BEFORE_STOP = 10
"""A message with more consequences than that is given up for a stop, and rolled back."""


class Stopped(BaseException):
    """A stop was asked for in the middle of a message."""


class Search:
    """A search that goes on.

    Attributes:
        request: what was asked for.
        mode: refreshOnly or refreshAndPersist.
        ended: whether the server has ended it.
        refreshed: whether the last batch came to the end of the refresh stage.
        reconciles: whether it was sent without a cookie because a reconcile was due.
    """

    def __init__(
        self, connection: Connection, delivery: Delivery, mode: SyncreplMode, request: Request
    ) -> None:
        """Send it.

        Raises:
            ConfigurationError: the filter is none.
            ldap.LDAPError: it could not be sent.
        """
        self.request = request
        self.mode = mode
        self.ended = self.refreshed = self.reconciles = False
        self._connection = connection
        self._delivery = delivery
        connection.search(mode, request.cookie)
        delivery.create_store(str(connection.url))
        store = delivery.store
        self.sync = Synchronization(request, store, store.named)

    @property
    def reconciled(self) -> bool:
        """Whether the last batch ended a refresh in which the server named every entry."""
        return self.refreshed and self.request.cookie is None

    def batch(
        self, deadline: Optional[float], stopping: Callable[[], bool], patience: Optional[float]
    ) -> Optional[StartOver]:
        """Deliver what arrives until it is time to commit; return how it ends if it must.

        A transaction is left open where anything arrived.

        Args:
            deadline: how long to wait for the first message, by ``time.monotonic()``.
            stopping: says whether to return at once.
            patience: how long to wait for anything at all, whatever the deadline.

        Raises:
            ProtocolError: the server sent what it must not.
            ldap.LDAPError: the connection was lost, or the server ended the search with an
                error.
            Stopped: in the middle of a message.
        """
        count, ends = 0, None
        self.refreshed = False
        while not stopping() and not self.ended and count < BATCH_MESSAGES:
            message = self._connection.receive()
            if message is None:
                if ends is not None and not self.sync.refreshing:
                    return self._when_idle()
                if not self._wait(deadline, ends, patience):
                    return None
                continue
            refreshing = self.sync.refreshing
            if ends is None:
                self._delivery.store.begin()
                ends = time.monotonic() + (REFRESH_SECONDS if refreshing else PERSIST_SECONDS)
            count += 1
            start_over = self._apply(message, stopping)
            if start_over is not None or refreshing != self.sync.refreshing:
                return start_over
            if count % 16 == 0 and time.monotonic() >= ends:
                return None
        return None

    def _wait(self, *times: Optional[float]) -> bool:
        """Wait for the server, until any of the *times*; return False if one has come already."""
        until = min((each for each in times if each is not None), default=None)
        if until is not None and time.monotonic() >= until:
            return False
        self._connection.wait(until)
        return True

    def _apply(self, message: Message, stopping: Callable[[], bool]) -> Optional[StartOver]:
        with contextlib.closing(self._facts(message)) as facts:
            for number, fact in enumerate(facts):
                if isinstance(fact, Step):
                    if number >= STEPS_BEFORE_STOP and stopping():
                        raise Stopped
                    self._delivery.step(fact)
                elif isinstance(fact, RefreshDone):
                    self.refreshed = True
                    self._delivery.refresh_done()
                elif isinstance(fact, StartOver):
                    return fact
                else:
                    self.ended = True
        return None

    def _facts(self, message: Message) -> Generator[Fact, None, None]:
        yield from self.sync.receive(message)

    def _when_idle(self) -> Optional[StartOver]:
        for fact in self.sync.idle():
            if isinstance(fact, StartOver):
                return fact
        return None

    def end(self, seconds: float, *, cancel: bool) -> None:
        """End it, if the server has not; its connection may be gone.

        Args:
            seconds: how long a server that knows Cancel may take to answer it; 0 abandons.
            cancel: the server knows Cancel.
        """
        with contextlib.suppress(ldap.LDAPError):
            self._connection.end_search(seconds, cancel=seconds > 0 and cancel)
