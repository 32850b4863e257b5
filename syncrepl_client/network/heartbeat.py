# SPDX-License-Identifier: BSD-3-Clause
"""The heartbeat: detects dead connections.  A pure object that gets the time as an argument.

A server that hangs, or a firewall that dropped the connection, looks like a directory in which
nothing changes.  So a server that was silent for some time is asked a question, and the connection
is given up if it does not answer.
"""

import math
from typing import Optional


class Heartbeat:
    """Watches one connection; times are those of ``time.monotonic()``."""

    def __init__(self, every: Optional[float], now: float) -> None:
        """Initialize at the time *now*.

        Args:
            every: seconds of silence after which the server is asked a question, and within which
                it must then send something; None for never.
            now: the time.
        """
        self._every = math.inf if every is None else every
        self._heard = now
        self._asked: Optional[float] = None

    def heard(self, now: float) -> None:
        """Record that the server sent something."""
        self._heard = now
        self._asked = None

    def asked(self, now: float) -> None:
        """Record that the server was asked."""
        self._asked = now

    @property
    def last(self) -> float:
        """When the server last sent something; or when this object was created."""
        return self._heard

    @property
    def waits_for_answer(self) -> bool:
        """Whether the server was asked, and has sent nothing since."""
        return self._asked is not None

    @property
    def next(self) -> float:
        """When to check again."""
        return (self._heard if self._asked is None else self._asked) + self._every

    def is_due(self, now: float) -> bool:
        """Return True if the server is to be asked now."""
        return self._asked is None and now >= self.next

    def is_overdue(self, now: float) -> bool:
        """Return True if the server was asked, and did not answer in time."""
        return self._asked is not None and now >= self.next
