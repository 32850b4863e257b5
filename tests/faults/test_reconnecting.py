# SPDX-License-Identifier: BSD-3-Clause
"""Connections that are lost, and made again."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ldap
import pytest

from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.exceptions import ClosedError, ConfigurationError, SyncUnsupported
from syncrepl_client.waiting.backoff import Backoff
from tests.faults.recorder import PERSIST, REFRESH_ONLY, Recorder, contents, follow, poll_until
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.servers import scripted
from tests.servers.process import LOOPBACK
from tests.servers.scripted import (
    MODIFY,
    UNWILLING,
    Close,
    Half,
    Item,
    Pause,
    Provider,
    done,
    idset,
    notice,
    refresh_delete,
)

pytestmark = pytest.mark.usefixtures("watchdog")

SOON = Backoff(initial=0.001, maximum=0.01)
LATER = Backoff(initial=1000, maximum=1000, jitter=0)
u = scripted.person
BASE = "dc=example,dc=com??sub"
BUSY, UNAVAILABLE, TIME_LIMIT, SIZE_LIMIT, NO_SUCH_OBJECT, NO_SYNCPROV = 51, 52, 3, 4, 32, 12


def resumed(*items: Item) -> list[Item]:
    """The answer to a resume: something new, and the persist stage."""
    return [*items, refresh_delete(b"c2"), Pause()]


LOSSES: dict[str, list[Item]] = {
    "in the refresh": [u(1), Close()],
    "in a message of the refresh": [u(1), Half(u(2)), Close()],
    "in the persist stage": [u(1), refresh_delete(b"c1"), Close()],
    "in a message of the persist stage": [u(1), refresh_delete(b"c1"), Half(u(2)), Close()],
    "with a notice": [u(1), refresh_delete(b"c1"), notice(UNAVAILABLE), Close()],
    "the server ends the search": [u(1), refresh_delete(b"c1"), done(sync_done=False)],
    "busy": [done(BUSY, sync_done=False)],
    "busy, in the persist stage": [u(1), refresh_delete(b"c1"), done(BUSY, sync_done=False)],
    "unavailable": [done(UNAVAILABLE, sync_done=False)],
    "time limit": [u(1), done(TIME_LIMIT, sync_done=False)],
    "too many sessions": [
        done(UNWILLING, sync_done=False, text="Too many active synchronization sessions")
    ],
}


def set_back(recorder: Recorder, client: Syncrepl) -> None:
    """Take the mirror back to what is committed."""
    recorder.mirror = contents(client)


@pytest.mark.parametrize("loss", LOSSES)
def test_it_goes_on_where_it_was(loss: str, tmp_path: Path) -> None:
    recorder = Recorder()
    refreshed = refresh_delete(b"c1") in LOSSES[loss]
    with (
        Provider(LOSSES[loss], resumed(u(1), u(2))) as provider,
        follow(provider, tmp_path, recorder, reconnect=SOON) as client,
    ):
        # What was told, and not committed, is told again.
        recorder.on["disconnected"] = lambda: set_back(recorder, client)
        poll_until(client, recorder, "cookie", 2 if refreshed else 1)
        assert contents(client) == recorder.mirror
        assert client.store.origin.cookie == b"c2"
        cookie = b"c1" if refreshed else None
        assert [search.cookie for search in provider.searches] == [None, cookie]
    assert sorted(recorder.mirror) == [scripted.dn(1), scripted.dn(2)]
    if refreshed:
        assert len(recorder.changes) == 2  # nothing came twice
    order = [each for each in recorder.kinds if each in ("bind", "disconnected")]
    assert order == ["bind", "disconnected", "bind"]


def test_a_present_phase_that_is_cut_deletes_nothing(tmp_path: Path) -> None:
    recorder = Recorder()
    filled: list[Item] = [u(1), u(2), refresh_delete(b"c1"), Close()]
    cut: list[Item] = [idset([scripted.uuid(1)]), Close()]
    with (
        Provider(filled, cut, resumed(u(2, "new"))) as provider,
        follow(provider, tmp_path, recorder, reconnect=SOON) as client,
    ):
        poll_until(client, recorder, "change")
    assert not recorder.of("delete")


def test_many_attempts(tmp_path: Path) -> None:
    recorder = Recorder()
    refusals: list[list[Item]] = [[done(BUSY, sync_done=False)] for _ in range(9)]
    with (
        Provider([u(1), refresh_delete(b"c1"), Close()], *refusals, resumed()) as provider,
        follow(provider, tmp_path, recorder, reconnect=SOON) as client,
    ):
        poll_until(client, recorder, "refresh_done", 2)
    assert len(recorder.of("disconnected")) == 10


def test_a_commit_makes_the_delay_the_first_one_again(tmp_path: Path) -> None:
    attempts: list[int] = []

    class Watched(Backoff):
        def delay(self, attempt: int, chance: Any = None) -> float:
            attempts.append(attempt)
            return 0.0

    lost: list[Item] = [done(BUSY, sync_done=False)]
    good: list[Item] = [refresh_delete(b"c1"), Close()]
    recorder = Recorder()
    with (
        Provider(good, lost, lost, good, lost, resumed()) as provider,
        follow(provider, tmp_path, recorder, reconnect=Watched()) as client,
    ):
        poll_until(client, recorder, "refresh_done", 3)
    assert attempts == [1, 2, 3, 1, 2]


def error_of(client: Syncrepl) -> ldap.LDAPError:
    with pytest.raises(ldap.LDAPError) as caught:
        client.run()
    assert not client.poll(0)
    return caught.value


@pytest.mark.parametrize(("mode", "reconnect"), [(PERSIST, False), (REFRESH_ONLY, None)])
def test_without_reconnecting(mode: SyncreplMode, reconnect: bool | None, tmp_path: Path) -> None:
    recorder = Recorder()
    with (
        Provider([u(1), Close()]) as provider,
        follow(provider, tmp_path, recorder, mode, reconnect=reconnect) as client,
    ):
        error = error_of(client)
    assert isinstance(error, ldap.SERVER_DOWN)
    assert error.retriable  # type: ignore[attr-defined]
    assert not recorder.of("disconnected")


@pytest.mark.parametrize("stage", [[], [u(1), refresh_delete(b"c1")]], ids=["refresh", "persist"])
@pytest.mark.parametrize("code", [SIZE_LIMIT, NO_SUCH_OBJECT, UNWILLING])
def test_what_no_retry_mends_is_raised(code: int, stage: list[Item], tmp_path: Path) -> None:
    recorder = Recorder()
    with (
        Provider([*stage, done(code, sync_done=False, text="so there")]) as provider,
        follow(provider, tmp_path, recorder, reconnect=SOON) as client,
    ):
        error = error_of(client)
    assert error.args[0]["result"] == code
    assert not error.retriable  # type: ignore[attr-defined]
    assert not recorder.of("disconnected")


def test_syncprov_that_goes_away(tmp_path: Path) -> None:
    gone = [done(NO_SYNCPROV, sync_done=False)]
    with (
        Provider([refresh_delete(b"c1"), Close()], gone) as provider,
        follow(provider, tmp_path, Recorder(), reconnect=SOON) as client,
    ):
        with pytest.raises(SyncUnsupported, match="syncprov") as caught:
            client.run()
        assert not client.poll(0)
    assert not caught.value.retriable


def test_credentials_that_no_longer_hold(tmp_path: Path) -> None:
    script: list[Item] = [refresh_delete(b"c1"), pause := Pause(), Close()]
    with (
        Provider(script) as provider,
        follow(provider, tmp_path, Recorder(), reconnect=SOON) as client,
    ):
        provider.settings.bind_result = 49
        pause.go_on()
        error = error_of(client)
    assert isinstance(error, ldap.INVALID_CREDENTIALS)


def test_a_password_is_asked_for_anew(tmp_path: Path) -> None:
    passwords = iter(["old", "new"])
    recorder = Recorder()
    with Provider([refresh_delete(b"c1"), Close()], resumed()) as provider:
        url = f"{provider.url}/{BASE}??bindname=cn=me"
        with Syncrepl(
            f"{tmp_path}/", recorder, PERSIST, url, reconnect=SOON, password=passwords.__next__
        ) as client:
            poll_until(client, recorder, "refresh_done", 2)
        assert [bind.password for bind in provider.binds] == [b"old", b"new"]


def test_an_error_of_the_callback_is_not_the_connections(tmp_path: Path) -> None:
    recorder = Recorder()
    mine = ldap.SERVER_DOWN("another server")

    def fail() -> None:
        recorder.on.clear()
        recorder.mirror.clear()
        raise mine

    recorder.on["add"] = fail
    with (
        Provider([u(1), refresh_delete(b"c1"), Pause()], resumed(u(1))) as provider,
        follow(provider, tmp_path, recorder, reconnect=SOON) as client,
    ):
        with pytest.raises(ldap.SERVER_DOWN) as caught:
            client.run()
        assert caught.value is mine
        poll_until(client, recorder, "commit")
    assert not recorder.of("disconnected")
    assert len(provider.binds) == 1


def test_bind_complete_that_fails_is_called_again(tmp_path: Path) -> None:
    recorder = Recorder()
    with (
        Provider([refresh_delete(b"c1"), Close()], resumed()) as provider,
        follow(provider, tmp_path, recorder, reconnect=SOON) as client,
    ):

        def fail() -> None:
            recorder.on.clear()
            raise ValueError("not yet")

        recorder.on["bind"] = fail
        with pytest.raises(ValueError, match="not yet"):
            client.run()
        poll_until(client, recorder, "refresh_done", 2)
    assert len(recorder.of("bind")) == 3
    assert len(provider.searches) == 2


def test_what_disconnected_raises_goes_through(tmp_path: Path) -> None:
    recorder = Recorder()

    def fail() -> None:
        recorder.on.clear()
        raise ValueError("enough")

    recorder.on["disconnected"] = fail
    with (
        Provider([refresh_delete(b"c1"), Close()], resumed()) as provider,
        follow(provider, tmp_path, recorder, reconnect=SOON) as client,
    ):
        with pytest.raises(ValueError, match="enough"):
            client.run()
        poll_until(client, recorder, "refresh_done", 2)


# --- while it waits


@contextlib.contextmanager
def deaf() -> Iterator[str]:
    """The URL of a port that takes connections, and never says a word."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        yield f"ldap://{LOOPBACK}:{listener.getsockname()[1]}"


@contextlib.contextmanager
def disconnected(provider: Provider, path: Path, backoff: Backoff) -> Iterator[Syncrepl]:
    """A client whose connection is lost."""
    recorder = Recorder()
    with follow(provider, path, recorder, reconnect=backoff) as client:
        poll_until(client, recorder, "disconnected")
        yield client


def test_polls_return_while_it_waits(tmp_path: Path) -> None:
    with Provider([u(1), refresh_delete(b"c1"), Close()]) as provider:
        with disconnected(provider, tmp_path, LATER) as client:
            for timeout in (0, 0.01, 0):
                assert client.poll(timeout)
            assert list(client.store.items()) == [scripted.dn(1)]
            timer = threading.Timer(0.05, client.please_stop)
            timer.start()
            assert not client.poll(None)
            timer.join()
        assert len(provider.searches) == 1
    with pytest.raises(ClosedError):
        client.poll(0)


def test_polls_return_while_it_connects(tmp_path: Path) -> None:
    """Connecting may take its time; it is not poll's."""
    recorder = Recorder()
    with deaf() as url, Provider([refresh_delete(b"c1"), Close()]) as provider:
        urls = [f"{provider.url}/{BASE}", url]
        with Syncrepl(f"{tmp_path}/", recorder, PERSIST, urls, reconnect=SOON) as client:
            poll_until(client, recorder, "disconnected")
            for timeout in (0.05, 0, 0.05):
                assert client.poll(timeout)
            timer = threading.Timer(0.05, client.please_stop)
            timer.start()
            assert not client.poll(None)
            timer.join()


def test_the_next_server_is_tried(tmp_path: Path) -> None:
    first = Provider([u(1), refresh_delete(b"c1"), Close()])
    second = Provider(resumed(u(2)))
    recorder = Recorder()
    with first, second:
        urls = [f"{first.url}/{BASE}", second.url]
        with Syncrepl(f"{tmp_path}/", recorder, PERSIST, urls, reconnect=SOON) as client:
            poll_until(client, recorder, "add", 2)
        assert [search.cookie for search in second.searches] == [b"c1"]
        assert len(first.searches) == 1


def test_a_server_that_is_not_there_is_passed_over(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        nobody = f"ldap://{LOOPBACK}:{listener.getsockname()[1]}"
    recorder = Recorder()
    with Provider([u(1), refresh_delete(b"c1"), Close()], resumed(u(2))) as provider:
        urls = f"{nobody}/{BASE} {provider.url}"
        with Syncrepl(f"{tmp_path}/", recorder, PERSIST, urls, reconnect=SOON) as client:
            poll_until(client, recorder, "add", 2)
    assert len(recorder.of("disconnected")) == 1


def test_another_kind_of_server_is_asked_without_a_cookie(tmp_path: Path) -> None:
    first = Provider([u(1), refresh_delete(b"c1"), Close()], kind="openldap")
    second = Provider([u(1), u(2), refresh_delete(b"c2"), Pause()], kind="other")
    recorder = Recorder()
    with first, second:
        urls = [f"{first.url}/{BASE}", second.url]
        with Syncrepl(f"{tmp_path}/", recorder, PERSIST, urls, reconnect=SOON) as client:
            poll_until(client, recorder, "add", 2)
        assert [search.cookie for search in second.searches] == [None]
    assert len(recorder.changes) == 2


# --- silence


def test_a_server_that_falls_silent_is_given_up(tmp_path: Path) -> None:
    silent: list[Item] = [
        u(1),
        refresh_delete(b"c1"),
        Half(u(2)),
        Pause(),
    ]  # answers nothing from here on
    recorder = Recorder()
    with (
        Provider(silent, resumed(u(2))) as provider,
        follow(provider, tmp_path, recorder, reconnect=SOON, heartbeat=0.05) as client,
    ):
        poll_until(client, recorder, "add", 2)
    [(_, error)] = recorder.of("disconnected")
    assert "silent" in str(error)


def test_a_server_that_answers_is_left_alone(tmp_path: Path) -> None:
    recorder = Recorder()
    script: list[Item] = [
        u(1),
        refresh_delete(b"c1"),
        pause := Pause(),
        u(1, "new", MODIFY),
        Pause(),
    ]
    with (
        Provider(script) as provider,
        follow(provider, tmp_path, recorder, reconnect=SOON, heartbeat=0.3) as client,
    ):
        poll_until(client, recorder, "commit")
        for _ in range(100):
            assert client.poll(0.01)
        assert not recorder.of("disconnected")
        pause.go_on()
        poll_until(client, recorder, "change")
        assert len(provider.searches) == 1


# --- what reconnect= takes


@pytest.mark.parametrize("reconnect", [1, "yes", 0.5, object()])
def test_what_is_no_policy_is_refused(reconnect: Any, tmp_path: Path) -> None:
    with Provider() as provider, pytest.raises(ConfigurationError, match="reconnect"):
        follow(provider, tmp_path, Recorder(), reconnect=reconnect)


@pytest.mark.parametrize("heartbeat", [0, -1, "x", True])
def test_what_is_no_heartbeat_is_refused(heartbeat: Any, tmp_path: Path) -> None:
    with Provider() as provider, pytest.raises(ConfigurationError, match="heartbeat"):
        follow(provider, tmp_path, Recorder(), heartbeat=heartbeat)
