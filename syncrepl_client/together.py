# SPDX-License-Identifier: BSD-3-Clause
"""Several clients in one thread, in turns: their callbacks never meet."""

import contextlib
import logging
from typing import Optional

from .client import Syncrepl
from .driving import Breath, Course, Ended, Wait, advance
from .waiting import wait_for

logger = logging.getLogger(__name__)


def run_all(*clients: Syncrepl) -> None:
    """Poll *clients* until the searches of all are over.

    All is done in the thread that calls, a batch of one after a batch of another: the callbacks
    may share what they like, and while one takes its time the others wait.  ``please_stop()``
    of any client stops all.

    Raises:
        UsageError: one of them is at work elsewhere, or closed, or is named twice.
        Exception: what ``poll()`` of one raises; the others are stopped first.
    """
    with contextlib.ExitStack() as stack:
        for client in clients:
            client._check_pollable("run_all")
            stack.enter_context(client._at_work())
        courses = {client: client._turns.run() for client in clients}
        for course in courses.values():
            stack.callback(course.close)
        _Turns(courses).take()


class _Turns:
    """The clients whose searches are not over, each with what it does."""

    def __init__(self, courses: dict[Syncrepl, Course[None]]) -> None:
        self._courses = courses
        self._error: Optional[Exception] = None

    def take(self) -> None:
        """Take turns until none is left.

        Raises:
            Exception: the first that one of them raised.
        """
        while self._courses:
            waits = [wait for wait in map(self._turn, list(self._courses)) if wait is not None]
            if len(waits) == len(self._courses):  # none has anything to do
                deadlines = [each.deadline for each in waits if each.deadline is not None]
                descriptors = [number for each in waits for number in each.descriptors]
                wait_for(min(deadlines, default=None), *descriptors)
        if self._error is not None:
            raise self._error

    def _turn(self, client: Syncrepl) -> Optional[Wait]:
        """Have *client* go on; return for what it waits then, if it does."""
        try:
            request = advance(self._courses[client], Wait, Breath)
        except Exception as error:  # noqa: BLE001 - raised when all have stopped
            self._failed(client, error)
            return None
        if isinstance(request, Ended):
            del self._courses[client]
        if client._waker.stopping:
            self._stop()
        return request if isinstance(request, Wait) else None

    def _failed(self, client: Syncrepl, error: Exception) -> None:
        if self._error is None:
            self._error = error
        else:
            logger.error("%r failed as well: %r", client, error, extra={"event": "failed"})
        del self._courses[client]
        self._stop()

    def _stop(self) -> None:
        for client in self._courses:
            client.please_stop()
