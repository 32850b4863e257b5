# SPDX-License-Identifier: BSD-3-Clause
"""The relay is killed, the sink is away: nothing is lost, and an entry's changes keep order."""

from __future__ import annotations

import logging
import random
import signal
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Callable

import pytest

from syncrepl_client import Backoff, PasswordFile
from syncrepl_client.sinks import Relay
from syncrepl_client.sinks.outbox import WINDOW
from syncrepl_client.testing import Feed
from tests.cli.commands import running
from tests.patience import HANGS_SECONDS
from tests.servers.missing import needs_httpx
from tests.servers.receiver import Received, Receiver, write_secret
from tests.unit.sinks.sinks import change, dn, logging_feed

pytestmark = needs_httpx
logger = logging.getLogger(__name__)

EVENTS = 2000
KILLS = 8
ENTRIES = 40


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    return write_secret(tmp_path / "secret")


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    with logging_feed(tmp_path) as feed:
        yield feed


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver
    assert not receiver.forged


def write(feed: Feed, chance: random.Random, number: int) -> None:
    """Commit so many changes of some entries, in transactions of some length."""
    names = [f"e{each}" for each in range(ENTRIES)]
    for done in range(number):
        name = chance.choice(names[: chance.choice((3, ENTRIES))])  # some change often
        there = [each for each in (name, f"{name}-renamed") if dn(each) in feed.store.items()]
        if not there:
            feed.add(dn(name), {"cn": [name]})
        elif chance.random() < 0.1:
            feed.delete(dn(there[0]))
        elif chance.random() < 0.1:
            feed.rename(dn(there[0]), dn(f"{name}-renamed" if there[0] == name else name))
        else:
            feed.modify(dn(there[0]), {"description": [f"{done} {chance.random()}"]})
        if chance.random() < 0.2:
            feed.commit()
    feed.commit()


def check(feed: Feed, received: list[Received]) -> int:
    """Compare what was received with the log; return how many were repeats."""
    expected: dict[str, list[str]] = defaultdict(list)
    position = 0
    while events := feed.store.changelog.events(position):
        position = events[-1].seq
        for event in events:
            if event.change is not None:
                expected[str(event.change.uuid)].append(event.id.hex())
    bodies: dict[str, bytes] = {}
    had: dict[str, list[str]] = defaultdict(list)
    for request in received:
        body = request.event
        assert body["id"] == request.id
        assert bodies.setdefault(request.id, request.body) == request.body
        key = body["partitionkey"]
        so_far = had[key]
        if request.id not in so_far:
            so_far.append(request.id)
            assert expected[key][: len(so_far)] == so_far, "an earlier change is missing"
    assert had == expected
    return len(received) - len(bodies)


@contextmanager
def relaying(place: Path, receiver: Receiver, secret: Path) -> Iterator[Callable[[int], int]]:
    """Have the command run, and yield a function that sends it a signal."""
    arguments = ["--sink", receiver.url, "--name", "me", "--from-start", "-d", str(place)]
    with running(place, "relay", *arguments, "--secret-file", str(secret)) as command:
        yield lambda number: command.stop(signal.Signals(number))


def wait_for(receiver: Receiver, number: int) -> None:
    with receiver.changed:
        assert receiver.changed.wait_for(lambda: len(receiver.received) >= number, HANGS_SECONDS)


def test_kills(feed: Feed, receiver: Receiver, tmp_path: Path, secret: Path) -> None:
    chance = random.Random(20)
    for _ in range(KILLS):
        write(feed, chance, EVENTS // KILLS)
        with relaying(tmp_path, receiver, secret) as end:
            wait_for(receiver, len(receiver.received) + chance.randrange(1, 150))
            assert end(signal.SIGKILL) == -signal.SIGKILL
    with relaying(tmp_path, receiver, secret) as end:
        last = feed.store.changelog.newest
        while feed.store.changelog.sinks["me"].position < last:
            threading.Event().wait(0.02)
        assert end(signal.SIGTERM) == 0
    repeats = check(feed, receiver.received)
    logger.info("%d kills, %d repeats", KILLS, repeats)  # --log-cli-level=INFO shows it
    assert len({request.id for request in receiver.received}) >= EVENTS
    assert repeats <= KILLS * WINDOW
    assert feed.store.changelog.sinks.parked() == []


def test_a_poison_event(feed: Feed, receiver: Receiver, tmp_path: Path, secret: Path) -> None:
    change(feed, "a:poison", "b:1", "a:2", "c:1", "a:3")
    receiver.reply = lambda request: (422 if b'"poison"' in request.body else 200, {})
    relay = options(tmp_path, receiver, secret)
    relay().run(once=True)
    log = feed.store.changelog
    assert [row.seq for row in log.sinks.parked("me")] == [6, 8, 10]
    assert sorted(request.event["data"]["seq"] for request in receiver.received) == [
        *range(2, 6),
        *(7, 9),
    ]
    receiver.reply = lambda _: (200, {})
    log.sinks.release("me")
    relay().run(once=True)
    assert [request.event["data"]["seq"] for request in receiver.received[-3:]] == [6, 8, 10]
    assert check(feed, receiver.received) == 0


def test_away_for_a_while(feed: Feed, receiver: Receiver, tmp_path: Path, secret: Path) -> None:
    with options(tmp_path, receiver, secret)():
        wait_for(receiver, 4)
        receiver.stop()
        write(feed, random.Random(1), 300)  # the client goes on
        behind = feed.store.changelog.sinks["me"].behind
        assert behind >= 300
        receiver.start()
        wait_for(receiver, 4 + behind)
    assert check(feed, receiver.received) == 0


def test_the_answer_gets_lost(feed: Feed, receiver: Receiver, tmp_path: Path, secret: Path) -> None:
    write(feed, random.Random(2), 100)
    chance = random.Random(3)
    receiver.reply = lambda _: (200, {}) if chance.random() < 0.7 else None
    options(tmp_path, receiver, secret)().run(once=True)
    assert check(feed, receiver.received) > 0
    counts = Counter(request.id for request in receiver.received)
    assert max(counts.values()) > 1


def options(place: Path, receiver: Receiver, secret: Path) -> Callable[[], Relay]:
    from syncrepl_client.sinks import Webhook

    def make() -> Relay:
        sink = Webhook(receiver.url, PasswordFile(secret))
        soon = Backoff(0.01, maximum=0.05)
        return Relay(place, sink, name="me", position=0, backoff=soon, interval=0.02)

    return make
