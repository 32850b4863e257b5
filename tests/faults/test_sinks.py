# SPDX-License-Identifier: BSD-3-Clause
"""A small campaign for each bus: ``python -m tests.faults.sinks`` is the whole one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import missing_servers_skip
from tests.faults.sinks.buses import Arrival, bus
from tests.faults.sinks.campaign import Plan, Wrong, campaign, compare
from tests.servers.missing import needs_all

SMALL = Plan(events=150, relay_kills=1, follower_kills=1, restarts=1)
REPEATS = 500  # a wave that was not settled, after each kill


@pytest.mark.parametrize("kind", [
    pytest.param(kind, marks=needs_all(kind)) for kind in ("redis", "rabbitmq", "nats", "kafka")
])  # fmt: skip
def test_a_small_campaign(kind: str, tmp_path: Path) -> None:
    with missing_servers_skip(), bus(kind) as other:
        # tests/contract/test_rabbitmq.py has a restart already, which takes seconds.
        plan = SMALL._replace(restarts=0) if kind == "rabbitmq" else SMALL
        report = campaign(other, tmp_path, plan, seed=7)
    assert report.events >= SMALL.events
    assert report.received - report.repeats == report.events
    assert report.repeats <= (0 if kind in ("redis", "nats") else REPEATS)


@pytest.mark.parametrize("received", [
    [("k", "1")], [("k", "2"), ("k", "1")], [("k", "1"), ("k", "2"), ("k", "3")],
    [("k", "1"), ("k", "2"), ("l", "1")], [("k", "1"), ("k", "x"), ("k", "2")], [],
])  # fmt: skip
def test_what_the_campaign_finds(received: list[tuple[str, str]]) -> None:
    with pytest.raises(Wrong):
        compare({"k": ["1", "2"]}, [Arrival(*each) for each in received])


def test_what_the_campaign_allows() -> None:
    compare({"k": ["1", "2"]}, [Arrival("k", each) for each in ("1", "1", "2", "1", "2")])
