# SPDX-License-Identifier: BSD-3-Clause
"""Whether a stored cookie may be used."""

import math
from typing import Optional

from .store.base import Origin


def reconcile_in(origin: Origin, every: Optional[float], now: float) -> float:
    """Return the seconds until a search should start over, for all that resumes may leave out.

    Args:
        origin: of the store; without a cookie the next search starts over anyway.
        every: so many seconds after the last time; None for never.
        now: by ``time.time()``.  A last time that lies ahead is no reason to wait for it.
    """
    if every is None or origin.cookie is None:
        return math.inf
    last = origin.reconciled
    if last is None or last > now:
        return 0
    return max(0.0, last + every - now)
