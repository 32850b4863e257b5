# SPDX-License-Identifier: BSD-3-Clause
"""Each sink keeps the contract of sinks, and the contract tells one that does not."""

from __future__ import annotations

import unittest
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from syncrepl_client import PasswordFile
from syncrepl_client.sinks import Answer, Message, Sink
from syncrepl_client.testing.sinks import SinkContract
from tests.servers.missing import needs_httpx
from tests.servers.receiver import Received, Receiver, write_secret


class Queue:
    """Another system, in memory."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.refused: set[str] = set()
        self.away = self.unconfirmed = False


class QueueSink(Sink):
    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    def deliver(self, messages: Sequence[Message]) -> Sequence[Answer]:
        return [self.put(message) for message in messages]

    def put(self, message: Message) -> Answer:
        if self.queue.away:
            return Answer.failed("away")
        if message.key in self.queue.refused:
            return Answer.refused("not that one")
        self.queue.ids.append(message.id)
        return Answer.failed("no answer") if self.queue.unconfirmed else Answer.accepted()


class TestQueue(SinkContract):
    kind: type[QueueSink] = QueueSink

    def make_sink(self) -> Sink:
        self.queue = Queue()
        return self.kind(self.queue)

    def received(self) -> Sequence[str]:
        return self.queue.ids

    def refuse(self, key: str) -> None:
        self.queue.refused.add(key)

    def set_away(self, away: bool) -> None:
        self.queue.away = away

    def set_unconfirmed(self, unconfirmed: bool) -> None:
        self.queue.unconfirmed = unconfirmed


@needs_httpx
class TestWebhook(SinkContract):
    @pytest.fixture(autouse=True)
    def other(self, tmp_path: Path) -> Iterator[None]:
        self.secret = write_secret(tmp_path / "secret")
        self.refused: set[str] = set()
        self.unconfirmed = False
        with Receiver() as self.receiver:
            self.receiver.reply = self.reply
            yield
        assert not self.receiver.forged

    def reply(self, request: Received) -> tuple[int, dict[str, str]] | None:
        if request.event["partitionkey"] in self.refused:
            return 422, {}
        return None if self.unconfirmed else (200, {})

    def make_sink(self) -> Sink:
        from syncrepl_client.sinks import Webhook

        return Webhook(self.receiver.url, PasswordFile(self.secret))

    def received(self) -> Sequence[str]:
        return [request.id for request in self.receiver.received]

    def refuse(self, key: str) -> None:
        self.refused.add(key)

    def set_away(self, away: bool) -> None:
        if away:
            self.receiver.stop()
        else:
            self.receiver.start()

    def set_unconfirmed(self, unconfirmed: bool) -> None:
        self.unconfirmed = unconfirmed


# --- sinks that break it


class Optimist(QueueSink):
    """Answers before it is confirmed."""

    def put(self, message: Message) -> Answer:
        super().put(message)
        return Answer.accepted()


class Forgetful(QueueSink):
    """Leaves one out, and says nothing of it."""

    def deliver(self, messages: Sequence[Message]) -> Sequence[Answer]:
        return super().deliver(messages[1:])


class Renamer(QueueSink):
    """Has ids of its own."""

    def put(self, message: Message) -> Answer:
        return super().put(message._replace(id=f"{message.id}-{len(self.queue.ids)}"))


class Impatient(QueueSink):
    """Takes what failed for refused."""

    def put(self, message: Message) -> Answer:
        answer = super().put(message)
        return Answer.refused(answer.reason) if answer.reason else answer


class Backward(QueueSink):
    """Sends what it gets at its end, the last first."""

    def deliver(self, messages: Sequence[Message]) -> Sequence[Answer]:
        self.kept = [*messages, *getattr(self, "kept", [])]
        return [Answer.accepted()] * len(messages)

    def close(self) -> None:
        for message in self.kept:
            super().put(message)


class Silent(QueueSink):
    """Does not say why."""

    def put(self, message: Message) -> Answer:
        return super().put(message)._replace(reason="")


@pytest.mark.parametrize(("kind", "test"), [
    (Optimist, "test_what_is_not_confirmed_is_not_accepted"),
    (Optimist, "test_the_other_system_is_away"),
    (Optimist, "test_it_is_away_at_first"),
    (Optimist, "test_a_refused_message_does_not_hold_others_up"),
    (Forgetful, "test_what_is_accepted_is_there"),
    (Renamer, "test_an_id_stays_the_same"),
    (Impatient, "test_the_other_system_is_away"),
    (Backward, "test_the_order_of_an_entry"),
    (Backward, "test_what_is_accepted_is_there"),
    (Silent, "test_a_refused_message_does_not_hold_others_up"),
])  # fmt: skip
def test_a_sink_that_breaks_it(kind: type[QueueSink], test: str) -> None:
    contract = TestQueue()
    contract.kind = kind
    run: Any = getattr(contract, test)
    with pytest.raises(AssertionError, match="expected"):
        run()


def test_what_another_system_cannot_do_is_skipped() -> None:
    contract = SinkContract()
    with pytest.raises(unittest.SkipTest):
        contract.refuse("x")
    with pytest.raises(unittest.SkipTest):
        contract.set_away(True)
    with pytest.raises(unittest.SkipTest):
        contract.set_unconfirmed(True)
