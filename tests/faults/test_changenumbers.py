# SPDX-License-Identifier: BSD-3-Clause
"""The client and 389-ds's change numbers, and what it asks a server before it searches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ldap
import pytest

from syncrepl_client import Backoff, Syncrepl
from syncrepl_client.engine import search, searches
from syncrepl_client.network import transport
from syncrepl_client.network.session import Session
from syncrepl_client.protocol.cookie import change_number
from tests.faults.recorder import PERSIST, REFRESH_ONLY, Recorder, contents, follow, poll_until
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.servers.scripted import Item, Pause, Provider, dn, done, person, refresh_delete

pytestmark = pytest.mark.usefixtures("watchdog")
NONE = 2**32 - 1


def numbered(number: int) -> bytes:
    return b"h:389##%d" % number


def store_number(follower: Syncrepl) -> int | None:
    return change_number(follower.store.origin.cookie)


FIRST = [person(1), done(cookie=numbered(1))]


def begin(provider: Provider, path: Path, recorder: Recorder, **options: Any) -> Syncrepl:
    """Run a first client; return one that resumes with number 1."""
    with follow(provider, path, recorder, REFRESH_ONLY) as first:
        first.run()
    recorder.clear()
    return follow(provider, path, recorder, PERSIST, **options)


def test_what_stays_away_is_searched_for_so_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searches, "SEARCHES_AGAIN", 3)
    again = [refresh_delete(numbered(5)), person(4, cookie=numbered(7))]
    recorder = Recorder()
    with Provider(FIRST, *[again] * 4, kind="389") as provider:
        with begin(provider, tmp_path, recorder) as follower:
            poll_until(follower, recorder, "add")
            while store_number(follower) != 7:
                assert follower.poll(10)
        numbers = [change_number(search.cookie) for search in provider.searches]
    assert numbers == [None, 1, 5, 5, 5]
    assert recorder.changes == [("add", dn(4))]


def test_nothing_is_told_until_it_is_known_what_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "STAGE_GAP_SECONDS", 600.0)
    pause = Pause()
    script: list[Item] = [
        refresh_delete(numbered(5)),
        person(4, cookie=numbered(7)),
        pause,
        person(3, cookie=numbered(6)),
        person(5, cookie=numbered(8)),
    ]
    recorder = Recorder()
    with (
        Provider(FIRST, script, kind="389", last_change=7) as provider,
        begin(provider, tmp_path, recorder) as follower,
    ):
        poll_until(follower, recorder, "refresh_done")
        for _ in range(5):
            assert follower.poll(0.05)
        assert recorder.changes == []
        pause.go_on()
        while store_number(follower) != 8:
            assert follower.poll(10)
        assert len(provider.searches) == 2
    assert recorder.changes == [("add", dn(4)), ("add", dn(3)), ("add", dn(5))]


def test_a_stop_before_it_is_known_stores_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "STAGE_GAP_SECONDS", 600.0)
    script = [refresh_delete(numbered(5)), person(4, cookie=numbered(7))]
    recorder = Recorder()
    with (
        Provider(FIRST, script, kind="389", last_change=7) as provider,
        begin(provider, tmp_path, recorder) as follower,
    ):
        poll_until(follower, recorder, "refresh_done")
        assert follower.poll(0.05)
        follower.please_stop()
        assert not follower.poll()
        assert store_number(follower) == 5
        assert contents(follower).keys() == {dn(1)}


@pytest.mark.parametrize("end", [done(), done(4096)], ids=["done", "refresh required"])
def test_an_end_before_it_is_known(end: Item, tmp_path: Path) -> None:
    script = [refresh_delete(numbered(5)), person(4, cookie=numbered(7)), end]
    then = [person(1), person(4), person(3), refresh_delete(numbered(7))]
    recorder = Recorder()
    with (
        Provider(FIRST, script, then, kind="389") as provider,
        begin(provider, tmp_path, recorder, reconnect=Backoff(initial=0)) as follower,
    ):
        poll_until(follower, recorder, "refresh_done", 2)
    assert recorder.changes == [("add", dn(4)), ("add", dn(3))]


def test_what_was_lost_between_the_stages_is_found(tmp_path: Path) -> None:
    lost = [refresh_delete(numbered(5)), person(4, cookie=numbered(6))]
    lost += [person(5, cookie=numbered(8))]
    found = [person(3), person(4), person(5), refresh_delete(numbered(8))]
    recorder = Recorder()
    with (
        Provider(FIRST, lost, found, kind="389") as provider,
        begin(provider, tmp_path, recorder) as follower,
    ):
        poll_until(follower, recorder, "refresh_done", 2)
        assert contents(follower).keys() == {dn(1), dn(3), dn(4), dn(5)}
        numbers = [change_number(search.cookie) for search in provider.searches]
    assert numbers == [None, 1, 5]
    assert recorder.changes == [("add", dn(3)), ("add", dn(4)), ("add", dn(5))]


def test_what_was_lost_before_a_silence_is_found(tmp_path: Path) -> None:
    found = [person(3), refresh_delete(numbered(6))]
    recorder = Recorder()
    scripts = [FIRST, [refresh_delete(numbered(5))], found]
    with Provider(*scripts, kind="389", last_change=6) as provider:
        with begin(provider, tmp_path, recorder) as follower:
            poll_until(follower, recorder, "refresh_done", 2)
        numbers = [change_number(search.cookie) for search in provider.searches]
    assert numbers == [None, 1, 5]
    assert recorder.changes == [("add", dn(3))]


def test_a_cookie_waits_for_what_comes_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "GAP_SECONDS", 60.0)
    first, pause = Pause(), Pause()
    late: list[Item] = [
        refresh_delete(numbered(5)),
        person(4, cookie=numbered(6)),
        first,
        person(5, cookie=numbered(8)),
        pause,
        person(6, cookie=numbered(NONE)),
    ]
    recorder = Recorder()

    def go_on() -> None:
        for number, each in ((4, first), (5, pause)):
            if recorder.changes[-1] == ("add", dn(number)):
                each.go_on()

    recorder.on["add"] = go_on
    with (
        Provider(FIRST, late, kind="389") as provider,
        begin(provider, tmp_path, recorder) as follower,
    ):
        while store_number(follower) != 8:
            assert follower.poll(10)
    heard = recorder.heard
    assert heard.index(("add", dn(6))) < heard.index(("cookie", numbered(8)))


def test_a_stop_does_not_commit_over_a_gap(tmp_path: Path) -> None:
    pause = Pause()
    late: list[Item] = [refresh_delete(numbered(5)), person(4, cookie=numbered(6)), pause]
    late += [person(5, cookie=numbered(8))]
    recorder = Recorder()
    with (
        Provider(FIRST, late, kind="389") as provider,
        begin(provider, tmp_path, recorder) as follower,
    ):

        def stop() -> None:
            if recorder.changes[-1] == ("add", dn(4)):
                pause.go_on()
            if recorder.changes[-1] == ("add", dn(5)):
                follower.please_stop()

        recorder.on["add"] = stop
        follower.run()
        assert store_number(follower) in (5, 6)
        assert dn(5) not in contents(follower)


@pytest.mark.parametrize("kind", ["openldap", "389", "other"])
def test_the_server_is_asked_who_we_are(kind: str, tmp_path: Path) -> None:
    recorder = Recorder()
    first = FIRST if kind == "389" else [person(1), done(cookie=b"one")]
    for identity in ("", "dn:uid=é,dc=x", "u:x"):
        with Provider(first, kind=kind, identity=identity) as provider:
            path = tmp_path / str(len(identity))
            path.mkdir()
            recorder.mirror.clear()
            with follow(provider, path, recorder, REFRESH_ONLY) as follower:
                follower.run()
            assert "who am I" in provider.heard


def test_a_server_that_does_not_say_who_we_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extended = Session.extended

    def from_now_on(self: Session, operation: str) -> int:
        monkeypatch.setattr(transport, "ANSWER_SECONDS", 0.2)
        return extended(self, operation)

    monkeypatch.setattr(Session, "extended", from_now_on)
    with Provider(FIRST, identity="u:x", answers_who_am_i=False) as provider:
        with pytest.raises(ldap.TIMEOUT, match="Who am I"):
            follow(provider, tmp_path, Recorder())
        assert not list(tmp_path.iterdir())
