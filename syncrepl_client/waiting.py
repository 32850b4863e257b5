# SPDX-License-Identifier: BSD-3-Clause
"""Waiting: for descriptors, for a time, and for somebody who ends the wait."""

import contextlib
import math
import select
import socket
import time
from typing import Optional

LONGEST_MILLISECONDS = 500
"""After so long a wait ends anyway.  A signal that arrives just before the system call has its
Python handler run only after it, so that a stop in there would wait for as long as that."""


def wait_for(deadline: Optional[float], *descriptors: int) -> None:
    """Wait until there is something to read on one of *descriptors*, or *deadline* comes.

    May return earlier with neither, so ask again.
    """
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    left = math.inf if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
    poll.poll(min(left, LONGEST_MILLISECONDS))


class Waker:
    """Ends a wait from another thread, or from a signal handler.

    Attributes:
        stopping: whether a stop was asked for.
    """

    def __init__(self) -> None:
        """Make the pair of sockets."""
        self.stopping = False
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)

    def stop(self) -> None:
        """Ask for a stop, and end the wait."""
        self.stopping = True
        self.wake()

    def wake(self) -> None:
        """End the wait that goes on, or the next one."""
        with contextlib.suppress(BlockingIOError):  # full of wake-ups: it is awake
            self._sender.send(b"\0")

    @property
    def descriptor(self) -> int:
        """What becomes readable when somebody wakes us."""
        return self._receiver.fileno()

    def heard(self) -> None:
        """Take the wake-ups so far for heard."""
        with contextlib.suppress(BlockingIOError):
            while self._receiver.recv(4096):
                pass

    def close(self) -> None:
        """Close the sockets."""
        self._receiver.close()
        self._sender.close()
