# SPDX-License-Identifier: BSD-3-Clause
"""When silence is suspicious: a pure object that is told the time.

A server that hangs, or a firewall that forgot the connection, looks like a directory in which
nothing changes.  So a server that was silent for a while is asked something, and given up if
it stays silent.
"""

import math
from typing import Optional


class Heartbeat:
    """Watches over one connection; times are those of ``time.monotonic()``."""

    def __init__(self, every: Optional[float], now: float) -> None:
        """Begin at *now*.

        Args:
            every: seconds of silence after which the server is asked, and within which it
                must then say something; None for never.
            now: the time.
        """
        self._every = math.inf if every is None else every
        self._heard = now
        self._asked: Optional[float] = None

    def heard(self, now: float) -> None:
        """Note that the server said something."""
        self._heard = now
        self._asked = None

    def asked(self, now: float) -> None:
        """Note that the server was asked."""
        self._asked = now

    @property
    def last(self) -> float:
        """When the server last said something; or when this began."""
        return self._heard

    @property
    def waits_for_answer(self) -> bool:
        """Whether the server was asked, and has said nothing since."""
        return self._asked is not None

    @property
    def next(self) -> float:
        """When to look again."""
        return (self._heard if self._asked is None else self._asked) + self._every

    def is_due(self, now: float) -> bool:
        """Say whether to ask now."""
        return self._asked is None and now >= self.next

    def is_overdue(self, now: float) -> bool:
        """Say whether the server was asked, and stayed silent for too long."""
        return self._asked is not None and now >= self.next
