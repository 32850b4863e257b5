# SPDX-License-Identifier: BSD-3-Clause
"""The relay: waves, positions, retries, and what is parked."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncrepl_client import Backoff, Changelog, Keep
from syncrepl_client.changelog import recorder
from syncrepl_client.exceptions import (
    ConfigurationError,
    StoreBusy,
    StoreError,
    StorePathError,
    UsageError,
)
from syncrepl_client.sinks import Answer, Message, Relay, relay
from syncrepl_client.testing import Feed
from tests.patience import HANGS_SECONDS
from tests.unit.sinks.sinks import Scripted, change, dn, logging_feed

SOON = Backoff(0.001, maximum=0.002)
REFUSED, FAILED, ACCEPTED = Answer.refused("no"), Answer.failed("later"), Answer.accepted()


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    with logging_feed(tmp_path) as feed:
        yield feed


def run(place: Path, sink: Scripted, **options: Any) -> None:
    """Relay everything from the start of the log, or the sink's position."""
    options = {"name": "me", "position": 0, "backoff": SOON, **options}
    Relay(place, sink, **options).run(once=True)


def poison(*seqs: int) -> Scripted:
    """A sink that refuses changes."""
    return Scripted(lambda message: REFUSED if message.event.seq in seqs else ACCEPTED)


def parked(feed: Feed) -> list[int]:
    return [row.seq for row in feed.store.changelog.sinks.parked("me")]


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [vars(record)["event"] for record in caplog.records if "event" in vars(record)]


# --- what is sent


def test_everything_once(feed: Feed, tmp_path: Path) -> None:
    change(feed, "a:1", "a:2", "b:1")
    sink = Scripted()
    run(tmp_path, sink)
    assert sink.waves == [[2, 3, 4, 5], [6, 8], [7]]  # one of an entry in each wave
    assert sink.calls == ["open", "close"]
    assert feed.store.changelog.sinks["me"].position == 8
    run(tmp_path, sink)
    assert len(sink.accepted) == 7


def test_where_a_new_sink_begins(feed: Feed, tmp_path: Path) -> None:
    sink = Scripted()
    run(tmp_path, sink, position=None)
    change(feed, "a:1")
    run(tmp_path, sink, position=None)
    assert sink.accepted == [6]
    other = Scripted()
    run(tmp_path, other, name="other", position=4)
    assert other.accepted == [5, 6]


def test_only_the_start_of_the_log(tmp_path: Path) -> None:
    with logging_feed(tmp_path, Changelog()) as feed:
        sink = Scripted()
        run(tmp_path, sink)
        assert sink.waves == []
        assert feed.store.changelog.sinks["me"].behind == 0


def test_small_waves(feed: Feed, tmp_path: Path) -> None:
    sink = Scripted()
    run(tmp_path, sink, batch=3)
    assert sink.waves == [[2, 3, 4], [5]]


def test_what_is_left_out(feed: Feed, tmp_path: Path) -> None:
    bodies: list[bytes] = []

    def reply(message: Message) -> Answer:
        bodies.append(message.body)
        return ACCEPTED

    feed.modify(dn("a"), {"mail": ["a@x"], "description": ["here"]})
    feed.commit()
    run(tmp_path, Scripted(reply), leave_out=["MAIL"], source="urn:test")
    assert b"a@x" not in b"".join(bodies)
    assert b"here" in bodies[-1]
    assert all(b'"source":"urn:test"' in body for body in bodies)


# --- what fails


def test_what_fails_is_sent_again(feed: Feed, tmp_path: Path, caplog: Any) -> None:
    change(feed, "a:1", "b:1")
    fails = iter([True] * 3)
    sink = Scripted(lambda m: FAILED if m.event.seq == 2 and next(fails, False) else ACCEPTED)
    run(tmp_path, sink)
    assert sink.waves == [[2, 3, 4, 5], [2, 7], [2], [2], [6]]
    assert feed.store.changelog.sinks["me"].behind == 0
    assert events(caplog) == ["sink-failed"] * 3
    assert "later" in caplog.records[-1].getMessage()


def test_the_position_is_before_what_failed(feed: Feed, tmp_path: Path) -> None:
    sink = Scripted(lambda m: FAILED if m.event.seq == 3 else ACCEPTED)
    stopped = Relay(tmp_path, sink, name="me", position=0, backoff=Backoff(HANGS_SECONDS))
    with stopped, sink.changed:
        assert sink.changed.wait_for(lambda: sink.waves, HANGS_SECONDS)
    assert feed.store.changelog.sinks["me"].position == 2
    after = Scripted()
    run(tmp_path, after)
    assert after.accepted == [3, 4, 5]


def test_how_long_it_waits(tmp_path: Path) -> None:
    backoff = Backoff(1.0, jitter=0.0)
    waiting = Relay(tmp_path, Scripted(), name="me", backoff=backoff)
    assert waiting._delay([FAILED], 1) == 1.0
    assert waiting._delay([FAILED], 3) == 4.0
    assert waiting._delay([FAILED, Answer.failed("busy", 90.0)], 1) == 90.0
    assert waiting._delay([Answer.failed("busy", 0.0)], 2) == 2.0
    waiting.please_finish()
    assert waiting._delay([FAILED], 3) == 1.0


def test_the_problem_of_the_last_wave(feed: Feed, tmp_path: Path) -> None:
    seen: list[str | None] = []
    fails = iter([True])

    def reply(message: Message) -> Answer:
        seen.append(sending.problem)
        return FAILED if next(fails, False) else ACCEPTED

    sending = Relay(
        tmp_path, Scripted(reply), name="me", position=0, batch=1, backoff=Backoff(0.001)
    )
    sending.run(once=True)
    assert seen[:3] == [None, FAILED.reason, None]
    assert sending.problem is None


@pytest.mark.parametrize("wrong", ["raises", "too few"])
def test_a_sink_with_a_fault(feed: Feed, tmp_path: Path, caplog: Any, wrong: str) -> None:
    class Faulty(Scripted):
        def deliver(self, messages: Any) -> Any:
            answers = super().deliver(messages)
            if len(self.waves) > 1:
                return answers
            if wrong == "raises":
                raise LookupError("a fault")
            return answers[1:]

    sink = Faulty()
    run(tmp_path, sink)
    assert sink.waves == [[2, 3, 4, 5]] * 2
    assert events(caplog) == ["sink-raised", "sink-failed"]
    assert caplog.records[0].exc_info


# --- what is refused


def test_what_is_refused_is_parked(feed: Feed, tmp_path: Path, caplog: Any) -> None:
    change(feed, "a:1", "b:1", "a:2")
    sink = poison(2)
    run(tmp_path, sink)
    assert sink.accepted == [3, 4, 5, 7]
    found = feed.store.changelog.sinks.parked("me")
    assert [(row.seq, row.reason) for row in found] == [
        (2, "no"),
        (6, "waits for 2"),
        (8, "waits for 2"),
    ]
    assert feed.store.changelog.sinks["me"].position == 8
    assert events(caplog) == ["parked"]
    change(feed, "a:3", "b:2")
    run(tmp_path, sink)
    assert sink.accepted == [3, 4, 5, 7, 10]
    assert parked(feed) == [2, 6, 8, 9]


def test_what_is_released_comes_in_order(feed: Feed, tmp_path: Path) -> None:
    change(feed, "a:1", "b:1", "a:2")
    run(tmp_path, poison(2, 3))
    sinks = feed.store.changelog.sinks
    (row, *_) = sinks.parked("me")
    sinks.release("me", uuid=row.uuid)
    change(feed, "a:3")  # comes behind those that are released
    sink = Scripted()
    run(tmp_path, sink)
    assert sink.accepted == [2, 6, 8, 9]
    assert parked(feed) == [3, 7]
    change(feed, "a:4")
    run(tmp_path, sink)
    assert sink.accepted[-1] == 10


def test_what_is_refused_again(feed: Feed, tmp_path: Path) -> None:
    change(feed, "a:1", "a:2")
    run(tmp_path, poison(2))
    sinks = feed.store.changelog.sinks
    sinks.release("me")
    sink = poison(6)
    run(tmp_path, sink)
    assert sink.accepted == [2]
    found = sinks.parked("me")
    assert [(row.seq, row.reason, row.released) for row in found] == [
        (6, "no", False),
        (7, "waits for 2", False),
    ]


def test_what_is_released_may_fail(feed: Feed, tmp_path: Path) -> None:
    run(tmp_path, poison(2))
    feed.store.changelog.sinks.release("me")
    fails = iter([True] * 2)
    sink = Scripted(lambda _: FAILED if next(fails, False) else ACCEPTED)
    run(tmp_path, sink)
    assert sink.waves == [[2]] * 3
    assert parked(feed) == []


def test_what_is_dropped_never_comes(feed: Feed, tmp_path: Path) -> None:
    change(feed, "a:1", "a:2")
    run(tmp_path, poison(2))
    sinks = feed.store.changelog.sinks
    sinks.drop("me", seq=2)
    sinks.release("me")
    sink = Scripted()
    run(tmp_path, sink)
    assert sink.accepted == [6, 7]
    assert parked(feed) == []


def test_dropped_while_it_is_refused_again(feed: Feed, tmp_path: Path) -> None:
    run(tmp_path, poison(2))
    sinks = feed.store.changelog.sinks
    sinks.release("me")

    def reply(message: Message) -> Answer:
        sinks.drop("me")
        return REFUSED

    run(tmp_path, Scripted(reply))
    assert parked(feed) == []


def test_parked_before_the_position_was_stored(feed: Feed, tmp_path: Path) -> None:
    change(feed, "b:1")
    sink = Scripted(lambda m: {2: FAILED, 3: REFUSED}.get(m.event.seq, ACCEPTED))
    stopped = Relay(tmp_path, sink, name="me", position=0, backoff=Backoff(HANGS_SECONDS))
    with stopped, sink.changed:
        assert sink.changed.wait_for(lambda: sink.waves, HANGS_SECONDS)
    assert feed.store.changelog.sinks["me"].position == 1
    after = Scripted()
    run(tmp_path, after)
    assert after.accepted == [2, 4, 5]
    found = feed.store.changelog.sinks.parked("me")
    assert [(row.seq, row.reason) for row in found] == [(3, "no"), (6, "waits for 3")]


def test_a_sink_that_refuses_everything(feed: Feed, tmp_path: Path, caplog: Any) -> None:
    change(feed, "a:1", "b:1", "c:1")
    sink = Scripted(lambda m: REFUSED if len(sink.waves) < 4 else ACCEPTED)
    run(tmp_path, sink, max_parked=2)
    assert parked(feed) == [2, 3]
    assert sink.accepted == [4, 5, 8]  # those of a and b wait in the log
    assert feed.store.changelog.sinks["me"].position == 5
    assert events(caplog).count("sink-full") == 1
    assert events(caplog).count("parked") == 2
    feed.store.changelog.sinks.release("me")
    after = Scripted()
    run(tmp_path, after)
    assert sorted(after.accepted) == [2, 3, 6, 7, 8]
    assert after.accepted.index(2) < after.accepted.index(6)


# --- changes that the log does not have


@pytest.fixture
def trims_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "_TRIM_EVERY", 1)


@pytest.mark.usefixtures("trims_often")
def test_changes_that_are_lost(tmp_path: Path, caplog: Any) -> None:
    few = Changelog(Keep(changes=2), for_sinks=Keep(changes=2), initial="each")
    with logging_feed(tmp_path, few) as feed:
        feed.store.changelog.sinks.add("me", 0)
        feed.store.changelog.sinks.park("me", 2, feed.store.changelog.events()[0].id, "no")
        feed.store.changelog.sinks.release("me")
        change(feed, "a:1", "b:1", "c:1")
        change(feed, "d:1")
        caplog.clear()
        sink = Scripted()
        run(tmp_path, sink)
        kept = [event.seq for event in feed.store.changelog.events()]
        assert sink.accepted == kept
        assert parked(feed) == []
    assert events(caplog) == ["sink-lost-changes"] * 2
    assert f"lost {kept[0] - 1} changes" in caplog.text


def test_a_sink_that_is_removed(feed: Feed, tmp_path: Path) -> None:
    def reply(message: Message) -> Answer:
        if "me" in feed.store.changelog.sinks:
            feed.store.changelog.sinks.remove("me")
        return ACCEPTED

    with pytest.raises(UsageError, match="removed"):
        run(tmp_path, Scripted(reply))


# --- in a thread


def test_in_a_thread(feed: Feed, tmp_path: Path, caplog: Any) -> None:
    caplog.set_level(logging.INFO)
    sink = Scripted()
    with Relay(tmp_path, sink, name="me", position=0, interval=0.01), sink.changed:
        assert sink.changed.wait_for(lambda: len(sink.accepted) == 4, HANGS_SECONDS)
        change(feed, "a:1")
        assert sink.changed.wait_for(lambda: len(sink.accepted) == 5, HANGS_SECONDS)
    assert sink.calls == ["open", "close"]
    assert feed.store.changelog.sinks["me"].behind == 0
    assert events(caplog) == ["relay-started"]


def test_a_stop_lets_the_wave_end(feed: Feed, tmp_path: Path) -> None:
    change(feed, "a:1")

    def reply(message: Message) -> Answer:
        stopped.please_stop()
        return ACCEPTED

    sink = Scripted(reply)
    stopped = Relay(tmp_path, sink, name="me", position=0)
    stopped.run()
    assert sink.waves == [[2, 3, 4, 5]]
    assert feed.store.changelog.sinks["me"].position == 5


def test_a_stop_ends_a_wait(feed: Feed, tmp_path: Path) -> None:
    sink = Scripted(lambda _: FAILED)
    stopped = Relay(tmp_path, sink, name="me", position=0, backoff=Backoff(HANGS_SECONDS * 9))
    thread = threading.Thread(target=stopped.run)
    thread.start()
    with sink.changed:
        assert sink.changed.wait_for(lambda: sink.waves, HANGS_SECONDS)
    stopped.please_stop()
    thread.join(HANGS_SECONDS)
    assert not thread.is_alive()
    stopped.please_stop()
    stopped.run()  # it was stopped
    assert len(sink.waves) == 1


def test_an_error_in_the_thread(feed: Feed, tmp_path: Path, caplog: Any) -> None:
    sink = Scripted()
    failing = Relay(tmp_path, sink, name="me", position=0, interval=0.01)
    failing.__enter__()
    break_the_log(feed, failing)
    assert events(caplog) == ["relay-failed"]
    with pytest.raises(StoreError, match="syncrepl_parked"):
        failing.__exit__(None, None, None)
    assert sink.calls == ["open", "close"]


def test_an_error_in_the_block_comes_first(feed: Feed, tmp_path: Path) -> None:
    failing = Relay(tmp_path, Scripted(), name="me", position=0, interval=0.01)

    def block() -> None:
        with failing:
            break_the_log(feed, failing)
            raise LookupError

    with pytest.raises(LookupError):
        block()


def break_the_log(feed: Feed, failing: Relay) -> None:
    feed.store.connection.execute("DROP TABLE syncrepl_parked")
    assert failing._thread is not None
    failing._thread.join(HANGS_SECONDS)


# --- the store


def test_the_client_is_in_a_transaction(
    feed: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "_PATIENCE", 0.001)
    sink = Scripted()

    def reply(message: Message) -> Answer:
        if not feed.store.in_transaction:
            feed.modify(dn("b"), {"description": ["open"]})
        return ACCEPTED

    sink.reply = reply
    waiting = Relay(tmp_path, sink, name="me", position=0)
    feed.store.changelog.sinks.add("me", 0)
    with pytest.raises(StoreBusy), waiting, sink.changed:
        assert sink.changed.wait_for(lambda: sink.waves, HANGS_SECONDS)
    feed.commit()
    sink.reply = lambda _: ACCEPTED
    run(tmp_path, sink)
    assert sink.accepted == [2, 3, 4, 5, 2, 3, 4, 5, 6]  # what was not committed comes again


def test_one_relay_for_a_sink(feed: Feed, tmp_path: Path) -> None:
    with Relay(tmp_path, Scripted(), name="me"):
        with pytest.raises(UsageError, match="another relay"):
            run(tmp_path, Scripted())
        run(tmp_path, Scripted(), name="other")
    run(tmp_path, Scripted())


def test_no_store_and_no_log(tmp_path: Path) -> None:
    with pytest.raises(StorePathError):
        run(tmp_path, Scripted())
    with Feed(None, store="sqlite", data_path=f"{tmp_path}/") as feed:
        feed.refresh_done()
        with pytest.raises(UsageError, match="no log"):
            run(tmp_path, Scripted())
    assert not list(tmp_path.glob("*.relay"))


@pytest.mark.parametrize("wrong", [
    {"sink": object()}, {"name": ""}, {"name": "a/b"}, {"name": None}, {"position": -1},
    {"position": "0"}, {"batch": 0}, {"max_parked": True}, {"interval": 0.0}, {"source": "a b"},
    {"source": ""}, {"source": "ü"}, {"leave_out": "mail"}, {"data_path": 1},
    {"lease": 1}, {"lease": 5},
])  # fmt: skip
def test_arguments(tmp_path: Path, wrong: dict[str, Any]) -> None:
    right: dict[str, Any] = {"data_path": tmp_path, "sink": Scripted(), "name": "me"}
    assert "me" in repr(Relay(**right))
    with pytest.raises(ConfigurationError):
        Relay(**{**right, **wrong})


def test_an_end_with_all_that_there_is(feed: Feed, tmp_path: Path) -> None:
    """What has failed is sent again soon: there is no time for a long delay."""
    fails = iter([True])
    sink = Scripted(lambda m: FAILED if m.event.seq == 3 and next(fails, False) else ACCEPTED)
    finishing = Relay(tmp_path, sink, name="me", position=0, backoff=Backoff(HANGS_SECONDS))
    with sink.changed:
        thread = threading.Thread(target=finishing.run)
        thread.start()
        assert sink.changed.wait_for(lambda: sink.waves, HANGS_SECONDS)
    finishing.please_finish()
    thread.join(HANGS_SECONDS)
    assert not thread.is_alive()
    assert sorted(sink.accepted) == [2, 3, 4, 5]
    before = Relay(tmp_path, sink, name="me")
    before.please_finish()
    before.run()
    assert feed.store.changelog.sinks["me"].behind == 0
