# SPDX-License-Identifier: BSD-3-Clause
"""How much of a log is kept, and how a store remembers that."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from syncrepl_client import Changelog, Keep
from syncrepl_client.exceptions import ConfigurationError, StoreInvalid


def test_limits() -> None:
    keep = Keep(age=timedelta(hours=1), changes=10, size=1000)
    assert keep.covers(3600, 10, 1000)
    assert not keep.covers(3601, 10, 1000)
    assert not keep.covers(3600, 11, 1000)
    assert not keep.covers(3600, 10, 1001)
    for unlimited in (Keep(), Keep(age=math.inf)):
        assert unlimited.covers(1e12, 10**12, 10**15)


def test_an_age_is_a_limit() -> None:
    assert Changelog(60).keep == Keep(age=60)
    assert Changelog(timedelta(days=1)).keep.seconds == 86400
    assert Changelog(None).keep == Keep()
    assert Changelog(Keep(changes=5), for_sinks=60).for_sinks == Keep(age=60)


def test_secrets_are_left_out_unless_asked_for() -> None:
    assert {"userpassword", "krbprincipalkey", "sambantpassword"} <= Changelog().exclude
    assert Changelog(exclude=()).exclude == frozenset()
    assert Changelog(exclude=["Mail", "usercertificate;binary"]).exclude == {
        "mail",
        "usercertificate",
    }


@pytest.mark.parametrize("bad", [
    lambda: Keep(age=0), lambda: Keep(age=-1), lambda: Keep(age=math.nan), lambda: Keep(age=True),
    lambda: Keep(age=timedelta(0)), lambda: Keep("1d"), lambda: Keep(changes=0),  # type: ignore[arg-type]
    lambda: Keep(changes=1.5), lambda: Keep(size=True), lambda: Changelog(0),  # type: ignore[arg-type]
    lambda: Changelog("30d"), lambda: Changelog(exclude="mail"),  # type: ignore[arg-type]
    lambda: Changelog(exclude=[b"mail"]), lambda: Changelog(initial="silent"),  # type: ignore[list-item]
])  # fmt: skip
def test_what_is_no_limit(bad: Any) -> None:
    with pytest.raises(ConfigurationError):
        bad()


@pytest.mark.parametrize("changelog", [
    Changelog(), Changelog(None, for_sinks=None, exclude=(), initial="each"),
    Changelog(Keep(1.5, 2, 3), for_sinks=Keep(math.inf, 5, 6), exclude=["a"]),
])  # fmt: skip
def test_a_store_remembers_it(changelog: Changelog) -> None:
    assert Changelog.decode(changelog.encode()) == changelog


@pytest.mark.parametrize("text", [
    "", "[]", "{}", '{"keep": [0], "for_sinks": [], "exclude": [], "initial": "each"}',
    '{"keep": [], "for_sinks": [], "exclude": [], "initial": "each", "more": 1}', "[" * 100_000,
    '{"keep": [], "for_sinks": [], "exclude": "a", "initial": "each"}',
])  # fmt: skip
def test_damaged_settings(text: str) -> None:
    with pytest.raises(StoreInvalid):
        Changelog.decode(text)
