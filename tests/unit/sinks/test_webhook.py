# SPDX-License-Identifier: BSD-3-Clause
"""Webhooks: signatures, answers, TLS, and what is never shown."""

from __future__ import annotations

import base64
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest

from syncrepl_client import PasswordFile, PasswordVariable
from syncrepl_client.exceptions import ConfigurationError
from syncrepl_client.sinks import Answer, Message, Outcome, cloudevents, httpanswers, signatures
from syncrepl_client.testing.certificates import make_certificates
from tests.conftest import missing_servers_skip
from tests.servers.missing import needs_httpx
from tests.servers.receiver import SECRET, Received, Receiver, verify, write_secret
from tests.unit.sinks.sinks import logging_feed

if TYPE_CHECKING:
    from syncrepl_client.sinks import Webhook

OTHER = "whsec_" + base64.b64encode(b"k" * 32).decode()
Make = Callable[..., "Webhook"]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    return write_secret(tmp_path / "secret")


@pytest.fixture
def make(secret: Path) -> Make:
    def make(url: str, **options: Any) -> Webhook:
        from syncrepl_client.sinks import Webhook

        return Webhook(url, PasswordFile(secret), **options)

    return make


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def messages(tmp_path: Path) -> list[Message]:
    with logging_feed(tmp_path) as feed:
        events = feed.store.changelog.events(1)
    return [cloudevents.message(event, "urn:test") for event in events]


# --- signatures


def test_the_example_of_the_specification() -> None:
    keys = signatures.keys_of(SECRET.encode())
    made = signatures.signature(
        keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_several_secrets() -> None:
    keys = signatures.keys_of(f"{SECRET} {OTHER}".encode())
    one, two = signatures.signature(keys, "id", 1, b"body").split()
    assert one != two
    assert one == signatures.signature(keys[:1], "id", 1, b"body")


@pytest.mark.parametrize("wrong", [
    b"", b" ", b"whsec_", b"whsec_c2hvcnQ=", b"hunter2hunter2hunter2hunter2!!!!",
    SECRET.encode() + b" whsec_?", b"whsec_" + base64.b64encode(b"k" * 65), b"\xff" * 32,
])  # fmt: skip
def test_what_is_no_secret(wrong: bytes) -> None:
    with pytest.raises(ConfigurationError) as caught:
        signatures.keys_of(wrong)
    assert "hunter" not in str(caught.value)
    assert caught.value.__cause__ is None


@needs_httpx
def test_what_is_sent(receiver: Receiver, make: Make, messages: list[Message]) -> None:
    with make(receiver.url) as webhook:
        assert webhook.deliver(messages) == [Answer.accepted()] * 4
    by_id = {request.id: request for request in receiver.received}
    for message in messages:
        headers, body = by_id[message.id]
        assert body == message.body
        assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
        assert verify(SECRET, headers, body)
        assert not verify(SECRET, headers, body + b" ")
        assert not verify(OTHER, headers, body)
        assert not verify(SECRET, {**headers, "webhook-timestamp": "1614265330"}, body)


@needs_httpx
def test_a_rotation(
    receiver: Receiver, make: Make, messages: list[Message], secret: Path, caplog: Any
) -> None:
    receiver.secret = OTHER
    with make(receiver.url) as webhook:
        answers = webhook.deliver(messages)
        assert [answer.outcome for answer in answers] == [Outcome.FAILED] * 4
        assert answers[0] == Answer.failed("HTTP status 401")
        secret.write_text(f"{SECRET} {OTHER}\n")
        assert webhook.deliver(messages) == [Answer.accepted()] * 4
        secret.unlink()
        answers = webhook.deliver(messages)
    assert [answer.outcome for answer in answers] == [Outcome.FAILED] * 4
    assert "can't be read" in answers[0].reason


# --- answers


@needs_httpx
@pytest.mark.parametrize(("status", "outcome"), [
    *((code, Outcome.ACCEPTED) for code in (200, 201, 202, 204)),
    *((code, Outcome.REFUSED) for code in (400, 403, 404, 409, 410, 413, 422)),
    *((code, Outcome.FAILED) for code in (301, 302, 307, 401, 408, 429, 500, 502, 503, 504)),
])  # fmt: skip
def test_what_a_status_means(
    receiver: Receiver, make: Make, messages: list[Message], status: int, outcome: Outcome
) -> None:
    receiver.reply = lambda _: (status, {"location": "https://elsewhere.invalid/"})
    with make(receiver.url) as webhook:
        (answer,) = webhook.deliver(messages[:1])
    assert answer.outcome is outcome
    assert answer.reason == ("" if outcome is Outcome.ACCEPTED else f"HTTP status {status}")


@pytest.mark.parametrize(("value", "least", "most"), [
    ("120", 120, 120), ("0", 0, 0), ("9999999", 3600, 3600), ("-1", None, None), ("", None, None),
    ("soon", None, None), ("1.5", None, None), ("²", None, None),
    ("Fri, 31 Dec 9999 23:59:59 GMT", 3600, 3600),
    ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0), ("Wed, 21 Oct 2015 07:28:00 -0000", 0, 0),
])  # fmt: skip
def test_retry_after(value: str, least: float | None, most: float | None) -> None:
    found = httpanswers.retry_after(value)
    assert (found is None) is (least is None)
    if found is not None and least is not None and most is not None:
        assert least <= found <= most


@needs_httpx
def test_retry_after_of_a_server(receiver: Receiver, make: Make, messages: list[Message]) -> None:
    receiver.reply = lambda _: (503, {"retry-after": "7"})
    with make(receiver.url, concurrency=1) as webhook:
        first, *others = webhook.deliver(messages)
    assert first == Answer.failed("HTTP status 503", 7.0)
    assert others == [Answer.failed("not tried: the server is away")] * 3


@needs_httpx
def test_one_message_that_the_server_stumbles_over(
    receiver: Receiver, make: Make, messages: list[Message]
) -> None:
    receiver.reply = lambda request: (500 if request.id == messages[0].id else 200, {})
    with make(receiver.url, concurrency=1) as webhook:
        outcomes = [answer.outcome for answer in webhook.deliver(messages)]
    assert outcomes == [Outcome.FAILED, *[Outcome.ACCEPTED] * 3]


@needs_httpx
def test_a_server_that_never_answers(make: Make, messages: list[Message]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with make(url, timeout=0.05, concurrency=1) as webhook:
            first, *others = webhook.deliver(messages)
    assert first.outcome is Outcome.FAILED
    assert others == [Answer.failed("not tried: the server is away")] * 3


@needs_httpx
@pytest.mark.parametrize("size", [0, 10, 1_000_000])
def test_the_body_of_the_answer(
    receiver: Receiver, make: Make, messages: list[Message], size: int
) -> None:
    receiver.body = b"x" * size
    with make(receiver.url) as webhook:
        assert webhook.deliver(messages) == [Answer.accepted()] * 4


# --- TLS


@needs_httpx
def test_certificates(make: Make, messages: list[Message], tmp_path: Path) -> None:
    with missing_servers_skip():
        certificates = make_certificates(tmp_path)
    with Receiver(certificates) as receiver:
        with make(receiver.url) as webhook:
            (answer,) = webhook.deliver(messages[:1])
        assert answer.outcome is Outcome.FAILED
        assert "certificate" in answer.reason.lower()
        with make(receiver.url, cacert=str(certificates.ca_file)) as webhook:
            assert webhook.deliver(messages) == [Answer.accepted()] * 4
        elsewhere = receiver.url.replace("localhost", "127.0.0.2")
        with make(elsewhere, cacert=str(certificates.ca_file)) as webhook:
            assert webhook.deliver(messages[:1])[0].outcome is Outcome.FAILED
    with pytest.raises(ConfigurationError, match="certificates"):
        make("https://localhost/", cacert=str(tmp_path / "missing"))


@needs_httpx
@pytest.mark.parametrize(("url", "warns"), [
    ("http://hooks.invalid/", True), ("http://192.0.2.1/", True),
    ("http://localhost/", False), ("http://127.0.0.1/", False), ("http://[::1]:8/", False),
    ("https://hooks.invalid/", False),
])  # fmt: skip
def test_a_warning_without_tls(make: Make, url: str, warns: bool, caplog: Any) -> None:
    with make(url):
        pass
    risks = [record for record in caplog.records if vars(record).get("event") == "risk"]
    assert len(risks) == warns


# --- arguments, and what is secret


@needs_httpx
@pytest.mark.parametrize("url", [
    "", "hooks.invalid", "ftp://hooks.invalid/", "https://", "https://user:pw@h/", "https://u@h/",
    "https://h:port/", "https:///path", 7,
])  # fmt: skip
def test_urls(make: Make, url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make(url)
    assert "pw" not in str(caught.value)


@needs_httpx
@pytest.mark.parametrize("wrong", [
    {"timeout": 0}, {"timeout": float("inf")}, {"concurrency": 0}, {"concurrency": True},
])  # fmt: skip
def test_arguments(make: Make, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        make("https://h/", **wrong)


@needs_httpx
def test_where_a_secret_may_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    from syncrepl_client.sinks import Webhook

    monkeypatch.setenv("HOOK", SECRET)
    Webhook("https://h/", PasswordVariable("HOOK"))
    with pytest.raises(ConfigurationError, match="MISSING"):
        Webhook("https://h/", PasswordVariable("MISSING"))
    as_it_is: Any = SECRET
    with pytest.raises(ConfigurationError) as caught:
        Webhook("https://h/", as_it_is)
    assert SECRET not in str(caught.value)


@needs_httpx
def test_nothing_secret_is_shown(
    receiver: Receiver, make: Make, messages: list[Message], caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG, "syncrepl_client")
    receiver.reply = _refuse
    with make(f"{receiver.url}/token1234?key=5678") as webhook:
        answers = webhook.deliver(messages)
        receiver.stop()
        answers = [*answers, *webhook.deliver(messages)]
        shown = f"{webhook!r} {answers} "
    shown += " ".join(record.getMessage() for record in caplog.records if "syncrepl" in record.name)
    assert repr(webhook).startswith("<Webhook at http://localhost:")
    for word in (SECRET, SECRET[6:], "token1234", "5678"):
        assert word not in shown


def _refuse(request: Received) -> tuple[int, dict[str, str]]:
    return 400, {}


def test_without_httpx() -> None:
    program = (
        "import sys; sys.modules['httpx'] = None\n"
        "import syncrepl_client.sinks as sinks\n"
        "try: sinks.Webhook\n"
        "except ModuleNotFoundError as error: print(error)\n"
        "try: sinks.Nothing\n"
        "except AttributeError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "pip install 'syncrepl_client[webhook]'" in done.stdout
    assert "no attribute 'Nothing'" in done.stdout
