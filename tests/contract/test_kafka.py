# SPDX-License-Identifier: BSD-3-Clause
"""Kafka, on the mock cluster of librdkafka: the contract, and what brokers may answer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from syncrepl_client import PasswordVariable
from syncrepl_client.sinks import Answer, Message, Outcome, Sink
from syncrepl_client.testing.certificates import make_certificates
from syncrepl_client.testing.sinks import SinkContract
from tests.conftest import missing_servers_skip
from tests.patience import HANGS_SECONDS
from tests.servers.kafka import Kafka
from tests.servers.kafkatls import KafkaTLS
from tests.servers.missing import needs_all
from tests.servers.process import free_port
from tests.unit.sinks.sinks import messages_of

if TYPE_CHECKING:
    from syncrepl_client.sinks import Kafka as KafkaSink

pytestmark = needs_all("kafka")
TOPICS = (f"topic-{number}" for number in count())
PATIENT, IMPATIENT = 60.0, 0.5


@pytest.fixture(scope="module")
def server() -> Iterator[Kafka]:
    with Kafka() as server:
        yield server


@pytest.fixture
def messages(tmp_path: Path) -> list[Message]:
    return messages_of(tmp_path)


@pytest.fixture
def topic() -> str:
    return next(TOPICS)


def make(url: str, topic: str, **options: Any) -> KafkaSink:
    from syncrepl_client.sinks import Kafka as KafkaSink

    return KafkaSink(url, topic=topic, **{"timeout": PATIENT, **options})


def ids(server: Kafka, topic: str) -> list[str]:
    return [dict(record.headers())["id"].decode() for record in server.records(topic)]


def outcomes(answers: Sequence[Answer]) -> set[Outcome]:
    return {answer.outcome for answer in answers}


class TestContract(SinkContract):
    @pytest.fixture(autouse=True)
    def other(self, server: Kafka, topic: str) -> None:
        self.server, self.topic = server, topic

    def make_sink(self) -> Sink:
        self.sink = make(self.server.url, self.topic)
        return self.sink

    def received(self) -> Sequence[str]:
        return ids(self.server, self.topic)

    def set_away(self, away: bool) -> None:
        """Freeze it: what is in memory would be gone if it ended."""
        if away:
            self.server.pause()
        else:
            self.server.resume()
        self.sink._timeout = IMPATIENT if away else PATIENT

    def set_unconfirmed(self, unconfirmed: bool) -> None:
        self.set_away(unconfirmed)


def test_what_is_sent(server: Kafka, topic: str, messages: list[Message]) -> None:
    with make(server.url, f"{topic}-{{kind}}") as sink:
        assert outcomes(sink.deliver(messages)) == {Outcome.ACCEPTED}
        assert outcomes(sink.deliver(messages)) == {Outcome.ACCEPTED}
    records = server.records(f"{topic}-add")
    partitions: dict[str, set[int]] = {}
    for record in records:
        partitions.setdefault(record.key().decode(), set()).add(record.partition())
    assert all(len(numbers) == 1 for numbers in partitions.values())
    found = {record.key().decode(): record for record in records}
    assert len(records) == 2 * len(found) == 8
    for message in messages:
        record = found[message.key]
        assert record.value() == message.body
        assert dict(record.headers()) == {
            "content-type": b"application/cloudevents+json; charset=utf-8",
            "id": message.id.encode(),
        }


def test_what_is_too_large(server: Kafka, topic: str, messages: list[Message]) -> None:
    large = messages[1]._replace(body=b"x" * 10_000)
    with make(server.url, topic, longest=9_000) as sink:
        answers = sink.deliver([messages[0], large, *messages[2:]])
        assert answers[1].outcome is Outcome.REFUSED
        assert "too large" in answers[1].reason
        assert outcomes([answers[0], *answers[2:]]) == {Outcome.ACCEPTED}
    assert large.id not in ids(server, topic)


@pytest.mark.parametrize(("name", "outcome"), [
    ("MSG_SIZE_TOO_LARGE", Outcome.REFUSED),
    ("INVALID_RECORD", Outcome.REFUSED),
    ("TOPIC_AUTHORIZATION_FAILED", Outcome.FAILED),
    ("NOT_ENOUGH_REPLICAS", Outcome.FAILED),
    ("_MSG_TIMED_OUT", Outcome.FAILED),
])  # fmt: skip
def test_what_an_error_means(name: str, outcome: Outcome) -> None:
    from confluent_kafka import KafkaError

    answer = make("kafka://localhost", "t")._answer(KafkaError(getattr(KafkaError, name)))
    assert answer.outcome is outcome
    assert answer.reason


def test_a_fatal_error(server: Kafka, topic: str, messages: list[Message]) -> None:
    """The producer of then can't be used any more; the next one can."""
    from confluent_kafka import KafkaError, KafkaException

    class Broken:
        def produce(self, *_: object, **__: object) -> None:
            raise KafkaException(KafkaError(KafkaError._FATAL, "fenced", True))

        def purge(self) -> None:
            self.is_purged = True

        def flush(self, timeout: float) -> None:
            assert self.is_purged

        def poll(self, timeout: float) -> None:
            raise AssertionError("nothing to wait for")

    with make(server.url, topic) as sink:
        broken: Any = Broken()
        sink._producer = broken
        assert outcomes(sink.deliver(messages)) == {Outcome.FAILED}
        assert broken.is_purged
        assert outcomes(sink.deliver(messages)) == {Outcome.ACCEPTED}
    assert len(ids(server, topic)) == 4


def test_brokers_that_end(topic: str, messages: list[Message]) -> None:
    with Kafka() as server, make(server.url, topic) as sink:
        assert outcomes(sink.deliver(messages)) == {Outcome.ACCEPTED}
        server.kill()
        sink._timeout = IMPATIENT
        for _ in range(2):
            answers = sink.deliver(messages)
            assert outcomes(answers) == {Outcome.FAILED}
        assert "refused" in answers[0].reason or "down" in answers[0].reason


def test_a_new_password_is_read(
    topic: str, messages: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_SECRET", "hunter2")
    secret = PasswordVariable("KAFKA_SECRET")
    with make("kafkas://relay@localhost:1", topic, password=secret, timeout=IMPATIENT) as sink:
        settings = sink._settings()
        assert settings["security.protocol"] == "SASL_SSL"
        assert (settings["sasl.username"], settings["sasl.password"]) == ("relay", "hunter2")
        (answer, *_) = sink.deliver(messages)
        assert answer.outcome is Outcome.FAILED
        assert "hunter2" not in f"{sink!r} {answer}"
        monkeypatch.delenv("KAFKA_SECRET")
        assert "KAFKA_SECRET" in sink.deliver(messages)[0].reason


# --- TLS and SASL, as far as the mock cluster goes


def until_said(url: str, topic: str, messages: list[Message], *texts: str, **options: Any) -> str:
    """Deliver in vain, until the reason has all *texts*; return it."""
    deadline = time.monotonic() + HANGS_SECONDS
    with make(url, topic, timeout=IMPATIENT, **options) as sink:
        while True:
            answers = sink.deliver(messages)
            assert outcomes(answers) == {Outcome.FAILED}
            reason = answers[0].reason
            if all(text in reason for text in texts):
                return reason
            assert time.monotonic() < deadline, reason


def test_tls(server: Kafka, topic: str, messages: list[Message], tmp_path: Path) -> None:
    with missing_servers_skip():
        certificates = make_certificates(tmp_path)
    ca = str(certificates.ca_file)
    with KafkaTLS(server, certificates) as proxy:
        until_said(proxy.url, topic, messages, "certificate verify failed")
        assert ids(server, topic) == []
        with make(proxy.url, topic, cacert=ca) as sink:
            assert outcomes(sink.deliver(messages)) == {Outcome.ACCEPTED}
    assert len(ids(server, topic)) == 4


def test_the_name_in_the_certificate(
    server: Kafka, topic: str, messages: list[Message], tmp_path: Path
) -> None:
    with missing_servers_skip():
        certificates = make_certificates(tmp_path, names="DNS:elsewhere.example.com")
    ca = str(certificates.ca_file)
    with KafkaTLS(server, certificates) as proxy:
        until_said(proxy.url, topic, messages, "certificate verify failed", cacert=ca)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_brokers_without_sasl(
    server: Kafka, topic: str, messages: list[Message], mechanism: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The settings reach librdkafka, which sends nothing where it can't log in."""
    monkeypatch.setenv("KAFKA_SECRET", "hunter2")
    url, secret = server.url.replace("//", "//relay@"), PasswordVariable("KAFKA_SECRET")
    said = until_said(
        url, topic, messages, "SASL", mechanism, password=secret, mechanism=mechanism
    )  # fmt: skip
    assert "hunter2" not in said
    assert ids(server, topic) == []


def test_brokers_that_know_no_tls_or_are_none(
    server: Kafka, topic: str, messages: list[Message]
) -> None:
    until_said(f"kafkas://{server.address}", topic, messages, "SSL_HANDSHAKE")
    until_said(f"kafka://127.0.0.1:{free_port()}", topic, messages, "Connection refused")
    assert ids(server, topic) == []
