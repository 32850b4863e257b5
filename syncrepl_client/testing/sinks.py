# SPDX-License-Identifier: BSD-3-Clause
"""What every sink has to do, as tests: for sinks of your own."""

import tempfile
import unittest
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Callable

from ..callbacks import BaseCallback
from ..changelog.policy import Changelog
from ..sinks import Answer, Message, Outcome, Relay, Sink, cloudevents
from ..waiting.backoff import Backoff
from .feed import Feed

SOURCE = "ldap:///dc=feed"
_BASE = "dc=feed"
_MANY = 12


class SinkContract:
    """Tests of a sink.  Subclass it in a test module, as ``TestMySink``, for pytest to run them.

    Each test calls :meth:`make_sink` first, in an empty other system.  Override it and
    :meth:`received`, and the other three as far as the other system can be made to do that; else
    their tests are skipped.
    """

    # --- the other system

    def make_sink(self) -> Sink:
        """Return a new sink, which is not open."""
        raise NotImplementedError

    def received(self) -> Sequence[str]:
        """Return the ids of the messages in the other system, in the order in which they came."""
        raise NotImplementedError

    def refuse(self, key: str) -> None:
        """Let the other system refuse the messages of that entry for good."""
        raise unittest.SkipTest("the other system refuses nothing")

    def set_away(self, away: bool) -> None:
        """Take the other system down, or let it come back with what it has."""
        raise unittest.SkipTest("the other system can't be away")

    def set_unconfirmed(self, unconfirmed: bool) -> None:
        """Let the other system confirm nothing, whether it takes the messages or not."""
        raise unittest.SkipTest("the other system confirms everything")

    # --- the tests

    def test_what_is_accepted_is_there(self) -> None:
        """It has the messages that it answers for, and no others."""
        messages = _messages()
        with self.make_sink() as sink:
            _expect(sink, messages, Outcome.ACCEPTED)
            _require(sorted(self.received()) == _ids(messages), "each message came once")

    def test_nothing_to_deliver(self) -> None:
        """It has no answers to no messages."""
        with self.make_sink() as sink:
            _require(list(sink.deliver([])) == [], "no answers")
            _require(not self.received(), "nothing came")

    def test_an_id_stays_the_same(self) -> None:
        """A message that is sent again is recognized as the same."""
        messages = _messages()
        with self.make_sink() as sink:
            _expect(sink, messages, Outcome.ACCEPTED)
            _expect(sink, messages, Outcome.ACCEPTED)
            _require(set(self.received()) == set(_ids(messages)), "no message has another id")

    def test_one_sink_after_the_other(self) -> None:
        """What one has delivered stays when it is closed, and another one goes on."""
        first, second = _messages(), _messages()
        for messages in (first, second):
            with self.make_sink() as sink:
                _expect(sink, messages, Outcome.ACCEPTED)
            sink.close()  # once more: after an error the relay may have to
        _require(set(_ids(second)) <= set(self.received()), "the second goes on")

    def test_a_refused_message_does_not_hold_others_up(self) -> None:
        """What is refused for good is told from what failed."""
        messages = _messages()
        with self.make_sink() as sink:
            self.refuse(messages[1].key)
            for _ in range(2):
                outcomes = [answer.outcome for answer in _deliver(sink, messages)]
                expected = [Outcome.ACCEPTED] * len(messages)
                expected[1] = Outcome.REFUSED
                _require(outcomes == expected, f"the second is refused, not {outcomes}")
            _require(messages[1].id not in self.received(), "what is refused is not there")

    def test_the_other_system_is_away(self) -> None:
        """Nothing is accepted while it is away, and all is when it is back."""
        first, later = _messages(), _messages()
        with self.make_sink() as sink:
            _expect(sink, first, Outcome.ACCEPTED)
            with _while(self.set_away):
                _expect(sink, later, Outcome.FAILED)
            _expect(sink, later, Outcome.ACCEPTED)
            _require(set(_ids(later)) <= set(self.received()), "what failed came later")

    def test_it_is_away_at_first(self) -> None:
        """A sink can be opened while the other system is away."""
        messages = _messages()
        with closing(self.make_sink()) as sink:
            with _while(self.set_away):
                sink.open()
                _expect(sink, messages, Outcome.FAILED)
            _expect(sink, messages, Outcome.ACCEPTED)

    def test_what_is_not_confirmed_is_not_accepted(self) -> None:
        """That a message was sent means nothing."""
        messages = _messages()
        with self.make_sink() as sink:
            with _while(self.set_unconfirmed):
                _expect(sink, messages, Outcome.FAILED)
            _expect(sink, messages, Outcome.ACCEPTED)

    def test_the_order_of_an_entry(self) -> None:
        """A relay delivers the changes of each entry in order."""
        sink = self.make_sink()
        with _feed() as (feed, data_path):
            names = [_name(number) for number in range(_MANY)]
            for name in names:
                feed.add(name, {"cn": ["x"]})
            feed.refresh_done()
            for turn in range(_MANY):
                for name in names[: turn + 1]:
                    feed.modify(name, {"description": [f"{turn}"]})
            feed.delete(names[0])
            feed.commit()
            events = [event for event in feed.store.changelog.events() if event.change]
            Relay(data_path, sink, name="contract", position=0, backoff=Backoff(0.01)).run(
                once=True
            )
            received = list(self.received())
            _require(len(received) == len(events), f"{len(events)} messages, not {len(received)}")
            order = {message_id: number for number, message_id in enumerate(received)}
            by_entry: dict[object, list[int]] = {}
            for event in events:
                uuid = event.change.uuid if event.change is not None else None
                by_entry.setdefault(uuid, []).append(order[event.id.hex()])
            for numbers in by_entry.values():
                _require(numbers == sorted(numbers), "the changes of an entry come in order")
            _require(feed.store.changelog.sinks["contract"].behind == 0, "the position is stored")


# --- helpers


@contextmanager
def _while(switch: Callable[[bool], None]) -> Iterator[None]:
    """Turn *switch* on for the length of a with block."""
    switch(True)
    try:
        yield
    finally:
        switch(False)


@contextmanager
def _feed() -> Iterator[tuple[Feed, str]]:
    """Yield a feed with a log, and the data path of its store."""
    with tempfile.TemporaryDirectory(prefix="sink-") as directory:
        path, log = f"{directory}/", Changelog(initial="each")
        with Feed(BaseCallback(), store="sqlite", data_path=path, changelog=log) as feed:
            yield feed, path


def _name(number: int) -> str:
    return f"cn=Zoë {number},{_BASE}"


def _messages() -> list[Message]:
    """Return messages of different entries: text and octets, short and long ones."""
    with _feed() as (feed, _):
        for number in range(_MANY):
            values = [b"\xff\x00", b"x" * 100_000] if number == 0 else [b"short"]
            feed.add(_name(number), {"cn": ["x"], "description": values})
        feed.refresh_done()
        events = [event for event in feed.store.changelog.events() if event.change is not None]
    return [cloudevents.message(event, SOURCE) for event in events]


def _ids(messages: Collection[Message]) -> list[str]:
    return sorted(message.id for message in messages)


def _deliver(sink: Sink, messages: Sequence[Message]) -> Sequence[Answer]:
    answers = sink.deliver(messages)
    _require(len(answers) == len(messages), "an answer to each message")
    for answer in answers:
        said = bool(answer.reason) == (answer.outcome is not Outcome.ACCEPTED)
        _require(said, "a reason, unless it is accepted")
    return answers


def _expect(sink: Sink, messages: Sequence[Message], outcome: Outcome) -> None:
    outcomes = [answer.outcome for answer in _deliver(sink, messages)]
    _require(outcomes == [outcome] * len(messages), f"all are {outcome.value}, not {outcomes}")


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise AssertionError(f"expected: {what}")
