# SPDX-License-Identifier: BSD-3-Clause
"""Reconnecting: a connection that is re-established when lost, on one server after another.

The first connection is made in the caller's own thread, which gets its errors at once.  Later ones,
and all of a client with an event loop, are made in a separate thread, as connect, TLS and bind may
take long, and ``poll()`` has to return in time.
"""

import contextlib
import logging
import time
from functools import partial
from typing import Callable, Optional

import ldap

from ..exceptions import UsageError
from ..protocol import knowledge
from ..protocol.knowledge import Knowledge
from ..waiting.background import Background
from ..waiting.backoff import Backoff
from ..waiting.coroutines import wait_or_wake
from ..waiting.waker import Waker, earliest
from .connection import Connection
from .connector import Peer
from .server import ServerFacts

logger = logging.getLogger(__name__)

Connect = Callable[[int], Peer]
"""Makes a connection and probes the server; the argument is the number of servers to skip."""


class Link:
    """At most one connection to one of the servers.

    Attributes:
        connection: the current one; None while it is lost.
        connected: how many connections were made.
        facts: about the server of the current, or last, connection.
        told: the last cookie of an OpenLDAP server, which says what it knows by now.
        turn: how many servers were skipped so far.
        attempts: how many connections were lost, or not made, since one has worked.
    """

    facts: ServerFacts
    told: Optional[bytes]
    _knows: Knowledge

    def __init__(self, connect: Connect, waker: Waker, backoff: Optional[Backoff]) -> None:
        """Initialize without a connection.

        Args:
            connect: makes a connection.
            waker: wakes what waits.
            backoff: the delays before a lost connection is re-established; None: it is not.
        """
        self._connect = connect
        self._waker = waker
        self._backoff = backoff
        self._connecting: Optional[Background[Peer]] = None
        self.attempts = 0
        self.turn = self.connected = 0
        self._heard: Optional[float] = None
        self._resume = 0.0
        self.connection: Optional[Connection] = None

    def connect(self) -> None:
        """Connect in the caller's own thread.

        Raises:
            ldap.LDAPError: no server can be reached, or accepts the client.
        """
        self._met(self._connect(self.turn))

    def _begin(self) -> "Background[Peer]":
        """Connect in a thread."""
        return Background(
            partial(self._connect, self.turn),
            lambda peer: peer[0].close(),
            self._waker,
            name="syncrepl-connect",
        )

    def _met(self, peer: Peer) -> None:
        self.connection, self.facts = peer
        self._knows, self.told = self.facts.knows, None
        self.connected += 1

    @property
    def established(self) -> Connection:
        """The current connection.

        Raises:
            UsageError: there is none.
        """
        if self.connection is None:
            raise UsageError("there is no connection")
        return self.connection

    @property
    def knows(self) -> Knowledge:
        """The changes that the server has, as what it has told so far shows."""
        return self._knows if self.told is None else knowledge.of_cookie(self.told)

    @knows.setter
    def knows(self, knows: Knowledge) -> None:
        self._knows, self.told = knows, None

    @property
    def last_heard(self) -> Optional[float]:
        """When the last message arrived, by ``time.monotonic()``; None: none has."""
        return self._heard if self.connection is None else self.connection.last_heard

    @property
    def reconnects(self) -> bool:
        """Whether a lost connection is re-established."""
        return self._backoff is not None

    def pause(self, seconds: float) -> None:
        """Make :meth:`ready` wait so many seconds before the next attempt."""
        self._resume = time.monotonic() + seconds

    def lost(self) -> float:
        """Close the connection, and schedule an attempt to connect to the next server.

        Returns:
            the delay in seconds.
        """
        self.close()
        self.attempts += 1
        self.turn += 1
        seconds = 0.0 if self._backoff is None else self._backoff.delay(self.attempts)
        self.pause(seconds)
        return seconds

    def forget_changelog(self) -> None:
        """Discard the range of the server's changelog, which is outdated by now."""
        self.facts = self.facts._replace(first_change=None, last_change=None)

    def succeeded(self) -> None:
        """Reset the delays: the connection has worked."""
        self.attempts = 0

    @property
    def is_ready(self) -> bool:
        """Whether :meth:`ready` has nothing to wait for."""
        return self.connection is not None and not self._resume

    async def ready(self, deadline: Optional[float], stopping: Callable[[], bool]) -> bool:
        """Wait for the end of a pause, then for a connection.

        Args:
            deadline: by ``time.monotonic()``; None waits for as long as it takes.
            stopping: returns True if a stop was asked for; called after each wake-up.

        Returns:
            False if the deadline or a stop came first.

        Raises:
            ldap.LDAPError: the connection could not be made; call :meth:`lost`, or give up.
        """
        while not stopping():
            now = time.monotonic()
            until = deadline
            if now < self._resume:
                until = earliest(deadline, self._resume)
            elif self.connection is not None:
                self._resume = 0.0
                return True
            elif self._connecting is None:
                self._connecting = self._begin()
            elif self._connecting.done:
                connecting, self._connecting = self._connecting, None
                self._met(connecting.result())
                return True
            if deadline is not None and now >= deadline:
                return False
            await wait_or_wake(self._waker, until)
        return False

    def close(self) -> None:
        """Close the connection, or abandon the one that is being made."""
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.abandon()
        self._heard = self.last_heard
        connection, self.connection = self.connection, None
        if connection is not None:
            with contextlib.suppress(ldap.LDAPError):  # lost already
                connection.close()
