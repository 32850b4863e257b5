# SPDX-License-Identifier: BSD-3-Clause
"""Patience with servers that know less than the store: the others are tried, and all asked again.

A server that lags catches up; one that was restored from a backup never does.  Nobody can tell
the two apart but by waiting, so the wait has a limit.
"""

import time
from typing import Optional

from ..waiting.backoff import Backoff

LAG_PATIENCE = 300.0
"""So many seconds are servers waited for that know less than the store, if nobody says otherwise.

Replication that works takes seconds.
"""


class Patience:
    """How long such servers are waited for.

    Attributes:
        seconds: how long, in all.
        reason: what the last one lacked; None where no such server was met.
    """

    def __init__(self, seconds: float, backoff: Optional[Backoff]) -> None:
        """Begin with all of it; *backoff* says how long to wait before each new attempt."""
        self.seconds = seconds
        self.reason: Optional[str] = None
        self._backoff = backoff or Backoff()
        self._since = 0.0
        self._attempts = 0

    @property
    def exhausted(self) -> bool:
        """Whether a server is to be believed, whatever it lacks."""
        return self._left() <= 0

    def _left(self) -> float:
        if self.reason is None:
            return self.seconds
        return self._since + self.seconds - time.monotonic()

    def lose(self, reason: str) -> float:
        """Hear what a server lacks; return the seconds to wait before another attempt."""
        if self.reason is None:
            self._since = time.monotonic()
        self.reason = reason
        self._attempts += 1
        return max(0.0, min(self._backoff.delay(self._attempts), self._left()))

    def regain(self) -> None:
        """Give servers the whole time again, because a refresh is done."""
        self.reason = None
        self._attempts = 0
