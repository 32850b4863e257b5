# SPDX-License-Identifier: BSD-3-Clause
"""Snapshots: all entries go to a sink, and none of them undoes or overtakes a change."""

from __future__ import annotations

import json
import random
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from syncrepl_client import Backoff, Changelog, Keep
from syncrepl_client.changelog import recorder
from syncrepl_client.protocol.messages import Reference, State
from syncrepl_client.sinks import Answer, Message, Relay
from syncrepl_client.store import open_changelog
from syncrepl_client.testing import Feed
from tests.patience import HANGS_SECONDS
from tests.unit.sinks.sinks import Scripted, change, dn, logging_feed
from tests.unit.sinks.test_cloudevents import SCHEMA

SOON = Backoff(0.001, maximum=0.002)
REFUSED, FAILED, ACCEPTED = Answer.refused("no"), Answer.failed("later"), Answer.accepted()


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    with logging_feed(tmp_path) as feed:
        yield feed


class Mirror(Scripted):
    """Has every body that it accepted, in order; *entries* is what they lead to, by UUID."""

    def __init__(self, reply: Any = lambda _: ACCEPTED) -> None:
        super().__init__(reply)
        self.bodies: list[dict[str, Any]] = []
        self.entries: dict[str, Any] = {}

    def deliver(self, messages: Sequence[Message]) -> Sequence[Answer]:
        answers = super().deliver(messages)
        for message, answer in zip(messages, answers):
            if answer == ACCEPTED:
                self.take(json.loads(message.body)["data"])
        return answers

    def take(self, data: dict[str, Any]) -> None:
        self.bodies.append(data)
        if data["kind"] == "delete":
            self.entries.pop(data["uuid"], None)
        else:
            self.entries[data["uuid"]] = data.get("dn"), data.get("attributes")

    @property
    def snapshots(self) -> list[str]:
        return [data["dn"] for data in self.bodies if data["kind"] == "snapshot"]


class Witness(Mirror):
    """A mirror that has had all changes, to which the entries of a snapshot are nothing new."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[dict[str, Any]] = []

    def take(self, data: dict[str, Any]) -> None:
        known = self.entries.get(data["uuid"])
        if data["kind"] == "snapshot" and known != (data["dn"], data["attributes"]):
            self.wrong.append(data)
        super().take(data)


def relay(place: Path, sink: Scripted, **options: Any) -> Relay:
    return Relay(place, sink, **{"name": "me", "backoff": SOON, "interval": 0.01, **options})


def state(feed: Feed) -> Any:
    return feed.store.changelog.sinks["me"]


def test_a_new_sink_gets_all_entries(feed: Feed, tmp_path: Path) -> None:
    change(feed, "a:1", "a:2")
    feed.rename(dn("b"), dn("z"))
    feed.delete(dn("c"))
    feed.commit()
    mirror = Mirror()
    relay(tmp_path, mirror, snapshot=True).run(once=True)
    assert sorted(mirror.snapshots) == [dn("a"), dn("d"), dn("z")]
    assert {data["kind"] for data in mirror.bodies} == {"snapshot"}
    assert mirror.entries[mirror.bodies[0]["uuid"]][1]["description"] == ["2"]
    assert state(feed).snapshot is None
    again = Mirror()
    relay(tmp_path, again, snapshot=True).run(once=True)
    assert again.bodies == []


def test_the_events(feed: Feed, tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    feed._tell([Reference(State.ADD, b"r" * 16, ("ldap://h/",))])
    feed.commit()
    relay(tmp_path, Scripted()).run(once=True)
    identifier = feed.store.changelog.sinks.request_snapshot("me")
    messages: list[dict[str, Any]] = []

    def reply(message: Message) -> Answer:
        messages.append(json.loads(message.body))
        return ACCEPTED

    relay(tmp_path, Scripted(reply)).run(once=True)
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    for message in messages:
        jsonschema.validate(message["data"], schema)
        assert message["type"] == "io.readthedocs.syncrepl-client.snapshot"
        assert message["id"] == message["data"]["id"]
        assert message["data"]["snapshot"] == identifier.hex()
        assert message["data"]["seq"] == feed.store.changelog.newest
    assert len({message["id"] for message in messages}) == 5
    assert messages[-1]["data"]["urls"] == ["ldap://h/"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**messages[0]["data"], "snapshot": None}, schema)


def test_an_id_is_that_of_a_body(feed: Feed, tmp_path: Path) -> None:
    bodies: dict[str, set[bytes]] = defaultdict(set)
    tries: dict[str, int] = defaultdict(int)

    def reply(message: Message) -> Answer:
        bodies[message.id].add(message.body)
        tries[message.id] += 1
        return ACCEPTED if tries[message.id] > 2 else FAILED

    relay(tmp_path, Scripted(reply), snapshot=True).run(once=True)
    assert [len(each) for each in bodies.values()] == [1] * 4
    feed.store.changelog.sinks.request_snapshot("me")
    relay(tmp_path, Scripted(reply)).run(once=True)
    assert len(bodies) == 8


def test_what_the_log_leaves_out(tmp_path: Path) -> None:
    with logging_feed(tmp_path, Changelog(exclude=["description"])) as feed:
        change(feed, "a:secret")
        mirror = Mirror()
        relay(tmp_path, mirror, snapshot=True).run(once=True)
        assert len(mirror.bodies) == 4
        assert "secret" not in json.dumps(mirror.bodies)


def test_not_before_the_first_refresh_is_done(tmp_path: Path) -> None:
    with Feed(None, store="sqlite", data_path=f"{tmp_path}/", changelog=Changelog()) as feed:
        feed.add(dn("a"), {"cn": ["a"]})
        feed.commit()
        mirror = Mirror()
        relay(tmp_path, mirror, snapshot=True).run(once=True)
        assert mirror.bodies == []
        feed.modify(dn("a"), {"description": ["not logged"]})
        feed.refresh_done()
        relay(tmp_path, mirror).run(once=True)
        assert [data["attributes"].get("description") for data in mirror.bodies] == [["not logged"]]


def write(feed: Feed, chance: random.Random, number: int) -> None:
    """Commit changes of every kind."""
    for _ in range(number):
        name = f"e{chance.randrange(60)}"
        there = [each for each in (name, f"{name}-renamed") if dn(each) in feed.store.items()]
        if not there:
            feed.add(dn(name), {"cn": [name], "description": [str(chance.random())]})
        elif chance.random() < 0.15:
            feed.delete(dn(there[0]))
        elif chance.random() < 0.2:
            feed.rename(dn(there[0]), dn(f"{name}-renamed" if there[0] == name else name))
        else:
            feed.modify(dn(there[0]), {"description": [str(chance.random())]})
        if chance.random() < 0.3:
            feed.commit()
    feed.commit()


def wait_for_the_end(feed: Feed) -> None:
    """Wait until the sink has all that there is."""
    done = threading.Event()
    while state(feed).behind or state(feed).snapshot is not None:
        assert not done.wait(0.02)


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_while_entries_change(feed: Feed, tmp_path: Path, batch: int) -> None:
    """Each entry of a snapshot is to its receiver what the changes so far have led to."""
    chance = random.Random(batch)
    write(feed, chance, 100)
    witness = Witness()
    with relay(tmp_path, witness, position=0, batch=batch):
        for _ in range(4):
            feed.store.changelog.sinks.request_snapshot("me")
            write(feed, chance, 60)
        wait_for_the_end(feed)
    assert witness.wrong == []
    assert {name: attrs["cn"] for name, attrs in witness.entries.values()} == {
        name: [value.decode() for value in attrs["cn"]]
        for name, attrs in feed.store.items().items()
    }
    assert len(set(witness.snapshots)) >= len(feed.store.items()) / 2


def test_a_sink_that_is_far_behind(feed: Feed, tmp_path: Path) -> None:
    """An entry is sent as it was at that point of the log, not as it is."""
    chance = random.Random(3)
    feed.store.changelog.sinks.add("me", 0, snapshot=True)
    write(feed, chance, 1500)  # more than the relay reads at once
    witness = Witness()
    relay(tmp_path, witness).run(once=True)
    assert witness.wrong == []
    first = next(data for data in witness.bodies if data["kind"] == "snapshot")
    assert first["seq"] < feed.store.changelog.newest


def test_where_it_was_killed_it_goes_on(feed: Feed, tmp_path: Path) -> None:
    write(feed, random.Random(4), 200)
    number = len(feed.store.items())
    left = iter(range(25))
    sink = Scripted(lambda message: FAILED if next(left, None) is None else ACCEPTED)
    slow = Backoff(HANGS_SECONDS)
    stopped = relay(tmp_path, sink, snapshot=True, batch=10, backoff=slow)
    with stopped, sink.changed:
        assert sink.changed.wait_for(lambda: len(sink.waves) == 3, HANGS_SECONDS)
    assert state(feed).snapshot.sent == 20
    rest = Mirror()
    relay(tmp_path, rest).run(once=True)
    assert len(rest.bodies) == number - 20
    assert state(feed).snapshot is None


def test_another_one_meanwhile(feed: Feed, tmp_path: Path) -> None:
    identifiers: list[bytes] = []

    def reply(message: Message) -> Answer:
        if not identifiers:
            with open_changelog(tmp_path) as log:
                identifiers.append(log.sinks.request_snapshot("me"))
        return ACCEPTED

    sink = Mirror(reply)
    relay(tmp_path, sink, snapshot=True, batch=2).run(once=True)
    last = [data for data in sink.bodies if data["snapshot"] == identifiers[0].hex()]
    assert len(last) == 4
    assert len(sink.bodies) == 6
    feed.store.changelog.sinks.request_snapshot("me")
    assert feed.store.changelog.sinks.cancel_snapshot("me")
    assert not feed.store.changelog.sinks.cancel_snapshot("me")
    relay(tmp_path, sink).run(once=True)
    assert len(sink.bodies) == 6


def test_an_entry_that_is_refused(feed: Feed, tmp_path: Path) -> None:
    """It is parked, as it was then; later changes, and later snapshots, wait behind it."""
    poison = Mirror(lambda message: REFUSED if b'"cn":["a"]' in message.body else ACCEPTED)
    relay(tmp_path, poison, snapshot=True).run(once=True)
    change(feed, "a:1", "b:1")
    feed.store.changelog.sinks.request_snapshot("me")
    relay(tmp_path, poison).run(once=True)
    sinks = feed.store.changelog.sinks
    rows = sinks.parked("me")
    assert [(row.seq, bool(row.snapshot)) for row in rows] == [(5, True), (6, False), (7, True)]
    assert rows[1].reason == "waits for 5"
    sinks.release("me")
    mirror = Mirror()
    relay(tmp_path, mirror).run(once=True)
    assert [(data["kind"], data["attributes"].get("description")) for data in mirror.bodies] == [
        ("snapshot", None), ("modify", ["1"]), ("snapshot", ["1"])
    ]  # fmt: skip
    assert sinks.parked("me") == []


def test_lost_changes_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recorder, "_TRIM_EVERY", 1)
    kept = Keep(changes=2)
    with logging_feed(tmp_path, Changelog(kept, for_sinks=kept)) as feed:
        feed.store.changelog.sinks.add("me")
        change(feed, "a:1", "a:2", "b:1", "b:2")
        change(feed, "c:1")
        lost = state(feed).lost
        assert lost > 0
        relay(tmp_path, Scripted()).run(once=True)
        assert (state(feed).lost, state(feed).behind) == (lost, 0)
        relay(tmp_path, Scripted()).run(once=True)
        assert state(feed).lost == lost
        assert feed.store.changelog.sinks.acknowledge("me") == lost
        assert state(feed).lost == 0
    assert "lost" in caplog.text
