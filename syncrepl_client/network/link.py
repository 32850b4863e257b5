# SPDX-License-Identifier: BSD-3-Clause
"""The link to the servers: a connection that is lost and made again, one server after another.

The first one is made by the caller's own thread, which hears at once what is wrong.  Later
ones, and all of a client with an event loop, are made by a thread of their own, as connect, TLS
and bind may each take their time, and ``poll()`` has promised to return.
"""

import contextlib
import logging
import threading
import time
from typing import Callable, Optional

import ldap

from ..backoff import Backoff
from ..driving import wait_or_wake
from ..exceptions import UsageError
from ..waiting import Waker
from .connection import Connection
from .opener import Peer
from .server import ServerFacts

logger = logging.getLogger(__name__)

Connect = Callable[[int], Peer]
"""Makes a connection and looks who is there; the number says how many servers to pass over."""


class Opening:
    """A connection in the making, in a thread of its own."""

    def __init__(self, connect: Connect, turn: int, waker: Waker) -> None:
        """Begin."""
        self._lock = threading.Lock()
        self._abandoned = False
        self._peer: Optional[Peer] = None
        self._error: Optional[BaseException] = None
        self._waker = waker
        self.done = False
        threading.Thread(
            target=self._run, args=(connect, turn), name="syncrepl-connect", daemon=True
        ).start()

    def _run(self, connect: Connect, turn: int) -> None:
        peer, error = None, None
        try:
            peer = connect(turn)
        except BaseException as caught:  # noqa: BLE001 - raised again by result()
            error = caught
        with self._lock:
            self._peer, self._error, self.done = peer, error, True
            if not self._abandoned:
                self._waker.wake()
            elif peer is not None:
                peer[0].close()

    def result(self) -> Peer:
        """Return the connection, or raise what was in its way; only once it is done."""
        if self._peer is None:
            raise self._error or RuntimeError("the connection is still being made")
        return self._peer

    def abandon(self) -> None:
        """Close the connection as soon as there is one; nobody waits for it any more."""
        with self._lock:
            self._abandoned = True
            if self._peer is not None:
                self._peer[0].close()


class Link:
    """At most one connection.

    Attributes:
        connection: the one there is; None while it is lost.
        connected: how often there was a new one.
        facts: about the server that it leads, or led, to; none before there was one.
        turn: how many servers were passed over so far.
    """

    facts: ServerFacts

    def __init__(self, connect: Connect, waker: Waker, backoff: Optional[Backoff]) -> None:
        """Connect to nothing yet.

        Args:
            connect: makes a connection.
            waker: ends a wait.
            backoff: how long to wait before a lost connection is made again; None: never.
        """
        self._connect = connect
        self._waker = waker
        self._backoff = backoff
        self._opening: Optional[Opening] = None
        self._attempts = 0
        self.turn = self.connected = 0
        self._heard: Optional[float] = None
        self._resume = 0.0
        self.connection: Optional[Connection] = None

    def connect(self) -> None:
        """Connect, in the caller's own thread.

        Raises:
            ldap.LDAPError: no server can be reached, or it refuses.
        """
        self._met(self._connect(self.turn))

    def _met(self, peer: Peer) -> None:
        self.connection, self.facts = peer
        self.connected += 1

    @property
    def established(self) -> Connection:
        """The connection there is.

        Raises:
            UsageError: there is none.
        """
        if self.connection is None:
            raise UsageError("there is no connection")
        return self.connection

    @property
    def last_heard(self) -> Optional[float]:
        """When a server last said something, by ``time.monotonic()``; None: it has not."""
        return self._heard if self.connection is None else self.connection.last_heard

    @property
    def reconnects(self) -> bool:
        """Whether a lost connection is made again."""
        return self._backoff is not None

    def pause(self, seconds: float) -> None:
        """Have :meth:`ready` wait so long before the next attempt."""
        self._resume = time.monotonic() + seconds

    def lost(self) -> float:
        """Close the connection, and try the next server after a while.

        Returns:
            how many seconds that is.
        """
        self.close()
        self._attempts += 1
        self.turn += 1
        seconds = 0.0 if self._backoff is None else self._backoff.delay(self._attempts)
        self.pause(seconds)
        return seconds

    def forget_changelog(self) -> None:
        """Take the ends of the server's changelog for outdated: it goes on, and so do we."""
        self.facts = self.facts._replace(first_change=None, last_change=None)

    def succeeded(self) -> None:
        """Note that the connection has been of use: the next delay is the first one again."""
        self._attempts = 0

    async def ready(self, deadline: Optional[float], stopping: Callable[[], bool]) -> bool:
        """Wait for the end of a pause, then for a connection.

        Args:
            deadline: by ``time.monotonic()``; None waits for as long as it takes.
            stopping: says whether to give up; asked after each wake-up.

        Returns:
            False if the deadline or a stop came first.

        Raises:
            ldap.LDAPError: the connection could not be made; call :meth:`lost`, or give up.
        """
        while not stopping():
            now = time.monotonic()
            until = deadline
            if now < self._resume:
                until = self._resume if deadline is None else min(deadline, self._resume)
            elif self.connection is not None:
                return True
            elif self._opening is None:
                self._opening = Opening(self._connect, self.turn, self._waker)
            elif self._opening.done:
                opening, self._opening = self._opening, None
                self._met(opening.result())
                return True
            if deadline is not None and now >= deadline:
                return False
            await wait_or_wake(self._waker, until)
        return False

    def close(self) -> None:
        """Close what there is, and what is in the making."""
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.abandon()
        self._heard = self.last_heard
        connection, self.connection = self.connection, None
        if connection is not None:
            with contextlib.suppress(ldap.LDAPError):  # lost already
                connection.close()
