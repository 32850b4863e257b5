# SPDX-License-Identifier: BSD-3-Clause
"""RabbitMQ, on a real broker: the contract, and what RabbitMQ may answer.

A broker takes seconds to start.  So there are few tests, which share one.
"""

from __future__ import annotations

import unittest
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from syncrepl_client.sinks import Answer, Message, Outcome, Sink
from syncrepl_client.testing.certificates import make_certificates
from syncrepl_client.testing.sinks import SinkContract
from tests.conftest import missing_servers_skip
from tests.servers.certificates import Certificates
from tests.servers.missing import needs_all
from tests.servers.muffler import Muffler
from tests.servers.rabbitmq import LARGEST, RabbitMQ
from tests.unit.sinks.sinks import messages_of

if TYPE_CHECKING:
    from syncrepl_client.sinks import RabbitMQ as RabbitMQSink

pytestmark = needs_all("rabbitmq")
NAMES = (f"queue-{number}" for number in count())
PATIENT, IMPATIENT = 120.0, 0.3


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    with missing_servers_skip():
        return make_certificates(tmp_path_factory.mktemp("rabbitmq"))


@pytest.fixture(scope="module")
def server(files: Certificates) -> Iterator[RabbitMQ]:
    with missing_servers_skip(), RabbitMQ(files) as server:
        yield server


@pytest.fixture
def messages(tmp_path: Path) -> list[Message]:
    return messages_of(tmp_path)


def make(url: str, **options: Any) -> RabbitMQSink:
    from syncrepl_client.sinks import RabbitMQ as RabbitMQSink

    options.setdefault("timeout", PATIENT)
    return RabbitMQSink(url, **options)


def outcomes(answers: Sequence[Answer]) -> set[Outcome]:
    return {answer.outcome for answer in answers}


class Contract(SinkContract):
    def __init__(self, server: RabbitMQ, proxy: Muffler, queue: str) -> None:
        self.server, self.proxy, self.queue = server, proxy, queue
        server.declare(queue)

    def make_sink(self) -> Sink:
        return make(f"amqp://127.0.0.1:{self.proxy.port}", routing_key=self.queue)

    def received(self) -> Sequence[str]:
        return [properties.message_id for properties, _ in self.server.browse(self.queue)]

    def set_away(self, away: bool) -> None:
        self.proxy.away = away

    def set_unconfirmed(self, unconfirmed: bool) -> None:
        self.proxy.muffled = unconfirmed


def test_the_contract(server: RabbitMQ) -> None:
    run = []
    for name in dir(SinkContract):
        if name.startswith("test_"):
            with Muffler(server.port) as proxy:
                contract = Contract(server, proxy, next(NAMES))
                try:
                    getattr(contract, name)()
                except unittest.SkipTest:
                    assert name == "test_a_refused_message_does_not_hold_others_up"
                else:
                    run.append(name)
    assert len(run) >= 8


def test_what_rabbitmq_answers(
    server: RabbitMQ, messages: list[Message], files: Certificates
) -> None:
    what_is_sent(server, next(NAMES), messages)
    what_is_too_large(server, next(NAMES), messages)
    what_is_unroutable(server, next(NAMES), messages)
    what_gets_a_nack(server, next(NAMES), messages)
    what_has_no_exchange(server, next(NAMES), messages)
    who_is_not_let_in(server, messages)
    who_is_not_trusted(server, next(NAMES), messages, files)
    a_frozen_broker(server, next(NAMES), messages)


def what_is_sent(server: RabbitMQ, queue: str, messages: list[Message]) -> None:
    with make(server.url, exchange=f"x-{queue}", routing_key="{kind}.{key}", declare="topic",
              mandatory=False) as sink:  # fmt: skip
        assert outcomes(sink.deliver(messages[:1])) == {Outcome.ACCEPTED}  # no queue is bound
        server.declare(queue, exchange=f"x-{queue}", routing_key=f"add.{messages[2].key}")
        sink.deliver(messages)
    ((properties, body),) = server.browse(queue)
    message = messages[2]
    assert (properties.message_id, body) == (message.id, message.body)
    assert properties.content_type == "application/cloudevents+json; charset=utf-8"
    assert properties.delivery_mode == 2
    assert properties.headers == {"key": message.key}
    assert properties.type == "io.readthedocs.syncrepl-client.add"
    assert properties.timestamp == int(message.event.time)


def what_is_too_large(server: RabbitMQ, queue: str, messages: list[Message]) -> None:
    server.declare(queue)
    large = messages[1]._replace(body=b"x" * (LARGEST + 1))
    with make(server.url, routing_key=queue) as sink:
        answers = sink.deliver([messages[0], large, *messages[2:]])
        assert answers[1] == Answer.refused(
            f"RabbitMQ does not take messages of {LARGEST + 1} octets"
        )
        assert Outcome.REFUSED not in outcomes([answers[0], *answers[2:]])
        assert outcomes(sink.deliver([messages[0], *messages[2:]])) == {Outcome.ACCEPTED}
    assert large.id not in {properties.message_id for properties, _ in server.browse(queue)}


def what_is_unroutable(server: RabbitMQ, queue: str, messages: list[Message]) -> None:
    with make(server.url, routing_key=queue) as sink:
        answers = sink.deliver(messages)
        assert answers == [Answer.failed(
            f"NO_ROUTE: no queue gets routing key {queue!r} of exchange ''")] * 4  # fmt: skip
        server.declare(queue)
        assert outcomes(sink.deliver(messages)) == {Outcome.ACCEPTED}
    assert len(server.browse(queue)) == 4


def what_gets_a_nack(server: RabbitMQ, queue: str, messages: list[Message]) -> None:
    server.declare(queue, {"x-max-length": 2, "x-overflow": "reject-publish"})
    with make(server.url, routing_key=queue) as sink:
        answers = sink.deliver(messages)
        full = Answer.failed("the broker did not take it (nack)")
        assert answers == [Answer.accepted()] * 2 + [full] * 2
        assert sink.deliver(messages[2:]) == [full] * 2
        server.purge(queue)
        assert outcomes(sink.deliver(messages[2:])) == {Outcome.ACCEPTED}


def what_has_no_exchange(server: RabbitMQ, queue: str, messages: list[Message]) -> None:
    with make(server.url, exchange=f"x-{queue}", routing_key=queue) as sink:
        answers = sink.deliver(messages)
        assert outcomes(answers) == {Outcome.FAILED}
        assert f"no exchange 'x-{queue}'" in answers[0].reason
        with make(server.url, exchange=f"x-{queue}", routing_key=queue, declare="fanout") as other:
            assert outcomes(other.deliver(messages)) == {Outcome.FAILED}  # no queue
        server.declare(queue, exchange=f"x-{queue}")
        assert outcomes(sink.deliver(messages)) == {Outcome.ACCEPTED}
    with make(server.url, exchange=f"x-{queue}", routing_key=queue, declare="topic") as other:
        assert "inequivalent arg 'type'" in other.deliver(messages)[0].reason


def who_is_not_let_in(server: RabbitMQ, messages: list[Message]) -> None:
    with make(f"{server.url}/elsewhere", routing_key="x") as sink:
        (answer, *_) = sink.deliver(messages)
        assert answer.outcome is Outcome.FAILED
        assert "vhost" in answer.reason or "elsewhere" in answer.reason
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RABBITMQ_SECRET", "hunter2")
        from syncrepl_client import PasswordVariable

        url = server.url.replace("//", "//relay@")
        with make(url, routing_key="x", password=PasswordVariable("RABBITMQ_SECRET")) as sink:
            (answer, *_) = sink.deliver(messages)
            assert answer.outcome is Outcome.FAILED
            assert "ACCESS_REFUSED" in answer.reason
            assert "hunter2" not in f"{answer} {sink!r}"
            patch.delenv("RABBITMQ_SECRET")
            assert "RABBITMQ_SECRET" in sink.deliver(messages)[0].reason


def who_is_not_trusted(
    server: RabbitMQ, queue: str, messages: list[Message], files: Certificates
) -> None:
    server.declare(queue)
    ca = str(files.ca_file)
    for host, cacert, outcome, reason in (
        ("localhost", None, Outcome.FAILED, "certificate verify failed"),
        ("127.0.0.2", ca, Outcome.FAILED, "certificate is not valid for '127.0.0.2'"),
        ("localhost", ca, Outcome.ACCEPTED, ""),
        ("127.0.0.3:1,localhost", ca, Outcome.ACCEPTED, ""),
    ):
        url = f"amqps://{host}:{server.tls_port}"
        with make(url, routing_key=queue, cacert=cacert) as sink:
            answers = sink.deliver(messages)
        assert outcomes(answers) == {outcome}
        assert reason in answers[0].reason


def a_frozen_broker(server: RabbitMQ, queue: str, messages: list[Message]) -> None:
    server.declare(queue)
    with make(server.url, routing_key=queue) as sink:
        assert outcomes(sink.deliver(messages[:1])) == {Outcome.ACCEPTED}
        server.pause()
        try:
            sink._timeout = IMPATIENT
            for expected in ("no confirm within", "imeout"):
                answers = sink.deliver(messages)
                assert outcomes(answers) == {Outcome.FAILED}
                assert expected in answers[0].reason
        finally:
            server.resume()
        sink._timeout = PATIENT
        assert outcomes(sink.deliver(messages)) == {Outcome.ACCEPTED}
    received = {properties.message_id for properties, _ in server.browse(queue)}
    assert received == {message.id for message in messages}


def test_a_restart(server: RabbitMQ, messages: list[Message]) -> None:
    queue = next(NAMES)
    server.declare(queue)
    with make(server.url, routing_key=queue) as sink:
        assert outcomes(sink.deliver(messages[:2])) == {Outcome.ACCEPTED}
        server.kill()
        assert outcomes(sink.deliver(messages)) == {Outcome.FAILED}
        server.start()
        assert outcomes(sink.deliver(messages[2:])) == {Outcome.ACCEPTED}
    assert [properties.message_id for properties, _ in server.browse(queue)] == [
        message.id for message in messages
    ]
