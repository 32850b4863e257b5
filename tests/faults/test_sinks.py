# SPDX-License-Identifier: BSD-3-Clause
"""A small campaign for each bus: ``python -m tests.faults.sinks`` is the whole one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from syncrepl_client.entries.attributes import Attributes
from tests.conftest import missing_servers_skip
from tests.faults.sinks.buses import bus
from tests.faults.sinks.campaign import Plan, campaign
from tests.faults.sinks.checks import Arrival, Wrong, check_forward, compare, compare_resources
from tests.servers.missing import needs, needs_all

SMALL = Plan(events=150, relay_kills=1, follower_kills=1, restarts=1)
REPEATS = 500  # a wave that was not settled, after each kill


@pytest.mark.parametrize("kind", [
    *(pytest.param(kind, marks=needs_all(kind)) for kind in ("redis", "rabbitmq", "nats", "kafka")),
    pytest.param("scim", marks=[needs_all("scim"), needs("scim2_models")]),
])  # fmt: skip
def test_a_small_campaign(kind: str, tmp_path: Path) -> None:
    with missing_servers_skip(), bus(kind) as other:
        # tests/contract/test_rabbitmq.py has a restart already, which takes seconds.
        plan = SMALL._replace(restarts=0) if kind == "rabbitmq" else SMALL
        report = campaign(other, tmp_path, plan, seed=7)
    assert report.events >= SMALL.events
    if kind != "scim":  # which gets no messages, but what they come to
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


def person(**more: str) -> Attributes:
    known = {"objectClass": "inetOrgPerson", "entryUUID": "u", "uid": "a", "cn": "A", "title": "1"}
    return {name: [value.encode()] for name, value in {**known, **more}.items()}


GROUP: Attributes = {"objectClass": [b"groupOfNames"], "entryUUID": [b"g"],
                     "member": [b"uid=a", b"uid=z"]}  # fmt: skip
ENTRIES = {"uid=a": person(), "cn=g": GROUP, "ou=x": {"objectClass": [b"x"], "entryUUID": [b"x"]}}
USER = {"id": "1", "userName": "a", "displayName": "A", "title": "1", "active": True}
TEAM = {"members": [{"value": "1"}]}


@pytest.mark.parametrize(("users", "groups"), [
    ({}, {"g": TEAM}), ({"u": {**USER, "title": "0"}}, {"g": TEAM}), ({"u": USER}, {}),
    ({"u": {**USER, "active": False}}, {"g": TEAM}), ({"u": USER}, {"g": {"members": []}}),
    ({"u": USER, "v": USER}, {"g": TEAM}), ({"u": USER}, {"g": TEAM, "h": TEAM}),
])  # fmt: skip
def test_resources_that_are_not_the_directory(users: Any, groups: Any) -> None:
    compare_resources(ENTRIES, {"u": USER}, {"g": TEAM})
    with pytest.raises(Wrong):
        compare_resources(ENTRIES, users, groups)


@needs("scim2_models")
def test_users_that_were_set_back() -> None:
    from tests.servers.scim import Request

    titles = [("u", "1 0"), ("v", "9 0"), ("u", "1 5"), ("u", "10 0"), ("u", "10 0")]
    requests = [
        Request("PUT", "", {"externalId": uuid, "title": title}, "") for uuid, title in titles
    ]
    assert check_forward(requests) == 1
    with pytest.raises(Wrong):
        check_forward([*requests, requests[2]])
