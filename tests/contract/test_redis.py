# SPDX-License-Identifier: BSD-3-Clause
"""Redis streams, on a real server: the contract, and what Redis may answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from syncrepl_client import PasswordFile
from syncrepl_client.sinks import Answer, Message, Outcome, Sink
from syncrepl_client.testing.certificates import make_certificates
from syncrepl_client.testing.sinks import SinkContract
from tests.conftest import missing_servers_skip
from tests.servers.missing import needs_all
from tests.servers.muffler import Muffler
from tests.servers.process import ServerMissing
from tests.servers.redis import Redis
from tests.unit.sinks.sinks import messages_of

if TYPE_CHECKING:
    from syncrepl_client.sinks import RedisStream

pytestmark = needs_all("redis")
STREAMS = (f"stream-{number}" for number in count())
PATIENT, IMPATIENT = 60.0, 0.2


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    with missing_servers_skip(), Redis() as server:
        yield server


@pytest.fixture
def messages(tmp_path: Path) -> list[Message]:
    return messages_of(tmp_path)


@pytest.fixture
def stream() -> str:
    return next(STREAMS)


def make(server: Redis, stream: str, **options: Any) -> RedisStream:
    from syncrepl_client.sinks import RedisStream

    options.setdefault("timeout", PATIENT)
    return RedisStream(server.url, stream=stream, **options)


def ids(server: Redis, stream: str) -> list[str]:
    with server.client(decode_responses=True) as client:
        return [fields["id"] for _, fields in client.xrange(stream)]


def outcomes(answers: Sequence[Answer]) -> set[Outcome]:
    return {answer.outcome for answer in answers}


class TestContract(SinkContract):
    @pytest.fixture(autouse=True)
    def other(self, server: Redis, stream: str) -> Iterator[None]:
        self.server, self.stream = server, stream
        with Muffler(server.port) as self.proxy:
            yield

    def make_sink(self) -> Sink:
        from syncrepl_client.sinks import RedisStream

        url = f"redis://127.0.0.1:{self.proxy.port}/0"
        return RedisStream(url, stream=self.stream, timeout=PATIENT)

    def received(self) -> Sequence[str]:
        return ids(self.server, self.stream)

    def set_away(self, away: bool) -> None:
        if away:
            self.server.stop()
        else:
            self.server.start()

    def set_unconfirmed(self, unconfirmed: bool) -> None:
        self.proxy.muffled = unconfirmed


def test_what_is_sent(server: Redis, stream: str, messages: list[Message]) -> None:
    with make(server, stream) as sink:
        sink.deliver(messages)
        sink.deliver(messages[::-1])
    with server.client() as client:
        entries = [fields for _, fields in client.xrange(stream)]
        assert client.zrange(f"{{{stream}}}:ids", 0, -1) == [each[b"id"] for each in entries]
    assert entries == [
        {b"id": each.id.encode(), b"key": each.key.encode(), b"event": each.body}
        for each in messages
    ]


def test_how_much_is_kept(server: Redis, stream: str, messages: list[Message]) -> None:
    many = [each._replace(id=f"{number}-{each.id}") for number in range(100) for each in messages]
    with make(server, stream, maxlen=10, remember=3) as sink:
        sink.deliver(many)
        assert known(server, stream) == [each.id for each in many[-3:]]
        sink.deliver([*many[-3:], many[0]])
    with server.client() as client:
        assert 10 < client.xlen(stream) < 300  # whole nodes of the radix tree go
    assert ids(server, stream)[-2:] == [many[-1].id, many[0].id]


def known(server: Redis, stream: str) -> list[str]:
    with server.client(decode_responses=True) as client:
        found: list[str] = client.zrange(f"{{{stream}}}:ids", 0, -1)
        return found


def test_without_a_memory(server: Redis, stream: str, messages: list[Message]) -> None:
    with make(server, stream, remember=0, maxlen=10_000) as sink:
        for _ in range(2):
            assert outcomes(sink.deliver(messages)) == {Outcome.ACCEPTED}
    assert ids(server, stream) == [each.id for each in messages] * 2
    assert known(server, stream) == []


def test_braces_are_a_hash_tag(server: Redis, messages: list[Message]) -> None:
    with make(server, "{ldap}:people") as sink:
        sink.deliver(messages)
    with server.client() as client:
        assert client.exists("{ldap}:people", "{ldap}:people:ids") == 2


def test_a_message_that_is_too_long(server: Redis, stream: str, messages: list[Message]) -> None:
    long = messages[1]._replace(body=b"x" * 5_000)
    wave = [messages[0], long, *messages[2:]]
    with make(server, stream, longest=4_999) as sink:
        answers = sink.deliver(wave)
        assert sink.deliver([long]) == [answers[1]]
    assert answers[1] == Answer.refused("5000 octets are more than the server takes")
    assert outcomes([answers[0], *answers[2:]]) == {Outcome.ACCEPTED}
    assert long.id not in ids(server, stream)


@pytest.mark.parametrize(("break_it", "mend", "message"), [
    (["SET", "STREAM", "text"], ["DEL", "STREAM"], "WRONGTYPE"),
    (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"], "read only replica"),
    (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"], "maxmemory"),
    (["CONFIG", "SET", "min-replicas-to-write", "1"],
     ["CONFIG", "SET", "min-replicas-to-write", "0"], "replicas"),
    (["ACL", "SETUSER", "default", "-xadd"], ["ACL", "SETUSER", "default", "+xadd"],
     "run this command|permissions to run"),
])  # fmt: skip
@pytest.mark.parametrize("remember", [0, 100])
def test_what_can_be_mended_is_sent_again(
    server: Redis, stream: str, messages: list[Message], break_it: list[str], mend: list[str],
    message: str, remember: int,
) -> None:  # fmt: skip
    def say(command: list[str]) -> None:
        server.command(*(stream if word == "STREAM" else word for word in command))

    with make(server, stream, remember=remember) as sink:
        say(break_it)
        try:
            answers = sink.deliver(messages)
        finally:
            say(mend)
        assert outcomes(answers) == {Outcome.FAILED}
        assert re.search(message, answers[0].reason)
        assert outcomes(sink.deliver(messages)) == {Outcome.ACCEPTED}
    assert ids(server, stream) == [each.id for each in messages]


def test_frozen(server: Redis, stream: str, messages: list[Message]) -> None:
    with make(server, stream, timeout=IMPATIENT) as sink:
        server.pause()
        try:
            answers = sink.deliver(messages)
        finally:
            server.resume()
    assert outcomes(answers) == {Outcome.FAILED}
    assert "imeout" in answers[0].reason
    with make(server, stream) as sink:
        assert outcomes(sink.deliver(messages)) == {Outcome.ACCEPTED}
    assert ids(server, stream) == [each.id for each in messages]


def test_killed(server: Redis, stream: str, messages: list[Message]) -> None:
    with make(server, stream) as sink:
        assert outcomes(sink.deliver(messages[:2])) == {Outcome.ACCEPTED}
        server.kill()
        assert outcomes(sink.deliver(messages)) == {Outcome.FAILED}
        server.start()
        assert outcomes(sink.deliver(messages)) == {Outcome.ACCEPTED}
    assert ids(server, stream) == [each.id for each in messages]


def test_replicas(server: Redis, stream: str, messages: list[Message]) -> None:
    with make(server, stream, replicas=1, timeout=IMPATIENT) as sink:
        answers = sink.deliver(messages)
    assert answers == [Answer.failed("0 of 1 replicas have it")] * len(messages)
    with Redis([f"replicaof 127.0.0.1 {server.port}", "repl-diskless-sync-delay 0"]) as replica:
        server.command("CONFIG", "SET", "repl-diskless-sync-delay", "0")
        with make(server, stream, replicas=1, timeout=600.0) as sink:
            assert outcomes(sink.deliver(messages)) == {Outcome.ACCEPTED}
        assert ids(replica, stream) == [each.id for each in messages]


def test_the_least_rights(
    server: Redis, stream: str, messages: list[Message], tmp_path: Path
) -> None:
    """A user who may do what the documentation names, and nothing else."""
    from syncrepl_client.sinks import RedisStream

    password = tmp_path / "password"
    password.write_text("hunter2\n")
    password.chmod(0o600)
    rights = ("+xadd", "+eval", "+zscore", "+zadd", "+zremrangebyrank", "+time")
    server.command("ACL", "SETUSER", "relay", "on", ">hunter2", "~*", *rights)
    try:
        url = server.url.replace("//", "//relay@")
        with RedisStream(url, stream=stream, password=PasswordFile(password)) as sink:
            for _ in range(2):
                assert outcomes(sink.deliver(messages)) == {Outcome.ACCEPTED}
    finally:
        server.command("ACL", "DELUSER", "relay")
    assert ids(server, stream) == [each.id for each in messages]


def test_tls_and_a_password(
    stream: str, messages: list[Message], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    password = tmp_path / "password"
    password.write_text("hunter2\n")
    password.chmod(0o600)
    with missing_servers_skip():
        files = make_certificates(tmp_path)
        options = [f"tls-cert-file {files.cert_file}", f"tls-key-file {files.key_file}",
                   f"tls-ca-cert-file {files.ca_file}", "tls-auth-clients no",
                   "user relay on >hunter2 ~* +@all"]  # fmt: skip
        server = Redis(options, tls=True)
    from syncrepl_client.sinks import RedisStream

    with server:
        url = f"rediss://relay@localhost:{server.port}/0"
        secret = PasswordFile(password)
        with RedisStream(url, stream=stream, password=secret) as sink:
            (answer, *_) = sink.deliver(messages)
            assert answer.outcome is Outcome.FAILED
            assert "certificate verify failed" in answer.reason
        ca = str(files.ca_file)
        elsewhere = url.replace("localhost", "127.0.0.2")
        with RedisStream(elsewhere, stream=stream, password=secret, cacert=ca) as sink:
            assert "certificate is not valid for '127.0.0.2'" in sink.deliver(messages)[0].reason
        with RedisStream(url, stream=stream, password=secret, cacert=ca) as sink:
            assert outcomes(sink.deliver(messages)) == {Outcome.ACCEPTED}
        password.write_text("wrong\n")
        with RedisStream(url, stream=stream, password=secret, cacert=ca) as sink:
            (answer, *_) = sink.deliver(messages)
            password.unlink()
            (unread, *_) = sink.deliver(messages)
            shown = f"{sink!r} {answer} {unread} {caplog.text}"
    assert answer.outcome is unread.outcome is Outcome.FAILED
    assert "invalid username-password pair" in answer.reason
    assert "can't be read" in unread.reason
    assert "hunter2" not in shown
    assert "is not encrypted" not in shown


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncrepl_client.testing.process.shutil.which", lambda *_, **__: None)
    with pytest.raises(ServerMissing, match="redis-server"):
        Redis()
