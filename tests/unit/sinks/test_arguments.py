# SPDX-License-Identifier: BSD-3-Clause
"""What all sinks with a URL check before anything is touched, and what they never show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from syncrepl_client import PasswordVariable
from syncrepl_client.exceptions import ConfigurationError
from syncrepl_client.sinks import endpoint
from syncrepl_client.sinks.registry import SINKS, load_sink
from tests.servers.missing import may_miss

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
REQUIRED = {
    "redis": {"stream": "s"},
    "rabbitmq": {"routing_key": "q"},
    "nats": {"subject": "s"},
    "kafka": {"topic": "t"},
    "scim": {"data_path": "state/"},
}
KINDS = [name for name in SINKS if not any(map(may_miss, SINKS[name].packages))]
BUSES = [name for name in KINDS if name != "webhook"]


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> PasswordVariable:
    monkeypatch.setenv("SINK_SECRET", SECRET)
    return PasswordVariable("SINK_SECRET")


def make(name: str, url: Any, **options: Any) -> Any:
    kind = SINKS[name]
    if kind.needs_secret or "@" in str(url):
        options.setdefault(kind.secret, PasswordVariable("SINK_SECRET"))
    sink: Any = load_sink(name)
    return sink(url, **{**REQUIRED.get(name, {}), **options})


@pytest.mark.parametrize("name", KINDS)
def test_the_secret_is_not_shown(name: str) -> None:
    secure, clear = SINKS[name].schemes[:2]
    if "redis" in (secure, clear):
        secure, clear = clear, secure
    user = "" if SINKS[name].needs_secret else "relay@"
    for scheme in (secure, clear):
        sink = make(name, f"{scheme}://{user}h.invalid:1234")
        assert "h.invalid:1234" in repr(sink)
        assert SECRET not in repr(sink)
        assert SECRET not in str(vars(sink))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("host", "warns"), [
    ("h.invalid", True), ("192.0.2.1", True), ("localhost", False), ("127.0.0.1", False),
    ("[::1]", False),
])  # fmt: skip
def test_a_warning_without_tls(
    name: str, host: str, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    for scheme in SINKS[name].schemes:
        caplog.clear()
        with make(name, f"{scheme}://{host}:1"):
            pass
        risks = [record for record in caplog.records if vars(record).get("event") == "risk"]
        is_clear = scheme in ("http", "redis", "amqp", "nats", "kafka", "scim+http")
        assert len(risks) == (warns and is_clear), scheme


@pytest.mark.parametrize("name", BUSES)
@pytest.mark.parametrize("url", [
    "", "h", "gopher://h", "SCHEME://", "SCHEME://user:pw@h", "SCHEME://h:port", "SCHEME://h:99999",
    "SCHEME://h/#x", "SCHEME://h/?a=b", "SCHEME://h,,i", "SCHEME://[::1", 7, None,
])  # fmt: skip
def test_urls(name: str, url: Any) -> None:
    url = url.replace("SCHEME", SINKS[name].schemes[0]) if isinstance(url, str) else url
    with pytest.raises(ConfigurationError) as caught:
        make(name, url)
    assert "pw" not in str(caught.value)


WRONG: dict[str, list[dict[str, Any]]] = {
    "redis": [{"stream": ""}, {"stream": 7}, {"maxlen": -1}, {"remember": 1.5}, {"replicas": True},
              {"longest": 0}, {"url": "redis://h/x"}, {"url": "redis://h,i"}],
    "rabbitmq": [{"exchange": "x" * 256}, {"routing_key": ""}, {"declare": "topic"},
                 {"declare": "queue", "exchange": "x"}, {"url": "amqp://user@h", "password": None}],
    "nats": [{"subject": "a..b"}, {"subject": "a.*"}, {"subject": "a b"}, {"subject": ""},
             {"stream": 7}, {"url": "nats://h/x"}, {"url": "nats://user@h", "password": None}],
    "kafka": [{"topic": ""}, {"topic": "x" * 250}, {"mechanism": "LOGIN"}, {"longest": 1},
              {"url": "kafka://h/topic"}, {"url": "kafka://user@h", "password": None}],
    "scim": [{"data_path": 7}, {"user": "uid"}, {"user": {"userName": 7}}, {"group": None},
             {"member": ""}, {"kind": "Users"}, {"remove": "disable"}, {"url": "http://u@h"},
             {"url": "http://h,i"}, {"token": None}],
}  # fmt: skip
COMMON: list[dict[str, Any]] = [
    {"timeout": 0}, {"timeout": float("inf")}, {"timeout": "1"}, {"timeout": True},
    {"cacert": "/nowhere"}, {"SECRET": "hunter2"}, {"SECRET": PasswordVariable("MISSING")},
]  # fmt: skip


@pytest.mark.parametrize(("name", "number"), [
    (name, number) for name in BUSES for number in range(len(WRONG[name]) + len(COMMON))
])  # fmt: skip
def test_arguments(name: str, number: int, tmp_path: Path) -> None:
    wrong = dict([*WRONG[name], *COMMON][number])
    if "SECRET" in wrong:
        wrong[SINKS[name].secret] = wrong.pop("SECRET")
    url = wrong.pop("url", f"{SINKS[name].schemes[0]}://localhost")
    with pytest.raises(ConfigurationError) as caught:
        make(name, url, **wrong)
    assert "hunter2" not in str(caught.value)


def test_endpoints() -> None:
    found = endpoint.parse("amqps://us%40er@a:1,[::1],c/%2Fx", ("amqp", "amqps"), (5672, 5671))
    assert tuple(found) == ("amqps", "us@er", (("a", 1), ("::1", 5671), ("c", 5671)), "/x")
    assert str(found) == "amqps://a:1,[::1]:5671,c:5671"
    assert (found.host, found.port, found.is_here) == ("a", 1, False)
    assert endpoint.parse("nats://[::1],127.0.0.3", ("nats",), 4222).is_here


def test_a_secret_that_is_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SINK_SECRET", "\udcff")
    with pytest.raises(ConfigurationError, match="not in UTF-8"):
        endpoint.text_of(PasswordVariable("SINK_SECRET"))
