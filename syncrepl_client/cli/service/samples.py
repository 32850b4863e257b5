# SPDX-License-Identifier: BSD-3-Clause
"""The lag of a stream over the last hour."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Optional

from ...engine.stats import Stats

SECONDS = 3600
BARS = 120


class Sample(NamedTuple):
    """What a stream was at, at one moment.

    Attributes:
        time: by ``time.monotonic()``.
        lag: of the last change since the sample before; None if there was none.
        away: whether it had no connection.
    """

    time: float
    lag: Optional[float]
    away: bool


class Bar(NamedTuple):
    """A part of the hour: the greatest lag of a change in it, and whether it was ever away."""

    lag: Optional[float]
    away: bool


class Samples:
    """The samples of a stream."""

    def __init__(self) -> None:
        """Initialize without samples."""
        self._samples: deque[Sample] = deque()
        self._commits = 0

    def add(self, now: float, stats: Stats) -> None:
        """Add a sample, and forget those that are more than an hour old."""
        changed = stats.commits != self._commits
        self._commits = stats.commits
        away = stats.stage not in ("refresh", "persist", "standby")
        self._samples.append(Sample(now, stats.lag if changed else None, away))
        while self._samples[0].time < now - SECONDS:
            self._samples.popleft()

    def bars(self, now: float) -> Sequence[Bar]:
        """Return the hour in equal parts, the oldest first."""
        bars = [Bar(None, False)] * BARS
        for time, lag, away in list(self._samples):  # the supervisor may add one meanwhile
            at = BARS - 1 - int((now - time) / SECONDS * BARS)
            if 0 <= at < BARS:
                known = [each for each in (bars[at].lag, lag) if each is not None]
                bars[at] = Bar(max(known, default=None), bars[at].away or away)
        return bars
