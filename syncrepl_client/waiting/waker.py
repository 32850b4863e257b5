# SPDX-License-Identifier: BSD-3-Clause
"""Waiting for descriptors and deadlines (poll(2)), and what ends a wait early."""

import contextlib
import select
import socket
import time
from typing import Optional

from . import forking

LONGEST_MILLISECONDS = 500
"""The longest single wait.  Python runs the handler of a signal that arrives just before the
system call only after it, so a ``please_stop()`` in a handler may wait for as long as that."""


def earliest(*times: Optional[float]) -> Optional[float]:
    """Return the first of these times; None stands for none."""
    first = None
    for each in times:
        if each is not None and (first is None or each < first):
            first = each
    return first


def wait_for(deadline: Optional[float], *descriptors: int) -> None:
    """Wait until one of *descriptors* is readable, or *deadline* has come.

    May return earlier, so check the condition again.

    Args:
        deadline: by ``time.monotonic()``; None for none.
        descriptors: file descriptors.
    """
    left: float = LONGEST_MILLISECONDS
    if deadline is not None:
        left = min(left, max(0.0, deadline - time.monotonic()) * 1000)
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    poll.poll(left)


def is_readable(descriptor: int) -> bool:
    """Return whether *descriptor* is readable, without waiting."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


class Waker:
    """A wake-up descriptor: ends a wait from another thread, or from a signal handler.

    Attributes:
        stopping: whether :meth:`stop` was called.
    """

    def __init__(self) -> None:
        """Create a pair of sockets; what is written to one makes the other readable."""
        self.stopping = self._woken = False
        self._receiver, self._sender = socket.socketpair()
        forking.register(self)
        self._receiver.setblocking(False)
        self._sender.setblocking(False)

    def stop(self) -> None:
        """Set :attr:`stopping`, and end the wait."""
        self.stopping = True
        self.wake()

    def wake(self) -> None:
        """End the current wait, or the next one."""
        with contextlib.suppress(BlockingIOError):  # full of wake-ups: it is awake
            self._sender.send(b"\0")
        self._woken = True  # not earlier, or clear() might find nothing, and never look again

    @property
    def descriptor(self) -> int:
        """The file descriptor that becomes readable on a wake-up."""
        return self._receiver.fileno()

    def clear(self) -> None:
        """Discard the wake-ups so far."""
        if not self._woken:
            return
        self._woken = False
        with contextlib.suppress(BlockingIOError):
            while self._receiver.recv(4096):
                pass

    def disown(self) -> None:
        """Close the sockets of a child process, which would wake its parent."""
        self.close()

    def close(self) -> None:
        """Close the sockets."""
        self._receiver.close()
        self._sender.close()
