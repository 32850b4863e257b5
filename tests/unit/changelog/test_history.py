# SPDX-License-Identifier: BSD-3-Clause
"""What the log says of the past: whose changes, since when, and entries as they were."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Callable
from uuid import UUID

import pytest

from syncrepl_client import Changelog, Keep
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.changelog import Entry, Event, recorder
from syncrepl_client.entries import attributes, dn
from syncrepl_client.exceptions import ConfigurationError, UsageError
from syncrepl_client.testing import Feed
from syncrepl_client.testing import feed as feeds

NOON = datetime(2026, 11, 28, 12, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)


class Clock:
    """A minute passes between two changes; the first one is at one minute past noon."""

    minutes = 0

    def __call__(self) -> datetime:
        Clock.minutes += 1
        return at(Clock.minutes)


def at(minutes: float) -> datetime:
    return NOON + minutes * MINUTE


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clock, "minutes", 0)
    monkeypatch.setattr(feeds, "now", Clock())
    now = SimpleNamespace(time=lambda: at(Clock.minutes).timestamp())
    monkeypatch.setattr(recorder, "time", now)


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    changelog = Changelog(initial="each")
    with Feed(
        BaseCallback(), store="sqlite", data_path=f"{tmp_path}/", changelog=changelog
    ) as feed:
        yield feed


def happen(feed: Feed) -> dict[str, UUID]:
    """Something that can be told: 1-3 adds, 4 changed, 5 renamed, 6 another one in its place ..."""
    uuids = {"x": feed.add("dc=x", {"dc": ["x"]})}
    uuids["a"] = feed.add("cn=a,dc=x", {"cn": ["a"], "mail": ["1"]})
    uuids["b"] = feed.add("cn=b,dc=x", {"cn": ["b"]})
    feed.refresh_done()
    feed.modify("cn=a,dc=x", {"mail": ["2"], "userPassword": ["secret"]})
    feed.rename("cn=a,dc=x", "cn=z,dc=x")
    uuids["c"] = feed.add("cn=a,dc=x", {"cn": ["a"], "mail": ["other"]})
    feed.delete("cn=b,dc=x")
    feed.delete("cn=a,dc=x")
    feed.commit()
    return uuids


def minutes(events: Iterator[Event]) -> list[int]:
    return [round((each.time - NOON.timestamp()) / 60) for each in events]


def test_whose_and_since_when(feed: Feed) -> None:
    uuids = happen(feed)
    log = feed.store.changelog
    assert minutes(log.history()) == [8, 7, 6, 5, 4, 3, 2, 1, 1]
    assert minutes(log.history(newest_first=False)) == [1, 1, 2, 3, 4, 5, 6, 7, 8]
    assert minutes(log.history(uuids["a"])) == [5, 4, 2]
    assert minutes(log.history("CN=Z,dc=x")) == [5, 4, 2]
    assert minutes(log.history("cn=a,dc=x")) == [8, 6, 5, 4, 2]
    assert minutes(log.history("cn=a,dc=x", newest_first=False)) == [2, 4, 5, 6, 8]
    assert minutes(log.history("cn=nobody,dc=x")) == []
    assert minutes(log.history(since=at(5))) == [8, 7, 6, 5]
    assert minutes(log.history(since=at(5.5), until=at(7))) == [7, 6]
    assert minutes(log.history(uuids["a"], until=at(4.5))) == [4, 2]
    assert minutes(log.history(since=at(9))) == []
    [*_, modified, _] = log.history(uuids["a"], until=at(4))
    assert modified.change is not None
    assert modified.change.new_attrs == {"cn": [b"a"], "mail": [b"2"]}
    assert modified.change.time == at(4)


def test_a_long_history(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    uuids = happen(feed)
    for module in ("log.LIMIT", "states._MANY"):
        monkeypatch.setattr(f"syncrepl_client.changelog.{module}", 2)
    monkeypatch.setattr("syncrepl_client.changelog.states._REMEMBERED", 1)
    log = feed.store.changelog
    for number in range(20):
        feed.modify("cn=z,dc=x", {"mail": [f"{number}"]})
        feed.modify("dc=x", {"description": [f"{number}"]})
    feed.commit()
    newest = list(log.history())
    assert newest[::-1] == list(log.history(newest_first=False))
    assert len(list(log.history(uuids["a"]))) == 23
    for event in newest:
        assert log.events(event.seq - 1, limit=1) == [event]


def test_an_entry_as_it_was(feed: Feed) -> None:
    uuids = happen(feed)
    log = feed.store.changelog

    def mail(of: str | UUID, minute: float) -> bytes | None:
        entry = log.entry_at(of, at(minute))
        return None if entry is None else entry.attrs["mail"][0]

    assert mail("cn=a,dc=x", 1) is None
    assert mail("cn=a,dc=x", 2) == mail("cn=a,dc=x", 3.9) == b"1"
    assert mail("CN=A,dc=x", 4) == b"2"
    assert mail("cn=a,dc=x", 5) is None
    assert mail("cn=a,dc=x", 6) == mail(uuids["c"], 7) == b"other"
    assert mail("cn=a,dc=x", 8) is mail(uuids["c"], 8) is None
    assert mail(uuids["a"], 2) == b"1"
    entry = log.entry_at(uuids["a"], at(100))
    assert entry == Entry(uuids["a"], "cn=z,dc=x", {"mail": [b"2"], "cn": [b"z"]})
    assert log.entry_at("dc=x", at(1)) == Entry(uuids["x"], "dc=x", {"dc": [b"x"]})


def test_all_entries_as_they_were(feed: Feed) -> None:
    happen(feed)
    log = feed.store.changelog

    def names(minute: float) -> list[str]:
        return [each.dn for each in log.entries_at(at(minute))]

    assert names(1) == ["dc=x"]
    assert names(3) == names(4) == ["dc=x", "cn=a,dc=x", "cn=b,dc=x"]
    assert names(6) == ["dc=x", "cn=a,dc=x", "cn=b,dc=x", "cn=z,dc=x"]
    assert names(9) == ["dc=x", "cn=z,dc=x"]


def test_before_the_log_began(feed: Feed) -> None:
    log = feed.store.changelog
    assert log.begins is None
    assert log.position(NOON) == 0
    with pytest.raises(UsageError, match="is empty"):
        log.entry_at("dc=x", NOON)
    happen(feed)
    assert log.begins == at(1)
    for look in (lambda: log.entry_at("dc=x", at(0.5)), lambda: list(log.entries_at(at(0.5)))):
        with pytest.raises(UsageError, match="begins at 2026-11-28"):
            look()


def test_what_was_trimmed_is_not_known(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "_TRIM_EVERY", 1)
    happen(feed)
    feed._changelog = Changelog(Keep(changes=3))
    feed.restart()
    feed.modify("dc=x", {"description": ["more"]})
    feed.commit()
    log = feed.store.changelog
    assert minutes(log.history()) == [9, 8, 7]
    with pytest.raises(UsageError):
        log.entry_at("cn=a,dc=x", at(6))
    assert log.entry_at("cn=a,dc=x", at(7)) is not None


def test_a_clock_that_was_put_back(feed: Feed) -> None:
    uuids = happen(feed)
    Clock.minutes = 0
    feed.modify("dc=x", {"description": ["a minute past noon, again"]})
    feed.commit()
    log = feed.store.changelog
    assert minutes(log.history(uuids["x"])) == [1, 1]
    assert log.entry_at(uuids["x"], at(100)) is not None


def test_what_is_no_time_and_no_name(feed: Feed) -> None:
    happen(feed)
    log = feed.store.changelog
    naive = datetime(2026, 11, 28)
    for bad in (lambda: log.history(since=naive), lambda: log.entry_at("dc=x", naive),
                lambda: log.history("none"), lambda: log.entry_at("none", at(3))):  # fmt: skip
        with pytest.raises(ConfigurationError):
            bad()


@pytest.mark.parametrize("seed", range(5))
def test_any_day_at_any_time(seed: int) -> None:
    chance = random.Random(seed)
    with (
        tempfile.TemporaryDirectory() as directory,
        Feed(
            BaseCallback(),
            store="sqlite",
            data_path=f"{directory}/",
            changelog=Changelog(initial="each"),
        ) as feed,
    ):
        feed.add("dc=x", {"dc": ["x"]})
        feed.refresh_done()
        past: list[tuple[int, dict[str, attributes.Attributes]]] = []
        names = [f"cn={one},{above}dc=x" for one in "abc" for above in ("", "cn=a,", "cn=b,")]
        for _ in range(60):
            with suppress(UsageError):
                acts: list[Callable[[], object]] = [
                    lambda: feed.add(chance.choice(names), {"sn": [chance.choice("xyz")]}),
                    lambda: feed.modify(chance.choice(names), {"sn": [chance.choice("xyz")]}),
                    lambda: feed.rename(chance.choice(names), chance.choice(names)),
                    lambda: feed.delete(chance.choice(names)),
                ]
                chance.choice(acts)()
            if chance.random() < 0.5:
                feed.commit()
                past.append((Clock.minutes, dict(feed.store.items())))
        log = feed.store.changelog
        for minute, entries in past:
            found = {each.dn: each.attrs for each in log.entries_at(at(minute))}
            assert {name: attributes.canonical(attrs) for name, attrs in found.items()} == {
                name: attributes.canonical(attrs) for name, attrs in entries.items()
            }
            assert list(found) == sorted(found, key=dn.key)
            for name in names:
                assert (log.entry_at(name, at(minute)) is not None) is (name in entries)
