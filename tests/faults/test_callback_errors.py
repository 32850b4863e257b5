# SPDX-License-Identifier: BSD-3-Clause
"""Callbacks that fail: raised, tried again, or handed over; never dropped."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Callable

import pytest

from syncrepl_client import Backoff, Change, RetryCallback, Syncrepl, exceptions
from syncrepl_client.callbacks import BaseCallback
from tests.faults.recorder import Recorder, contents, follow, poll_until
from tests.faults.test_reconciling import break_down, cookies
from tests.faults.test_stopping import meanwhile
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.servers import scripted
from tests.servers.scripted import Item, Pause, Provider, refresh_delete

pytestmark = pytest.mark.usefixtures("watchdog")

u, dn = scripted.person, scripted.dn
END = refresh_delete(b"c1")
SOON = Backoff(initial=0.001)
STORES = pytest.mark.parametrize("store", ["sqlite", "shelve", "memory"])
BATCH = 1000


class Broken(Exception):
    """What a callback raises."""


class Table(BaseCallback):
    """Writes the DNs that it hears of into the store's database; fails at some."""

    client: Syncrepl | None = None

    def __init__(self, *bad: str, times: int = 1_000_000) -> None:
        self.bad = set(bad)
        self.failures = 0
        self.times = times

    def record_add(self, dn: str, attrs: Any) -> None:
        assert self.client is not None
        self.client.store.connection.execute("INSERT INTO heard VALUES (?)", (dn,))
        if dn in self.bad and self.failures < self.times:
            self.failures += 1
            raise Broken


def letters() -> tuple[list[tuple[Change, Exception]], Callable[[Change, Exception], None]]:
    """A list, and what puts dead letters into it."""
    sent: list[tuple[Change, Exception]] = []
    return sent, lambda change, error: sent.append((change, error))


def follow_into_table(
    provider: Provider, data_path: Path, table: Table, policy: RetryCallback
) -> Syncrepl:
    client = follow(provider, data_path, table, on_callback_error=policy)
    client.store.connection.execute("CREATE TABLE heard (dn TEXT)")
    table.client = client
    return client


def rows(data_path: Path) -> list[str]:
    with closing(sqlite3.connect(data_path / "syncrepl.sqlite3")) as connection:
        return [name for (name,) in connection.execute("SELECT dn FROM heard ORDER BY dn")]


@STORES
@pytest.mark.parametrize("where", ["add", "refresh_done", "cookie", "commit"])
def test_by_default_it_is_raised_and_told_again(where: str, store: str, tmp_path: Path) -> None:
    script: list[Item] = [u(1), u(2), END, Pause()]
    recorder, error = Recorder(), Broken()
    recorder.on[where] = break_down(error)
    with (
        Provider(script, script) as provider,
        follow(provider, tmp_path, recorder, store=store) as client,
    ):
        with pytest.raises(Broken) as raised:
            poll_until(client, recorder, "never")
        assert raised.value is error
        assert client.store.origin.cookie is None
        assert contents(client) == {}
        client.callback = Recorder()
        poll_until(client, client.callback, "commit")
        assert client.callback.changes == [("add", dn(1)), ("add", dn(2))]
        assert contents(client) == client.callback.mirror


@STORES
@pytest.mark.parametrize("where", ["add", "refresh_done", "cookie", "commit"])
def test_it_is_tried_again_and_then_raised(where: str, store: str, tmp_path: Path) -> None:
    script: list[Item] = [u(1), END, Pause()]
    heard = []

    class Failing(Recorder):
        def hear(self, what: str, *details: Any) -> None:
            if what == where:
                heard.append(what)
                raise Broken

    policy = RetryCallback(retries=3, backoff=SOON)
    with (
        Provider(*[script] * 8) as provider,
        follow(
            provider, tmp_path, Forgetful(Failing()), store=store, on_callback_error=policy
        ) as client,
    ):
        for attempts in (4, 8):
            with pytest.raises(Broken):
                client.run()
            assert client.store.origin.cookie is None
            assert len(heard) == attempts


class Forgetful(BaseCallback):
    """Hands on to a recorder that starts with nothing at each refresh of an empty store."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def dispatch(self, change: Change) -> None:
        self._recorder.mirror.clear()
        self._recorder.dispatch(change)

    def refresh_done(self, items: Any) -> None:
        self._recorder.refresh_done(items)

    def cookie_change(self, cookie: bytes) -> None:
        self._recorder.cookie_change(cookie)

    def before_commit(self) -> None:
        self._recorder.before_commit()


def test_rows_are_written_exactly_once(tmp_path: Path) -> None:
    table = Table(dn(2), times=2)
    script: list[Item] = [u(1), u(2), END, Pause()]
    with (
        Provider(*[script] * 3) as provider,
        follow_into_table(provider, tmp_path, table, RetryCallback(2, SOON)) as client,
    ):
        while not client.refreshed:
            assert client.poll(10)
    assert table.failures == 2
    assert rows(tmp_path) == [dn(1), dn(2)]


def test_a_dead_letters_rows_are_undone_and_the_rest_goes_on(tmp_path: Path) -> None:
    sent, dead_letter = letters()
    table = Table(dn(2))
    script: list[Item] = [u(1), u(2), u(3), END, Pause()]
    with (
        Provider(*[script] * 2) as provider,
        follow_into_table(provider, tmp_path, table, RetryCallback(1, SOON, dead_letter)) as client,
    ):
        while not client.refreshed:
            assert client.poll(10)
        assert len(contents(client)) == 3
    assert rows(tmp_path) == [dn(1), dn(3)]
    [(change, error)] = sent
    assert change.new_dn == dn(2)
    assert isinstance(error, Broken)


@STORES
def test_in_the_persist_stage(store: str, tmp_path: Path) -> None:
    sent, dead_letter = letters()

    class Failing(BaseCallback):
        def record_add(self, dn: str, attrs: Any) -> None:
            if dn == scripted.dn(2):
                raise Broken

    resumed: list[Item] = [u(2), u(3), refresh_delete(b"c3"), Pause()]
    policy = RetryCallback(1, SOON, dead_letter)
    with (
        Provider([u(1), END, u(2, cookie=b"c2"), Pause()], resumed) as provider,
        follow(provider, tmp_path, Failing(), store=store, on_callback_error=policy) as client,
    ):
        while client.store.origin.cookie != b"c3":
            assert client.poll(10)
        assert len(contents(client)) == 3
        assert cookies(provider) == [None, b"c1"]
    assert [change.new_dn for change, _ in sent] == [dn(2)]


def test_each_entry_is_counted_by_itself(tmp_path: Path) -> None:
    sent, dead_letter = letters()
    table = Table(dn(1), dn(2))
    script: list[Item] = [u(1), u(2), END, Pause()]
    with (
        Provider(*[script] * 5) as provider,
        follow_into_table(provider, tmp_path, table, RetryCallback(2, SOON, dead_letter)) as client,
    ):
        while not client.refreshed:
            assert client.poll(10)
        assert len(provider.searches) == 5
    assert {change.new_dn for change, _ in sent} == {dn(1), dn(2)}
    assert rows(tmp_path) == []


@pytest.mark.parametrize("iterating", [True, False])
def test_in_a_later_batch_of_a_refresh_it_is_counted_too(iterating: bool, tmp_path: Path) -> None:
    """Each attempt commits the batches before it: that must not start the count anew."""
    sent, dead_letter = letters()
    bad = BATCH + 5
    script: list[Item] = [*map(u, range(1, bad + 1)), END, Pause()]
    table = Table(dn(bad))
    policy = RetryCallback(2, SOON, dead_letter if iterating else None)
    with (
        Provider(*[script] * 3) as provider,
        follow_into_table(provider, tmp_path, table, policy) as client,
    ):
        if iterating:
            while not client.refreshed:
                assert client.poll(10)
        else:
            with pytest.raises(Broken):
                client.run()
    assert table.failures == 3
    assert len(sent) == iterating
    assert len(rows(tmp_path)) == len(set(rows(tmp_path)))


def test_a_dead_letter_that_raises_is_raised(tmp_path: Path) -> None:
    def dead_letter(change: Change, error: Exception) -> None:
        raise OSError("the queue is full")

    table = Table(dn(1))
    with (
        Provider([u(1), END]) as provider,
        follow_into_table(provider, tmp_path, table, RetryCallback(0, SOON, dead_letter)) as client,
    ):
        with pytest.raises(OSError, match="the queue is full"):
            client.run()
        assert client.store.origin.cookie is None
    assert rows(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_is_no_exception_is_raised_at_once(error: type[BaseException], tmp_path: Path) -> None:
    sent, dead_letter = letters()
    script: list[Item] = [u(1), END, Pause()]

    class Interrupting(BaseCallback):
        def record_add(self, dn: str, attrs: Any) -> None:
            raise error

    policy = RetryCallback(0, SOON, dead_letter)
    with (
        Provider(script, script) as provider,
        follow(provider, tmp_path, Interrupting(), on_callback_error=policy) as client,
    ):
        with pytest.raises(error):
            client.run()
        assert sent == []
        recorder = Recorder()
        client.callback = recorder
        poll_until(client, recorder, "commit")
        assert recorder.changes == [("add", dn(1))]


def test_a_stop_ends_the_wait_for_the_next_attempt(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.on["add"] = break_down(Broken())
    policy = RetryCallback(5, Backoff(initial=3600, maximum=3600))
    with (
        Provider([u(1), END, Pause()]) as provider,
        follow(provider, tmp_path, recorder, on_callback_error=policy) as client,
    ):
        while not recorder.of("add"):
            assert client.poll(10)
        assert client.poll(0)
        assert client.poll(0.01)
        with meanwhile(lambda: True, client.please_stop):
            client.run()
        assert len(provider.searches) == 1


def test_what_is_logged_has_no_values(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, dead_letter = letters()
    table = Table(dn(1))
    script: list[Item] = [u(1, "a secret"), END, Pause()]
    with (
        caplog.at_level(logging.DEBUG, "syncrepl_client"),
        Provider(script, script) as provider,
        follow_into_table(provider, tmp_path, table, RetryCallback(1, SOON, dead_letter)) as client,
    ):
        while not client.refreshed:
            assert client.poll(10)
    assert "a secret" not in caplog.text
    logged = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.levelname for record in logged] == ["WARNING", "ERROR"]
    assert dn(1) in logged[1].getMessage()


def test_a_policy_that_is_none(tmp_path: Path) -> None:
    with Provider() as provider, pytest.raises(exceptions.ConfigurationError):
        follow(provider, tmp_path, Recorder(), on_callback_error="retry")
    for arguments in ({"retries": -1}, {"retries": True}, {"dead_letter": 1}):
        with pytest.raises(exceptions.ConfigurationError):
            RetryCallback(**arguments)
