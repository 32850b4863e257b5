# SPDX-License-Identifier: BSD-3-Clause
"""Whether this client has its store: it holds it, waits for another client's, or has lost it.

A store in files is held from the beginning to the end.  One that several clients share is held by
one of them.  Its connection may be lost; then it is held again over a new one, or by another
client.
"""

import logging
import time
from enum import Enum
from typing import Callable, Optional

from ..exceptions import StoreError, StoreLost, StoreUnreachable
from ..store import Store
from ..waiting.background import Background
from ..waiting.backoff import Backoff
from ..waiting.coroutines import wait_or_wake
from ..waiting.waker import Waker, earliest

logger = logging.getLogger(__name__)

ATTEMPT_SECONDS = 1.0
"""How often a standby tries to take the store ..."""
RELEASE_SECONDS = 2.0
"""... and how long the others have to take one that was given up."""


class State(Enum):
    """Whose the store is."""

    HELD = "this client's"
    STANDBY = "another client's"
    LOST = "not known: there is no connection"


_HELD = State.HELD  # for each poll: to look up a member takes its time


class Tenure:
    """Holds the store, or tries to get it.

    Attributes:
        state: whose the store is.
    """

    def __init__(
        self, store: Store, waker: Waker, backoff: Optional[Backoff], renew: Callable[[], None]
    ) -> None:
        """Initialize.

        Args:
            store: the open store.
            waker: wakes what waits.
            backoff: the delays before a lost connection is re-established; None: the default ones.
            renew: is called when the store was taken again: it may have been another client's.
        """
        self.state = State.HELD if store.held else State.STANDBY
        self._store = store
        self._waker = waker
        self._backoff = backoff or Backoff()
        self._renew = renew
        self._attempts = 0
        self._again = time.monotonic() + ATTEMPT_SECONDS
        self._taking: Optional[Background[bool]] = None
        if not self.held:
            self._say_standby()

    @property
    def held(self) -> bool:
        """Whether this client may follow."""
        return self.state is _HELD

    def bound(self, deadline: Optional[float]) -> Optional[float]:
        """Return *deadline*, or when the store must be kept if that is earlier."""
        return earliest(deadline, self._store.next_keep)

    async def ready(self, deadline: Optional[float], stopping: Callable[[], bool]) -> bool:
        """Wait until the store is held, and keep it.

        Args:
            deadline: by ``time.monotonic()``; None waits for as long as it takes.
            stopping: returns True if a stop was asked for; called after each wake-up.

        Returns:
            False if the deadline or a stop came first.

        Raises:
            StoreLost, StoreUnreachable: there is no connection; call :meth:`lose`, or give up.
            StoreLocked: another client has the store, which is not shared.
            LDAPUrlConflict: another client has made it one of another search.
        """
        while not stopping():
            if self.held:
                self._store.keep()
                return True
            now = time.monotonic()
            if self._taking is not None and self._taking.done:
                taking, self._taking = self._taking, None
                self._tried(taking.result())
                continue
            if self._taking is None and now >= self._again:
                self._taking = Background(
                    self._store.take,
                    lambda taken: self._store.close(),
                    self._waker,
                    name="syncrepl-store",
                )
            if deadline is not None and now >= deadline:
                return False
            await wait_or_wake(self._waker, self._until(deadline))
        return False

    def _until(self, deadline: Optional[float]) -> Optional[float]:
        return deadline if self._taking is not None else earliest(deadline, self._again)

    def _tried(self, taken: bool) -> None:
        self._again = time.monotonic() + ATTEMPT_SECONDS
        self._attempts = 0
        if taken:
            try:
                self._renew()
            except BaseException:
                self._store.release()
                raise
            self.state = State.HELD
            logger.info("has the store now", extra={"event": "active"})
        elif self.state is not State.STANDBY:
            self.state = State.STANDBY
            self._say_standby()

    def _say_standby(self) -> None:
        logger.info("stands by: another client has the store", extra={"event": "standby"})

    def lose(self) -> float:
        """Give up a connection that was lost, and schedule an attempt to connect.

        Returns:
            the delay in seconds.
        """
        self._store.drop()
        self.state = State.LOST
        self._attempts += 1
        seconds = self._backoff.delay(self._attempts)
        self._again = time.monotonic() + seconds
        return seconds

    def loss(self, error: Exception) -> Optional[StoreError]:
        """Return the error for a loss of the store that is behind *error*; None if none is.

        A callback that uses the store's connection raises what that raised.
        """
        if isinstance(error, (StoreLost, StoreUnreachable)):
            return error
        if self.held and self._store.lost:
            said = " ".join(str(error).split())
            return StoreLost(f"the connection to the store was lost in the callback: {said}")
        return None

    def release(self) -> None:
        """Let another client have a shared store; :meth:`ready` takes it again if none does."""
        if self.held and self._store.lease is not None:
            self._store.release()
            self.state = State.STANDBY
            self._again = time.monotonic() + RELEASE_SECONDS
            logger.info("gives the store up", extra={"event": "released"})

    def close(self) -> None:
        """Close the store, or have that done once an attempt to take it has ended."""
        taking, self._taking = self._taking, None
        if taking is None or taking.abandon():
            self._store.close()
