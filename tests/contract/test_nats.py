# SPDX-License-Identifier: BSD-3-Clause
"""NATS JetStream, on a real server: the contract, and what NATS may answer."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from syncrepl_client import PasswordFile
from syncrepl_client.exceptions import ConfigurationError
from syncrepl_client.sinks import Answer, Message, Outcome, Sink
from syncrepl_client.testing.certificates import make_certificates
from syncrepl_client.testing.sinks import SinkContract
from tests.conftest import missing_servers_skip
from tests.servers.middle import Listener
from tests.servers.missing import needs_all
from tests.servers.muffler import Muffler
from tests.servers.nats import LARGEST, NATS
from tests.unit.sinks.sinks import messages_of

if TYPE_CHECKING:
    from syncrepl_client.sinks import JetStream

pytestmark = needs_all("nats")
STREAMS = (f"stream-{number}" for number in count())
PATIENT, IMPATIENT = 60.0, 0.3


@pytest.fixture(scope="module")
def server() -> Iterator[NATS]:
    with missing_servers_skip(), NATS() as server:
        yield server


@pytest.fixture
def messages(tmp_path: Path) -> list[Message]:
    return messages_of(tmp_path)


@pytest.fixture
def stream(server: NATS) -> str:
    name = next(STREAMS)
    server.add_stream(name, [f"{name}.*"])
    return name


def make(server: NATS, name: str, **options: Any) -> JetStream:
    from syncrepl_client.sinks import JetStream

    options = {"timeout": PATIENT, "subject": f"{name}.x", **options}
    return JetStream(options.pop("url", server.url), **options)


def ids(server: NATS, stream: str) -> list[str]:
    return [message.headers["Nats-Msg-Id"] for message in server.messages(stream)]


def outcomes(answers: Sequence[Answer]) -> set[Outcome]:
    return {answer.outcome for answer in answers}


class TestContract(SinkContract):
    @pytest.fixture(autouse=True)
    def other(self, server: NATS, stream: str) -> Iterator[None]:
        self.server, self.stream = server, stream
        self.small = f"{stream}-small"
        server.add_stream(self.small, [f"{stream}.small.*"], max_msg_size=1)
        with Muffler(server.port) as self.proxy:
            yield

    def make_sink(self) -> Sink:
        url = f"nats://127.0.0.1:{self.proxy.port}"
        return make(self.server, self.stream, url=url, subject=f"{self.stream}.{{key}}")

    def received(self) -> Sequence[str]:
        return ids(self.server, self.stream) + ids(self.server, self.small)

    def refuse(self, key: str) -> None:
        others = [str(UUID(int=number)) for number in range(1, 100)]
        others.remove(key)
        self.server.update_stream(self.stream, [f"{self.stream}.{each}" for each in others])
        self.server.update_stream(self.small, [f"{self.stream}.{key}"], max_msg_size=1)

    def set_away(self, away: bool) -> None:
        if away:
            self.server.stop()
        else:
            self.server.start()

    def set_unconfirmed(self, unconfirmed: bool) -> None:
        self.proxy.muffled = unconfirmed


def test_what_is_sent(server: NATS, stream: str, messages: list[Message]) -> None:
    with make(server, stream, subject=f"{stream}.{{kind}}-{{key}}", stream=stream) as sink:
        sink.deliver(messages)
        sink.deliver(messages[::-1])
    found = {each.headers["Nats-Msg-Id"]: each for each in server.messages(stream)}
    assert len(found) == len(server.messages(stream)) == 4
    for message in messages:
        assert found[message.id].data == message.body
        assert found[message.id].subject == f"{stream}.add-{message.key}"
        assert found[message.id].headers["content-type"] == (
            "application/cloudevents+json; charset=utf-8"
        )


def test_what_is_too_large(server: NATS, stream: str, messages: list[Message]) -> None:
    """Larger than the server takes, than the stream takes; and the largest that is taken."""
    small = next(STREAMS)
    server.add_stream(small, [f"{small}.x"], max_msg_size=100_000)
    for name, limit, margin in ((stream, LARGEST, 2_000), (small, 100_000, 1_000)):
        with make(server, name) as sink:
            fitting = limit - margin
            for size in range(limit - margin, limit + 500, 100):
                message = messages[1]._replace(id=f"{size}", body=b"x" * size)
                first, second, third = sink.deliver([messages[0], message, messages[2]])
                assert first.outcome is third.outcome is Outcome.ACCEPTED
                assert second.outcome is not Outcome.FAILED
                if second.outcome is Outcome.ACCEPTED:
                    assert fitting <= size
                    fitting = size
                else:
                    assert "more than" in second.reason or "maximum" in second.reason
            assert limit - margin < fitting < limit
        assert str(fitting) in ids(server, name)


def test_no_stream(server: NATS, messages: list[Message]) -> None:
    name = next(STREAMS)
    with make(server, name) as sink:
        assert (
            sink.deliver(messages) == [Answer.failed(f"no stream has the subject '{name}.x'")] * 4
        )
        server.add_stream(name, [f"{name}.*"])
        assert outcomes(sink.deliver(messages)) == {Outcome.ACCEPTED}
    with make(server, name, stream="another") as sink:
        (answer, *_) = sink.deliver(messages)
    assert answer.outcome is Outcome.FAILED
    assert "expected stream does not match" in answer.reason


def test_a_full_stream(server: NATS, messages: list[Message]) -> None:
    name = next(STREAMS)
    server.add_stream(name, [f"{name}.*"], max_msgs=2, discard="new")
    with make(server, name) as sink:
        answers = sink.deliver(messages)
        assert sorted(answer.outcome.value for answer in answers) == [
            *["accepted"] * 2,
            *["failed"] * 2,
        ]
        assert "maximum messages exceeded" in "".join(answer.reason for answer in answers)


def test_frozen(server: NATS, stream: str, messages: list[Message]) -> None:
    large = [each._replace(id=f"{number}-{each.id}", body=b"x" * 150_000)
             for number in range(25) for each in messages]  # fmt: skip
    with make(server, stream) as sink:
        assert outcomes(sink.deliver(messages[:1])) == {Outcome.ACCEPTED}
        sink._timeout = IMPATIENT
        server.pause()
        try:
            for wave in (large, messages):
                answers = sink.deliver(wave)
                assert outcomes(answers) == {Outcome.FAILED}
                assert answers[0].reason == "no answer in time"
        finally:
            server.resume()
        sink._timeout = PATIENT
        assert outcomes(sink.deliver([*messages, *large])) == {Outcome.ACCEPTED}
    assert sorted(ids(server, stream)) == sorted(each.id for each in [*messages, *large])


def test_killed(server: NATS, stream: str, messages: list[Message]) -> None:
    with make(server, stream) as sink:
        assert outcomes(sink.deliver(messages[:2])) == {Outcome.ACCEPTED}
        server.kill()
        assert outcomes(sink.deliver(messages)) == {Outcome.FAILED}
        server.start()
        assert outcomes(sink.deliver(messages)) == {Outcome.ACCEPTED}
    assert sorted(ids(server, stream)) == sorted(each.id for each in messages)


def test_tls_and_a_password(
    messages: list[Message], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    password = tmp_path / "password"
    password.write_text("hunter2\n")
    password.chmod(0o600)
    with missing_servers_skip():
        files = make_certificates(tmp_path)
        options = [f'tls {{ cert_file: "{files.cert_file}", key_file: "{files.key_file}" }}',
                   'authorization { user: "relay", password: "hunter2" }']  # fmt: skip
        server = NATS(options, "tls")
    with server:
        trusting = ssl.create_default_context(cafile=str(files.ca_file))
        server.run(
            lambda jetstream: jetstream.add_stream(name="s", subjects=["s.x"]),
            user="relay", password="hunter2", tls=trusting,
        )  # fmt: skip
        secret, ca = PasswordFile(password), str(files.ca_file)
        found = []
        for url, cacert in (
            (f"tls://relay@localhost:{server.port}", None),
            (f"tls://relay@127.0.0.1:{server.port}", ca),
            (f"tls://relay@localhost:1,localhost:{server.port}", ca),
            (f"tls://other@localhost:{server.port}", ca),
        ):
            with make(server, "s", url=url, password=secret, cacert=cacert) as sink:
                answers = sink.deliver(messages)
                assert len(outcomes(answers)) == 1
                found.append(answers[0])
                assert "hunter2" not in f"{sink!r} {answers} {caplog.text}"
        with make(server, "s", url="tls://localhost:1") as sink:
            (away, *_) = sink.deliver(messages)
        password.unlink()
        with pytest.raises(ConfigurationError, match="can't be read"):
            make(server, "s", url=url, password=secret)
    assert "certificate verify failed" in found[0].reason
    assert found[1:3] == [Answer.accepted()] * 2
    assert "Connect call failed" in away.reason
    assert found[3] == Answer.failed("'Authorization Violation'")


def test_a_token_and_another_name(messages: list[Message], tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("hunter2\n")
    token.chmod(0o600)
    with missing_servers_skip():
        files = make_certificates(tmp_path, names="DNS:localhost")
        options = [f'tls {{ cert_file: "{files.cert_file}", key_file: "{files.key_file}" }}',
                   'authorization { token: "hunter2" }']  # fmt: skip
        server = NATS(options, "tls")
    with server:
        server.run(
            lambda jetstream: jetstream.add_stream(name="s", subjects=["s.x"]),
            token="hunter2", tls=ssl.create_default_context(cafile=str(files.ca_file)),
            tls_hostname="localhost",
        )  # fmt: skip
        trust: dict[str, Any] = {"password": PasswordFile(token), "cacert": str(files.ca_file)}
        with make(server, "s", url=f"tls://127.0.0.1:{server.port}", **trust) as sink:
            (answer, *_) = sink.deliver(messages)
        assert "certificate is not valid for '127.0.0.1'" in answer.reason
        with make(server, "s", url=f"tls://localhost:{server.port}", **trust) as sink:
            assert outcomes(sink.deliver(messages)) == {Outcome.ACCEPTED}


class Talker(Listener):
    """Says something first, then listens."""

    def __init__(self, words: bytes) -> None:
        super().__init__()
        self._words = words

    def _serve(self, connection: socket.socket) -> None:
        connection.sendall(self._words)
        self._read_all(connection)


def test_a_server_that_knows_no_tls(
    messages: list[Message], tmp_path: Path, server: NATS, stream: str
) -> None:
    """What is to be encrypted is not sent in clear because the server does not ask for TLS."""
    password = tmp_path / "password"
    password.write_text("hunter2\n")
    info = b'INFO {"server_id":"x","max_payload":1000000,"auth_required":true}\r\n'
    with Talker(info) as talker:
        url = f"tls://relay@127.0.0.1:{talker.port}"
        with make(server, stream, url=url, password=PasswordFile(password)) as sink:
            (answer, *_) = sink.deliver(messages)
    assert answer == Answer.failed("the server does not offer TLS")
    assert talker.received == b""
