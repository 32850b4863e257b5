# SPDX-License-Identifier: BSD-3-Clause
"""The sinks that there are: the registry says what each class takes."""

from __future__ import annotations

import inspect
import os
import sys
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from syncrepl_client import PasswordVariable
from syncrepl_client.exceptions import ConfigurationError
from syncrepl_client.sinks.registry import SINKS, kind_of, load_sink, make_sink
from tests.servers.missing import may_miss, needs_all, needs_httpx
from tests.servers.receiver import SECRET


def plain(annotation: Any) -> type:
    """The type of an argument without its None, and without what a dict has in it."""
    if get_origin(annotation) is Union:
        annotation = next(each for each in get_args(annotation) if each is not type(None))
    found: type = get_origin(annotation) or annotation
    return dict if "Mapping" in found.__name__ else found


@pytest.mark.parametrize("name", SINKS)
def test_it_says_what_each_takes(name: str) -> None:
    kind = SINKS[name]
    for package in kind.packages:
        if may_miss(package):
            pytest.skip(f"{package} is not installed")
    init: Any = load_sink(name).__init__
    hints = get_type_hints(init, {**init.__globals__, "os": os})
    parameters = dict(inspect.signature(init).parameters)
    del parameters["self"]
    assert next(iter(parameters)) == "url"
    secret = parameters[kind.secret]
    assert (secret.default is inspect.Parameter.empty) is kind.needs_secret
    assert ("data_path" in parameters) is kind.reads_store
    for each in kind.required:
        assert parameters[each].default is inspect.Parameter.empty
        assert hints[each] is str
    for each, type_ in kind.options.items():
        assert parameters[each].default is not inspect.Parameter.empty
        assert plain(hints[each]) is type_, each


def test_a_scheme_has_one_kind() -> None:
    schemes = [scheme for kind in SINKS.values() for scheme in kind.schemes]
    assert len(schemes) == len(set(schemes))
    assert kind_of("https://h") == "webhook"
    assert kind_of("gopher://h") is None


def test_no_such_sink() -> None:
    with pytest.raises(ConfigurationError, match=r"'smoke'.*webhook"):
        load_sink("smoke")


@pytest.mark.parametrize("name", SINKS)
def test_the_extra_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = SINKS[name]
    monkeypatch.setitem(sys.modules, kind.packages[0], None)
    monkeypatch.delitem(sys.modules, f"syncrepl_client.sinks.{kind.module}", raising=False)
    with pytest.raises(ModuleNotFoundError, match=rf"syncrepl_client\[{kind.extra}\]"):
        load_sink(name)


@pytest.mark.parametrize(("url", "message"), [
    ("gopher://h", "no sink for that URL"),
    ("redis://h", r"lacks stream=: \.\.\.\?stream=NAME"),
    ("redis://h?stream=a&stream=b", "has once each of stream, maxlen"),
    ("redis://h?stream=a&cacert=b", "'cacert'"),
    ("scim+https://h?user=x", "'user'"),
    ("redis://h?stream=a&maxlen=many", "maxlen is a number, not 'many'"),
    ("redis://h?stream=a&timeout=", "timeout is a number, not ''"),
    ("amqp://h?routing_key=a&mandatory=1", "mandatory is true or false, not '1'"),
    ("https://h", "needs a secret"),
    ("scim+https://h", "needs a secret"),
])  # fmt: skip
def test_a_url_that_is_not_valid(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_sink(url, None, data_path="x")


@needs_all("redis")
def test_arguments_in_a_url() -> None:
    sink = make_sink("redis://h/3?stream=a%20b&maxlen=7&timeout=1.5", None, data_path="x")
    assert repr(sink) == "<RedisStream 'a b' at redis://h:6379>"
    assert (vars(sink)["_maxlen"], vars(sink)["_timeout"], vars(sink)["_database"]) == (7, 1.5, 3)


@needs_httpx
def test_a_store_and_a_webhooks_query(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    secret = PasswordVariable("TOKEN")
    scim = make_sink("scim+https://h/v2?adopt=true", secret, data_path="place")
    assert vars(scim)["_data_path"] == "place"
    assert vars(scim)["_adopt"] is True
    webhook = make_sink("https://h/?adopt=true", secret, data_path="place")
    assert vars(webhook)["_url"].query == b"adopt=true"
