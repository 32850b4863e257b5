# SPDX-License-Identifier: BSD-3-Clause
"""Waiting: for descriptors, for a time, and for somebody who ends the wait."""

import contextlib
import select
import socket
import time
from typing import Optional

LONGEST_MILLISECONDS = 86_400_000
"""poll(2) takes less than 25 days; who waits for longer looks at the clock in between."""


def wait_for(deadline: Optional[float], *descriptors: int) -> None:
    """Wait until there is something to read on one of *descriptors*, or *deadline* comes.

    May return a day after the call, where *deadline* is later than that.
    """
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    left = None
    if deadline is not None:
        left = min(max(0.0, deadline - time.monotonic()) * 1000, LONGEST_MILLISECONDS)
    poll.poll(left)


class Waker:
    """Ends a wait from another thread, or from a signal handler.

    Attributes:
        stopping: whether a stop was asked for.
    """

    def __init__(self) -> None:
        """Make the pair of sockets."""
        self.stopping = False
        self.receiver, self._sender = socket.socketpair()
        self.receiver.setblocking(False)
        self._sender.setblocking(False)

    def stop(self) -> None:
        """Ask for a stop, and end the wait."""
        self.stopping = True
        self.wake()

    def wake(self) -> None:
        """End the wait that goes on, or the next one."""
        with contextlib.suppress(BlockingIOError):  # full of wake-ups: it is awake
            self._sender.send(b"\0")

    def wait(self, deadline: Optional[float], *descriptors: int) -> None:
        """Wait for a wake-up, for something to read on one of *descriptors*, or until *deadline*.

        Args:
            deadline: by ``time.monotonic()``; None waits for as long as it takes.
            descriptors: further ones to wait for.
        """
        wait_for(deadline, self.receiver.fileno(), *descriptors)
        with contextlib.suppress(BlockingIOError):
            while self.receiver.recv(4096):
                pass

    def close(self) -> None:
        """Close the sockets."""
        self.receiver.close()
        self._sender.close()
