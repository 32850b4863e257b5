# SPDX-License-Identifier: BSD-3-Clause
"""Followers that share a store: a little of everything.  ``python -m tests.faults.takeovers``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import missing_servers_skip
from tests.faults.kills.clients import running_server
from tests.faults.takeovers.campaign import Plan, takeovers
from tests.faults.takeovers.checks import Call, Found, examine
from tests.faults.takeovers.cluster import Cluster

LITTLE = Plan(kills=3, terminations=1, stops=2, crashes=1, promotions=1, cuts=1, holes=1, lease=2.0)


def test_a_little_of_everything(tmp_path: Path) -> None:
    with missing_servers_skip():
        cluster = Cluster()
    with cluster, running_server("slapd", 20, checkpoints=True) as server:
        report = takeovers(server, cluster, tmp_path, LITTLE, seed=7)
    wrong = {name: report[name] for name in Found._fields if report[name]}
    assert wrong == {}
    numbers = {what: times["number"] for what, times in report["takeovers"].items()}
    assert numbers == {
        "kill -9": 3, "pg_terminate_backend": 1, "SIGSTOP": 2, "restart of PostgreSQL": 1,
        "promotion": 1, "answer cut off": 1, "black hole": 1,
    }  # fmt: skip
    assert report["calls"] > 20


WHOLE = [
    Call("u", None, "1", 1, 1), Call("v", None, "2", 1, 1), Call("u", "1", "3", 1, 2),
    Call("v", "2", None, 1, 3), Call("u", "3", "4", 2, 3), Call("u", "4", "5", 3, 1),
]  # fmt: skip


def test_nothing_is_found() -> None:
    assert examine(WHOLE, ["5"], ["5"]) == Found(0, 0, 0, 0)


@pytest.mark.parametrize(("calls", "found"), [
    (WHOLE[:2] + WHOLE[3:], Found(1, 0, 0, 0)),  # one is lost
    ([*WHOLE, WHOLE[5]], Found(1, 1, 0, 0)),  # one is told again
    ([WHOLE[0], *WHOLE], Found(1, 1, 0, 0)),
    ([*WHOLE[:5], Call("u", "4", "5", 2, 2)], Found(0, 0, 1, 0)),  # by one who was replaced
    ([*WHOLE[:2], Call("u", "1", "1", 1, 2)], Found(1, 1, 0, 3)),  # invented
    (WHOLE[:5], Found(0, 0, 0, 2)),  # not all is told
])  # fmt: skip
def test_what_is_found(calls: list[Call], found: Found) -> None:
    mirror = ["5"] if calls[-1].new == "5" else [calls[-1].new or ""]
    assert examine(calls, mirror, ["5"]) == found
