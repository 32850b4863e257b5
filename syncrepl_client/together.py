# SPDX-License-Identifier: BSD-3-Clause
"""Several clients in one thread, in turn: their callbacks never run at the same time."""

import contextlib
import logging
from typing import Optional

from .client import Syncrepl
from .waiting.coroutines import ClientCoroutine, Finished, Wait, YieldControl, run_until
from .waiting.waker import wait_for

logger = logging.getLogger(__name__)


def run_all(*clients: Syncrepl) -> None:
    """Poll *clients* until all their searches are over.

    Everything is done in the calling thread, a batch of one client after a batch of another: the
    callbacks may share state, and while one is busy the other clients wait.  ``please_stop()`` of
    any client stops all.

    Raises:
        UsageError: a client is in use elsewhere, or closed, or is passed twice.
        Exception: as ``poll()`` of one client raises; the others are stopped first.
    """
    with contextlib.ExitStack() as stack:
        for client in clients:
            client._check_pollable("run_all")
            stack.enter_context(client._at_work())
        coroutines = {client: client._poller.run() for client in clients}
        for coroutine in coroutines.values():
            stack.callback(coroutine.close)
        _Turns(coroutines).take()


class _Turns:
    """The clients whose searches are not over, each with the coroutine that runs it."""

    def __init__(self, coroutines: dict[Syncrepl, ClientCoroutine[None]]) -> None:
        self._coroutines = coroutines
        self._error: Optional[Exception] = None

    def take(self) -> None:
        """Run all clients in turn until none is left.

        Raises:
            Exception: the first that one of them raised.
        """
        while self._coroutines:
            waits = [wait for wait in map(self._turn, list(self._coroutines)) if wait is not None]
            if len(waits) == len(self._coroutines):  # none has anything to do
                deadlines = [each.deadline for each in waits if each.deadline is not None]
                descriptors = [number for each in waits for number in each.descriptors]
                wait_for(min(deadlines, default=None), *descriptors)
        if self._error is not None:
            raise self._error

    def _turn(self, client: Syncrepl) -> Optional[Wait]:
        """Run *client* until it waits; return the request, or None if it may go on at once."""
        try:
            request = run_until(self._coroutines[client], Wait, YieldControl)
        except Exception as error:  # noqa: BLE001 - raised when all have stopped
            self._failed(client, error)
            return None
        if isinstance(request, Finished):
            del self._coroutines[client]
        if client._waker.stopping:
            self._stop()
        return request if isinstance(request, Wait) else None

    def _failed(self, client: Syncrepl, error: Exception) -> None:
        if self._error is None:
            self._error = error
        else:
            logger.error("%r failed as well: %r", client, error, extra={"event": "failed"})
        del self._coroutines[client]
        self._stop()

    def _stop(self) -> None:
        for client in self._coroutines:
            client.please_stop()
