# SPDX-License-Identifier: BSD-3-Clause
"""Reconciling: a search without a cookie takes the place of the running one, without a gap."""

from __future__ import annotations

import math
import signal
import time
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest

from syncrepl_client import Backoff, Syncrepl, exceptions
from syncrepl_client.store import MemoryStore, Origin
from tests.contract.places import record
from tests.faults.recorder import PERSIST, REFRESH_ONLY, Recorder, contents, follow, poll_until
from tests.faults.test_stopping import meanwhile, on_signal, signal_main
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.patience import HANGS_SECONDS
from tests.servers import scripted
from tests.servers.scripted import (
    Close,
    Item,
    Pause,
    Provider,
    done,
    idset,
    refresh_delete,
    refresh_present,
    uuid,
)

pytestmark = pytest.mark.usefixtures("watchdog")

DAY = 86400.0
u, dn = scripted.person, scripted.dn
END = refresh_delete(b"c1")


def cookies(provider: Provider) -> list[bytes | None]:
    """What the searches were sent with."""
    return [search.cookie for search in provider.searches]


def damage(client: Syncrepl) -> None:
    """Lose u(1), spoil u(2), and make up an entry."""
    store = client.store
    spoilt = store.get(uuid(2))
    assert spoilt is not None
    store.begin()
    store.remove(uuid(1))
    store.put(spoilt._replace(attrs=record(2, x="y").attrs))
    store.put(record(9, "uid=u9,dc=example,dc=com"))
    store.commit()


DAMAGE = [("add", dn(1)), ("change", dn(2)), ("delete", "uid=u9,dc=example,dc=com")]


@pytest.mark.parametrize("mode", [PERSIST, REFRESH_ONLY])
def test_only_what_differs_is_reported(mode: Any, tmp_path: Path) -> None:
    people = [u(1), u(2), u(3)]
    recorder = Recorder()
    with (
        Provider([*people, END, Pause()], [*people, refresh_delete(b"c2"), Pause()]) as provider,
        follow(provider, tmp_path, recorder, mode) as client,
    ):
        poll_until(client, recorder, "commit") if mode is PERSIST else client.run()
        before = contents(client)
        damage(client)
        recorder.mirror = contents(client)
        recorder.clear()
        client.reconcile()
        client.reconcile()
        poll_until(client, recorder, "commit") if mode is PERSIST else client.run()
        assert recorder.changes == DAMAGE
        assert contents(client) == recorder.mirror == before
        assert recorder.of("refresh_done", "cookie") == [("refresh_done", 3), ("cookie", b"c2")]
        assert client.poll(0) is (mode is PERSIST)
        assert cookies(provider) == [None, None]


def test_changes_before_during_and_after_it(tmp_path: Path) -> None:
    first, last = Pause(), Pause()
    recorder = Recorder()
    script: list[Item] = [
        *(u(1), first, u(2), u(3)),
        *(refresh_delete(b"c3"), u(4, cookie=b"c4"), last),
    ]
    with (
        Provider([u(1), END, u(2, cookie=b"c2"), Pause()], script) as provider,
        follow(provider, tmp_path, recorder) as client,
    ):
        poll_until(client, recorder, "add", 2)
        client.reconcile()
        assert client.poll(0)
        assert client.poll(0)
        assert first.reached.wait(HANGS_SECONDS)
        assert client.store.origin.cookie == b"c2"
        first.go_on()
        poll_until(client, recorder, "add", 4)
        assert client.store.origin.cookie == b"c4"
        assert cookies(provider) == [None, None]
    assert recorder.changes == [("add", dn(number)) for number in (1, 2, 3, 4)]
    assert len(recorder.of("refresh_done")) == 2


def test_from_a_thread_while_poll_waits(tmp_path: Path) -> None:
    waiting, recorder = Pause(), Recorder()
    with (
        Provider([u(1), END, waiting], [u(2), refresh_delete(b"c2"), Pause()]) as provider,
        follow(provider, tmp_path, recorder) as client,
    ):
        poll_until(client, recorder, "commit")
        with meanwhile(lambda: waiting.reached.wait(HANGS_SECONDS), client.reconcile):
            while len(recorder.of("refresh_done")) < 2:
                assert client.poll(None)
        assert recorder.mirror.keys() == {dn(2)}
        assert cookies(provider) == [None, None]


def test_from_a_signal_handler_while_poll_waits(tmp_path: Path) -> None:
    waiting, recorder = Pause(), Recorder()
    with (
        Provider([u(1), END, waiting], [u(2), refresh_delete(b"c2"), Pause()]) as provider,
        follow(provider, tmp_path, recorder) as client,
        on_signal(signal.SIGHUP, client.reconcile),
        meanwhile(lambda: waiting.reached.wait(HANGS_SECONDS), signal_main(signal.SIGHUP)),
    ):
        while len(recorder.of("refresh_done")) < 2:
            assert client.poll(None)
        assert cookies(provider) == [None, None]


@pytest.mark.parametrize("mode", [PERSIST, REFRESH_ONLY])
def test_in_mid_refresh_it_comes_after_it(mode: Any, tmp_path: Path) -> None:
    recorder = Recorder()
    with (
        Provider([u(1), u(2), END, Pause()], [u(2), refresh_delete(b"c2"), Pause()]) as provider,
        follow(provider, tmp_path, recorder, mode) as client,
    ):
        recorder.on["add"] = client.reconcile
        poll_until(client, recorder, "cookie")
        recorder.on.clear()
        assert provider.searches[0].cookie is None
        poll_until(client, recorder, "cookie") if mode is PERSIST else client.run()
        while mode is PERSIST and len(recorder.of("refresh_done")) < 2:
            assert client.poll(10)
        assert cookies(provider) == [None, None]
    assert [heard for heard in recorder.heard if heard[0] in ("delete", "refresh_done")] == [
        ("refresh_done", 2),
        ("delete", dn(1)),
        ("refresh_done", 1),
    ]


def test_from_a_callback_in_the_middle_of_a_message_with_many_consequences(tmp_path: Path) -> None:
    """What was told is committed before the search gives way: it isn't told twice."""
    many = range(1, 31)
    recorder = Recorder()
    script: list[Item] = [*map(u, many), END, idset(map(uuid, many), deletes=True), Pause()]
    with (
        Provider(script, [refresh_delete(b"c2"), Pause()]) as provider,
        follow(provider, tmp_path, recorder) as client,
    ):
        recorder.on["delete"] = client.reconcile
        poll_until(client, recorder, "refresh_done", 2)
        assert cookies(provider) == [None, None]
    assert len(recorder.of("delete")) == len(many)


def break_down(error: Exception) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize("where", ["add", "refresh_done", "cookie", "commit"])
def test_a_callback_error_has_it_done_anew(where: str, tmp_path: Path) -> None:
    recorder = Recorder()
    answer: list[Item] = [u(1), u(2), refresh_delete(b"c2"), Pause()]
    with (
        Provider([u(1), END, Pause()], answer, answer) as provider,
        follow(provider, tmp_path, recorder) as client,
    ):
        poll_until(client, recorder, "commit")
        recorder.clear()
        recorder.on[where] = break_down(ZeroDivisionError())
        client.reconcile()
        with pytest.raises(ZeroDivisionError):
            poll_until(client, recorder, "never")
        assert client.store.origin.cookie == b"c1"
        recorder.on.clear()
        recorder.mirror = contents(client)
        assert list(recorder.mirror) == [dn(1)]
        recorder.clear()
        poll_until(client, recorder, "commit")
        assert recorder.changes == [("add", dn(2))]
        assert cookies(provider) == [None, None, None]
        assert client.poll(0)
        assert cookies(provider) == [None, None, None]


def test_a_disconnect_has_it_done_anew(tmp_path: Path) -> None:
    recorder = Recorder()
    with (
        Provider(
            [u(1), END, Pause()], [u(2), Close()], [u(2), refresh_delete(b"c2"), Pause()]
        ) as provider,
        follow(provider, tmp_path, recorder, reconnect=Backoff(initial=0)) as client,
    ):
        poll_until(client, recorder, "commit")
        client.reconcile()
        while len(recorder.of("bind")) < 2:
            assert client.store.origin.cookie == b"c1"
            recorder.mirror = contents(client)
            assert client.poll(10)
        poll_until(client, recorder, "refresh_done", 2)
        assert contents(client).keys() == {dn(2)}
        assert cookies(provider) == [None, None, None]


def test_a_process_that_ends_in_the_middle_resumes_with_the_old_cookie(tmp_path: Path) -> None:
    half = Pause()
    recorder = Recorder()
    with Provider([u(1), END, Pause()], [u(2), half], [END, Pause()]) as provider:
        with follow(provider, tmp_path, recorder) as client:
            poll_until(client, recorder, "commit")
            client.reconcile()
            poll_until(client, recorder, "add", 2)
        with follow(provider, tmp_path, Recorder(), reconcile_every=math.inf):
            pass
        provider.heard.wait("search", 3)
        assert cookies(provider) == [None, None, b"c1"]


def test_in_refresh_only_after_the_end(tmp_path: Path) -> None:
    recorder = Recorder()
    with (
        Provider([u(1), END], [u(1), u(2), END], [u(2), END]) as provider,
        follow(provider, tmp_path, recorder, REFRESH_ONLY) as client,
    ):
        client.run()
        assert not client.poll(0)
        for _ in range(2):
            client.reconcile()
            client.run()
        assert not client.poll(0)
        assert recorder.changes == [("add", dn(1)), ("add", dn(2)), ("delete", dn(1))]
        assert cookies(provider) == [None] * 3


def test_after_a_stop_nothing_comes_of_it(tmp_path: Path) -> None:
    with (
        Provider([u(1), END, Pause()]) as provider,
        follow(provider, tmp_path, Recorder()) as client,
    ):
        client.please_stop()
        assert not client.poll()
        client.reconcile()
        assert not client.poll()
        assert len(provider.searches) == 1


def test_after_unbind(tmp_path: Path) -> None:
    with Provider([END, Pause()]) as provider:
        client = follow(provider, tmp_path, Recorder())
        client.unbind()
        with pytest.raises(exceptions.ClosedError):
            client.reconcile()


# --- by the clock


def store_of(age: float | None, dialect: str = "OpenLDAP") -> MemoryStore:
    """A store that was reconciled so many seconds ago."""
    store = MemoryStore()
    store.create()
    store.begin()
    reconciled = None if age is None else time.time() - age
    store.commit(Origin(cookie=b"h#b#1", dialect=dialect, reconciled=reconciled))
    return store


@pytest.mark.parametrize(
    ("kind", "every", "age", "due"),
    [
        ("openldap", 60, 61, True),
        ("openldap", 60, 30, False),
        ("openldap", 60, None, True),
        ("openldap", 60, -60, True),  # the clock was put back
        ("openldap", None, 8 * DAY, True),
        ("openldap", None, 6 * DAY, False),
        ("openldap", None, None, True),
        ("openldap", math.inf, 100 * DAY, False),
        ("389", None, 2 * DAY, True),
        ("389", None, 3600, False),
        ("389", math.inf, 2 * DAY, False),
        ("other", None, 100 * DAY, False),
        ("other", None, None, False),
        ("openldap", 1e300, 2 * DAY, False),
    ],
)
def test_due_at_the_start(
    kind: str, every: float | None, age: float | None, due: bool, tmp_path: Path
) -> None:
    store = store_of(age, {"389": "389-ds", "openldap": "OpenLDAP"}.get(kind, kind))
    script: list[Item] = [refresh_delete(b"h#b#1"), Pause()]
    started, recorder = time.time(), Recorder()
    with (
        Provider(script, kind=kind) as provider,
        follow(provider, tmp_path, recorder, store=store, reconcile_every=every) as client,
    ):
        poll_until(client, recorder, "refresh_done")
        client.poll(0)
        client.poll(0.01)
        assert cookies(provider) == [None if due else b"h#b#1"]
        assert ((store.origin.reconciled or 0) >= started) is (due or (age or 0) < 0)


def test_a_store_that_does_not_know_is_reconciled_once(tmp_path: Path) -> None:
    """As one of format 1, which did not say when that was."""
    again: list[Item] = [refresh_delete(b"h#b#2"), Pause()]
    with Provider([END, Pause()], [u(1), *again], again) as provider:
        for forget in (True, False, False):
            recorder = Recorder()
            with follow(provider, tmp_path, recorder) as client:
                poll_until(client, recorder, "commit")
                store = client.store
                if forget:
                    store.begin()
                    store.commit(store.origin._replace(reconciled=None))
        first, second, third = cookies(provider)
        assert (first, second) == (None, None)
        assert third == b"h#b#2"


def test_due_while_poll_waits(tmp_path: Path) -> None:
    """It is due soon after the start, and poll() waits for as long as it takes."""
    recorder = Recorder()
    with (
        Provider([END, Pause()], [u(1), refresh_delete(b"c2"), Pause()]) as provider,
        follow(
            provider, tmp_path, recorder, store=store_of(3599.5), reconcile_every=3600
        ) as client,
    ):
        while not recorder.of("add"):
            assert client.poll(None)
        poll_until(client, recorder, "refresh_done", 2)
        assert len(provider.searches) == 2
        assert provider.searches[1].cookie is None


def test_a_month_is_no_time_too_long_to_wait_for(tmp_path: Path) -> None:
    waiting, recorder = Pause(), Recorder()
    options: dict[str, Any] = {"reconcile_every": 30 * DAY, "heartbeat": None}
    with (
        Provider([END, waiting]) as provider,
        follow(provider, tmp_path, recorder, **options) as client,
    ):
        poll_until(client, recorder, "commit")
        with meanwhile(lambda: waiting.reached.wait(HANGS_SECONDS), client.please_stop):
            client.run()


def test_it_is_remembered_over_restarts(tmp_path: Path) -> None:
    with Provider([END], [END], [refresh_present(b"c1"), done(cookie=b"c1")]) as provider:
        for _ in range(2):
            with follow(
                provider, tmp_path, Recorder(), REFRESH_ONLY, reconcile_every=3600
            ) as client:
                client.run()
        assert cookies(provider) == [None, b"c1"]


def test_a_search_that_can_not_be_sent_leaves_it_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    with (
        Provider([END, Pause()], [u(1), refresh_delete(b"c2"), Pause()]) as provider,
        follow(provider, tmp_path, recorder, reconnect=Backoff(initial=0)) as client,
    ):
        poll_until(client, recorder, "commit")
        client.reconcile()
        assert client.poll(0)
        with monkeypatch.context() as patch:
            patch.setattr(
                "syncrepl_client.network.connection.Connection.search",
                lambda *_: break_down(ldap.SERVER_DOWN())(),
            )
            assert client.poll(0)
        poll_until(client, recorder, "refresh_done", 2)
        assert cookies(provider) == [None, None]
