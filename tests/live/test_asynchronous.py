# SPDX-License-Identifier: BSD-3-Clause
"""AsyncSyncrepl where it differs from Syncrepl; all else: ``SYNCREPL_CLIENT=async``."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest
from ldap.ldapobject import LDAPObject

from syncrepl_client import AsyncSyncrepl, Backoff, Change, ChangeKind, RetryCallback, Syncrepl
from syncrepl_client.callbacks import AsyncCallback, Attributes, BaseCallback
from syncrepl_client.exceptions import CallbackInvalid, ClosedError, StoreLocked, UsageError
from tests.faults.recorder import PERSIST, REFRESH_ONLY, Recorder
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd
from tests.servers.middle import silent_listener
from tests.servers.people import SUFFIX, people_ldif, person_dn

pytestmark = pytest.mark.usefixtures("watchdog")

PEOPLE = 200
ENTRIES = PEOPLE + 3
CHANGED = person_dn(7)


class Told(AsyncCallback):
    """Takes its time over everything; fails at some DNs, or waits there for ever."""

    def __init__(self, *bad: str, times: int = 1, hangs_at: str = "") -> None:
        self.told: list[tuple[str, ...]] = []
        self.committed: list[tuple[str, ...]] = []
        self.bad = set(bad)
        self.times = times
        self.hangs_at = hangs_at
        self.hangs = asyncio.Event()
        self.bound = 0

    async def tell(self, *what: str) -> None:
        await asyncio.sleep(0)
        self.told.append(what)
        if what[-1] in self.bad and self.times:
            self.times -= 1
            self.told.clear()
            raise ZeroDivisionError
        if what[-1] == self.hangs_at:
            self.hangs.set()
            await asyncio.sleep(3600)

    async def bind_complete(self, ldap: Any) -> None:
        self.bound += 1
        assert await asyncio.to_thread(ldap.whoami_s) == ""

    async def record_add(self, dn: str, attrs: Attributes) -> None:
        await self.tell("add", dn)

    async def record_change(self, dn: str, old_attrs: Attributes, new_attrs: Attributes) -> None:
        await self.tell("change", dn)

    async def record_rename(self, old_dn: str, new_dn: str) -> None:
        await self.tell("rename", old_dn, new_dn)

    async def record_delete(self, dn: str) -> None:
        await self.tell("delete", dn)

    async def refresh_done(self, items: Any) -> None:
        await self.tell("refresh done", str(len(items)))

    async def before_commit(self) -> None:
        await asyncio.sleep(0)
        self.committed += self.told
        self.told = []


@pytest.fixture
def server(run_server: Callable[..., Any]) -> Any:
    return run_server(Slapd, sessionlog=1000, ldif=people_ldif(PEOPLE))


@pytest.fixture
def url(server: Slapd) -> str:
    return f"{server.url}/{SUFFIX}?*?sub"


@pytest.fixture
def connection(server: Slapd) -> Iterator[LDAPObject]:
    with server.connected() as connection:
        yield connection


@pytest.fixture
def data_path(tmp_path: Path) -> str:
    return f"{tmp_path}/"


def change_mail(connection: LDAPObject, value: str, name: str = CHANGED) -> None:
    connection.modify_s(name, [(ldap.MOD_REPLACE, "mail", value.encode())])


async def next_of(changes: AsyncIterator[Change]) -> Change:
    return await changes.__anext__()


async def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + HANGS_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def test_async_callbacks(data_path: str, url: str, connection: LDAPObject) -> None:
    async def follow() -> None:
        told = Told()
        async with AsyncSyncrepl(data_path, told, PERSIST, url) as client:
            following = asyncio.create_task(client.run())
            await until(lambda: len(told.committed) == ENTRIES + 1)
            assert told.committed[-1] == ("refresh done", str(ENTRIES))
            assert client.refreshed
            told.committed.clear()
            new = f"uid=renamed,ou=people,{SUFFIX}"
            connection.rename_s(CHANGED, "uid=renamed")
            connection.delete_s(person_dn(8))
            await until(lambda: len(told.committed) == 3)
            assert told.committed == [
                ("rename", CHANGED, new),
                ("change", new),
                ("delete", person_dn(8)),
            ]
            client.please_stop()
            await following
            assert told.bound == 1

    asyncio.run(follow())


def test_async_for(data_path: str, url: str, connection: LDAPObject) -> None:
    async def follow() -> None:
        async with AsyncSyncrepl(data_path, None, PERSIST, url) as client:
            seen = set()
            async for change in client:
                seen.add(change.new_dn)
                if len(seen) == ENTRIES:
                    last = change
                    break
            again = [each._replace(time=last.time) async for each in client.changes(timeout=0.3)]
            assert again == [last]
            change_mail(connection, "one@example.com")
            async for change in client.changes():
                assert (change.kind, change.new_dn) == (ChangeKind.MODIFY, CHANGED)
                client.please_stop()
            assert [each async for each in client] == []
        with pytest.raises(ClosedError):
            client.changes()

    asyncio.run(follow())


def test_no_thread_waits_and_the_loop_goes_on(data_path: str, url: str) -> None:
    async def follow() -> None:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(0)
                beats += 1

        threads = threading.active_count()
        heart = asyncio.create_task(beat())
        async with AsyncSyncrepl(data_path, BaseCallback, PERSIST, url) as client:
            beats = 0
            while not client.refreshed:
                await client.poll()
            assert beats >= ENTRIES // 64  # each group of messages lets others have a turn
            waiting = asyncio.create_task(client.poll())
            await asyncio.sleep(0.2)
            assert threading.active_count() == threads
            assert not waiting.done()
            client.please_stop()
            assert not await waiting
        heart.cancel()

    asyncio.run(follow())


def test_to_cancel_a_callback_rolls_back(data_path: str, url: str) -> None:
    async def follow(told: Told) -> None:
        async with AsyncSyncrepl(data_path, told, REFRESH_ONLY, url) as client:
            task = asyncio.create_task(client.run())
            if told.hangs_at:
                await told.hangs.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert not client.store.in_transaction
                return
            await task

    first, second = Told(hangs_at=person_dn(100)), Told()
    asyncio.run(follow(first))
    asyncio.run(follow(second))
    assert ("add", person_dn(100)) in first.told
    assert sorted(first.committed + second.committed)[:-1] == sorted(
        ("add", dn) for _, dn in {*first.told, *second.committed, *first.committed} if "=" in dn
    )


def test_to_cancel_a_poll_that_waits_keeps_the_search(
    data_path: str, url: str, connection: LDAPObject
) -> None:
    async def follow() -> None:
        recorder = Recorder()
        async with AsyncSyncrepl(data_path, recorder, PERSIST, url) as client:
            while not client.refreshed:
                await client.poll()
            search = client._searches.search
            for number in range(5):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(client.poll(), 0.05)
                change_mail(connection, f"{number}@example.com")
                await client.poll(HANGS_SECONDS)
            await client.poll(0.2)
            assert recorder.mirror[CHANGED]["mail"] == [b"4@example.com"]
            assert client._searches.search is search

    asyncio.run(follow())


@pytest.mark.parametrize("seed", range(5))
def test_to_cancel_it_anywhere_loses_nothing(
    data_path: str, url: str, connection: LDAPObject, seed: int
) -> None:
    """Cancelled after a growing number of the loop's rounds; what was committed comes once."""

    async def follow(rounds: int, told: Told) -> None:
        async with AsyncSyncrepl(data_path, told, REFRESH_ONLY, url) as client:
            task = asyncio.create_task(client.run())
            for _ in range(rounds):
                await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                assert not client.store.in_transaction

    committed: list[tuple[str, ...]] = []
    rounds = 20 + seed
    while not committed or committed[-1][0] != "refresh done":
        told = Told()
        asyncio.run(follow(rounds, told))
        committed += told.committed
        rounds *= 2
    adds = [dn for kind, dn in committed if kind == "add"]
    assert len(adds) == len(set(adds)) == ENTRIES


@pytest.mark.parametrize("policy", [None, RetryCallback(2, Backoff(initial=0.001))])
def test_an_async_callback_that_fails(
    data_path: str, url: str, policy: RetryCallback | None
) -> None:
    async def follow() -> None:
        told = Told(person_dn(5))
        client = AsyncSyncrepl(data_path, told, REFRESH_ONLY, url, on_callback_error=policy)
        async with client:
            if policy is None:
                with pytest.raises(ZeroDivisionError):
                    await client.run()
                assert not told.committed
            await client.run()
            assert len(told.committed) == ENTRIES + 1
            assert client.stats.callback_errors == 1

    asyncio.run(follow())


def test_async_dead_letters(data_path: str, url: str) -> None:
    letters: list[Change] = []

    async def dead_letter(change: Change, error: Exception) -> None:
        await asyncio.sleep(0)
        assert isinstance(error, ZeroDivisionError)
        letters.append(change)

    async def follow() -> None:
        told = Told(person_dn(5), times=100)
        policy = RetryCallback(1, Backoff(initial=0.001), dead_letter)
        async with AsyncSyncrepl(
            data_path, told, REFRESH_ONLY, url, on_callback_error=policy
        ) as client:
            await client.run()

    asyncio.run(follow())
    assert [change.new_dn for change in letters] == [person_dn(5)]


def test_a_reconnect(data_path: str, url: str, server: Slapd) -> None:
    async def follow() -> None:
        told = Told()
        async with AsyncSyncrepl(data_path, told, PERSIST, url) as client:
            following = asyncio.create_task(client.run())
            await until(lambda: client.refreshed)
            await asyncio.to_thread(server.restart)
            with server.connected() as connection:
                change_mail(connection, "after@example.com")
            await until(lambda: ("change", CHANGED) in told.committed)
            assert told.bound == 2
            assert client.stats.reconnects == 1
            client.please_stop()
            await following

    asyncio.run(follow())


def test_connecting_does_not_hold_up_the_loop(data_path: str) -> None:
    async def follow(url: str) -> None:
        options = {ldap.OPT_NETWORK_TIMEOUT: 1.0, ldap.OPT_TIMEOUT: 1.0}
        client = AsyncSyncrepl(data_path, BaseCallback, PERSIST, f"{url}/dc=x", options=options)
        entering = asyncio.create_task(client.__aenter__())
        beats = 0
        while not entering.done():
            await asyncio.sleep(0.01)
            beats += 1
        assert beats > 10
        with pytest.raises(ldap.LDAPError):
            await entering
        with pytest.raises(ClosedError):
            await client.poll()

    with silent_listener() as url:
        asyncio.run(follow(url.replace("ldaps", "ldap")))


def test_to_cancel_the_connecting(data_path: str) -> None:
    async def follow(url: str) -> None:
        options = {ldap.OPT_NETWORK_TIMEOUT: 1.0, ldap.OPT_TIMEOUT: 1.0}
        client = AsyncSyncrepl(data_path, BaseCallback, PERSIST, f"{url}/dc=x", options=options)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.__aenter__(), 0.1)
        AsyncSyncrepl(data_path, BaseCallback, PERSIST, f"{url}/dc=x")._unbind()  # not locked

    with silent_listener() as url:
        asyncio.run(follow(url.replace("ldaps", "ldap")))


@pytest.mark.parametrize("how", ["add_signal_handler", "signal"])
def test_a_signal_stops_it(data_path: str, url: str, how: str) -> None:
    async def follow() -> float:
        async with AsyncSyncrepl(data_path, BaseCallback, PERSIST, url) as client:
            if how == "signal":
                signal.signal(signal.SIGUSR1, lambda *_: client.please_stop())
            else:
                asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, client.please_stop)
            asyncio.get_running_loop().call_later(0.2, signal.raise_signal, signal.SIGUSR1)
            await client.run()
            return client.stats.commits

    before = signal.getsignal(signal.SIGUSR1)
    try:
        assert asyncio.run(follow())
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_one_at_a_time(data_path: str, url: str) -> None:
    async def follow() -> None:
        async with AsyncSyncrepl(data_path, BaseCallback, PERSIST, url) as client:
            with pytest.raises(StoreLocked):
                AsyncSyncrepl(data_path, BaseCallback, PERSIST, url)
            polling = asyncio.create_task(client.run())
            await asyncio.sleep(0)
            again: list[Callable[[], Awaitable[Any]]] = [client.poll, client.run, client.verify]
            for method in again:
                with pytest.raises(UsageError):
                    await method()
            with pytest.raises(UsageError):
                client.changes()
            client.please_stop()
            await polling

    asyncio.run(follow())


def test_to_leave_while_a_task_is_at_work_stops_it(data_path: str, url: str) -> None:
    async def follow() -> asyncio.Task[None]:
        async with AsyncSyncrepl(data_path, BaseCallback, PERSIST, url) as client:
            task = asyncio.create_task(client.run())
            await until(lambda: client.refreshed)
        with pytest.raises(ClosedError):
            await client.poll()
        await task
        return task

    assert not asyncio.run(follow()).cancelled()


def test_to_leave_while_a_task_has_a_change(data_path: str, url: str) -> None:
    async def follow() -> None:
        async with AsyncSyncrepl(data_path, None, PERSIST, url) as client:
            changes = client.changes()
            await asyncio.create_task(next_of(changes))
        with pytest.raises(ClosedError):
            await next_of(changes)

    asyncio.run(follow())


def test_unbind_in_a_callback(data_path: str, url: str) -> None:
    class Unbinds(AsyncCallback):
        async def refresh_done(self, items: Any) -> None:
            with pytest.raises(UsageError):
                await client.unbind()

    async def follow() -> None:
        async with client:
            await client.run()

    client = AsyncSyncrepl(data_path, Unbinds, REFRESH_ONLY, url)
    asyncio.run(follow())


def test_verify(data_path: str, url: str) -> None:
    async def follow() -> None:
        async with AsyncSyncrepl(data_path, BaseCallback, PERSIST, url) as client:
            with pytest.raises(UsageError):
                await client.verify()
            while not client.refreshed:
                await client.poll()
            assert await client.verify() == []

    asyncio.run(follow())


class AsyncAdd(BaseCallback):
    async def record_add(self, dn: str, attrs: Any) -> None:  # type: ignore[override]
        """As somebody writes it who does not know of AsyncCallback."""


class HiddenAdd(BaseCallback):
    def record_add(self, dn: str, attrs: Any) -> Any:  # not seen to be async
        return asyncio.sleep(0)


class AsyncDebug(AsyncCallback):
    async def debug(self, message: str) -> None:  # type: ignore[override]
        """Nobody awaits it."""


def test_async_methods_where_nothing_awaits_them(data_path: str, url: str) -> None:
    with pytest.raises(CallbackInvalid, match=r"record_add\(\) .* use AsyncSyncrepl"):
        Syncrepl(data_path, AsyncAdd, REFRESH_ONLY, url)
    with pytest.raises(CallbackInvalid, match=r"use AsyncSyncrepl"):
        Syncrepl(data_path, Told, REFRESH_ONLY, url)
    with pytest.raises(CallbackInvalid, match=r"debug\(\) can't be"):
        AsyncSyncrepl(data_path, AsyncDebug, REFRESH_ONLY, url)
    with Syncrepl(data_path, HiddenAdd, REFRESH_ONLY, url) as client:
        with pytest.raises(CallbackInvalid, match="AsyncSyncrepl"):
            client.run()
        assert len(client.store) == 0


def test_async_methods_of_a_base_callback_are_awaited(data_path: str, url: str) -> None:
    added: list[str] = []

    class Add(BaseCallback):
        async def record_add(self, dn: str, attrs: Any) -> None:  # type: ignore[override]
            await asyncio.sleep(0)
            added.append(dn)

    async def follow() -> None:
        async with AsyncSyncrepl(data_path, Add, REFRESH_ONLY, url) as client:
            await client.run()

    asyncio.run(follow())
    assert len(added) == ENTRIES


def test_many_clients_in_one_loop(tmp_path: Path, url: str) -> None:
    async def follow(number: int) -> int:
        async with AsyncSyncrepl(
            f"{tmp_path}/{number}-", BaseCallback, REFRESH_ONLY, url
        ) as client:
            await client.run()
            return len(client.store)

    async def follow_all() -> list[int]:
        return list(await asyncio.gather(*map(follow, range(8))))

    assert asyncio.run(follow_all()) == [ENTRIES] * 8
