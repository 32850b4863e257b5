# SPDX-License-Identifier: BSD-3-Clause
"""Exponential backoff with jitter; takes no clock, so that it can be tested without waiting."""

import math
import random
from typing import Callable, NamedTuple

from ..exceptions import ConfigurationError


class _Numbers(NamedTuple):
    initial: float
    factor: float
    maximum: float
    jitter: float


class Backoff(_Numbers):
    """Capped exponential delays with jitter, so that clients don't all reconnect at the same time.

    Attributes:
        initial: seconds before the first new attempt.
        factor: by how much each delay is longer than the one before.
        maximum: seconds that no delay exceeds.
        jitter: the part of each delay, 0 to 1, that is left to chance: with 0.5, a delay of
            4 s becomes one between 2 and 4 s.
    """

    __slots__ = ()

    def __new__(
        cls, initial: float = 1.0, factor: float = 2.0, maximum: float = 60.0, jitter: float = 0.5
    ) -> "Backoff":
        """Check that delays are finite, and do not shrink.

        Raises:
            ConfigurationError: they are not finite, or would shrink.
        """
        self = super().__new__(cls, initial, factor, maximum, jitter)
        if not all(map(math.isfinite, self)):
            raise ConfigurationError(f"the numbers of a Backoff are finite, not {self!r}")
        if self.initial < 0 or self.maximum < 0 or self.factor < 1 or not 0 <= self.jitter <= 1:
            raise ConfigurationError(
                f"{self!r}: initial and maximum are 0 or more, factor is 1 or more, "
                "jitter is from 0 to 1"
            )
        return self

    def delay(self, attempt: int, chance: Callable[[], float] = random.random) -> float:
        """Return how many seconds to wait before the next attempt.

        Args:
            attempt: how many attempts have failed in a row, from 1 on.
            chance: returns a random number from 0 to 1.
        """
        try:
            whole = min(self.initial * self.factor ** (attempt - 1), self.maximum)
        except OverflowError:
            whole = self.maximum
        return whole * (1 - self.jitter * chance())
