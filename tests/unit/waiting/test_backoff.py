# SPDX-License-Identifier: BSD-3-Clause
"""Delays, without waiting."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncrepl_client.exceptions import ConfigurationError
from syncrepl_client.waiting.backoff import Backoff

WHOLE = Backoff(initial=1, factor=2, maximum=60, jitter=0)


def test_delays_double_up_to_the_maximum() -> None:
    assert [WHOLE.delay(attempt) for attempt in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_jitter_shortens_by_its_part_at_most() -> None:
    backoff = Backoff(initial=4, jitter=0.5)
    assert backoff.delay(1, chance=lambda: 0.0) == 4
    assert backoff.delay(1, chance=lambda: 0.5) == 3
    assert backoff.delay(1, chance=lambda: 1.0) == 2


def test_the_default_is_left_to_chance() -> None:
    assert len({Backoff().delay(3) for _ in range(20)}) > 1


@given(
    st.floats(0, 1e6), st.floats(1, 1e6), st.floats(0, 1e6), st.floats(0, 1), st.integers(1, 10**9)
)
def test_no_delay_leaves_its_bounds(
    initial: float, factor: float, maximum: float, jitter: float, attempt: int
) -> None:
    delay = Backoff(initial, factor, maximum, jitter).delay(attempt)
    assert 0 <= delay <= maximum


@pytest.mark.parametrize(
    "wrong",
    [
        {"initial": -1},
        {"maximum": -1},
        {"factor": 0.5},
        {"jitter": 1.5},
        {"jitter": -0.1},
        {"initial": math.nan},
        {"maximum": math.inf},
    ],
)
def test_what_is_no_backoff_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Backoff(**wrong)
