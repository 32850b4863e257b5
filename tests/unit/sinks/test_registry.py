# SPDX-License-Identifier: BSD-3-Clause
"""The sinks that there are: the registry says what each class takes."""

from __future__ import annotations

import inspect
import sys
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from syncrepl_client.exceptions import ConfigurationError
from syncrepl_client.sinks.registry import SINKS, kind_of, load_sink
from tests.servers.missing import may_miss


def plain(annotation: Any) -> type:
    """The type of an argument without its None, and without what a dict has in it."""
    if get_origin(annotation) is Union:
        (annotation,) = (each for each in get_args(annotation) if each is not type(None))
    found: type = get_origin(annotation) or annotation
    return dict if "Mapping" in found.__name__ else found


@pytest.mark.parametrize("name", SINKS)
def test_it_says_what_each_takes(name: str) -> None:
    kind = SINKS[name]
    for package in kind.packages:
        if may_miss(package):
            pytest.skip(f"{package} is not installed")
    init: Any = load_sink(name).__init__
    hints = get_type_hints(init)
    parameters = dict(inspect.signature(init).parameters)
    del parameters["self"]
    assert next(iter(parameters)) == "url"
    secret = parameters[kind.secret]
    assert (secret.default is inspect.Parameter.empty) is kind.needs_secret
    for each in kind.required:
        assert parameters[each].default is inspect.Parameter.empty
        assert hints[each] is str
    for each, type_ in kind.options.items():
        assert parameters[each].default is not inspect.Parameter.empty
        assert plain(hints[each]) is type_, each


def test_a_scheme_has_one_kind() -> None:
    schemes = [scheme for kind in SINKS.values() for scheme in kind.schemes]
    assert len(schemes) == len(set(schemes))
    assert kind_of("https") == "webhook"
    assert kind_of("gopher") is None


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
