# SPDX-License-Identifier: BSD-3-Clause
"""How long servers are waited for that lack changes."""

from __future__ import annotations

import math
import time

import pytest

from syncrepl_client.engine.patience import Patience
from syncrepl_client.waiting.backoff import Backoff

STEADY = Backoff(initial=1, factor=2, maximum=60, jitter=0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_it_ends(clock: list[float]) -> None:
    waiting = Patience(10, STEADY)
    assert not waiting.exhausted
    clock[0] += 1000  # it begins with the first server that lags
    delays = []
    while not waiting.exhausted:
        delays.append(waiting.lose("it lags"))
        clock[0] += delays[-1]
    assert delays == [1, 2, 4, 3]  # no longer than it lasts
    assert waiting.reason == "it lags"
    waiting.regain()
    assert (waiting.reason, waiting.exhausted) == (None, False)
    assert waiting.lose("again") == 1


def test_none_at_all() -> None:
    assert Patience(0, STEADY).exhausted


def test_without_end(clock: list[float]) -> None:
    waiting = Patience(math.inf, None)
    for _ in range(20):
        waiting.lose("it lags")
        clock[0] += 1e6
    assert not waiting.exhausted
