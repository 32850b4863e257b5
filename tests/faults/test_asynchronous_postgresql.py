# SPDX-License-Identifier: BSD-3-Clause
"""AsyncSyncrepl with a store in PostgreSQL, which takes its time: the event loop goes on."""

from __future__ import annotations

import asyncio
import contextvars
import re
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest

from syncrepl_client import AsyncSyncrepl, SyncreplMode
from syncrepl_client.callbacks import AsyncCallback, BaseCallback
from syncrepl_client.changes import Change
from syncrepl_client.exceptions import ClosedError, StoreError
from syncrepl_client.store import PostgreSQL
from tests.faults.proxy import Gate
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd
from tests.servers.missing import needs
from tests.servers.people import SUFFIX, people_ldif, person_dn
from tests.servers.postgresql import PostgreSQL as Server

pytestmark = [pytest.mark.usefixtures("watchdog"), needs("greenlet")]

PEOPLE = 200
ENTRIES = PEOPLE + 3
TICKS = 200
PERSIST = SyncreplMode.REFRESH_AND_PERSIST
CALLER = contextvars.ContextVar[str]("CALLER")


@pytest.fixture
def slapd(run_server: Callable[..., Any]) -> Slapd:
    server: Slapd = run_server(Slapd, sessionlog=1000, ldif=people_ldif(PEOPLE))
    return server


@pytest.fixture
def url(slapd: Slapd) -> str:
    return f"{slapd.url}/{SUFFIX}?*?sub"


@pytest.fixture
def gate(postgresql: Server) -> Iterator[Gate]:
    with Gate(postgresql.port) as gate:
        yield gate
        gate.open()


@pytest.fixture
def place(postgresql: Server, gate: Gate) -> PostgreSQL:
    """A store behind the gate."""
    url = re.sub(r":\d+/", f":{gate.port}/", postgresql.url)
    return PostgreSQL(url, schema=f"s{secrets.token_hex(8)}")


@pytest.fixture
def direct(postgresql: Server, place: PostgreSQL) -> PostgreSQL:
    return PostgreSQL(postgresql.socket_url, schema=place.schema)


class Told(BaseCallback):
    """Writes a row for each change, through the store's connection."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.client: AsyncSyncrepl | None = None

    def use(self, client: AsyncSyncrepl) -> None:
        self.client = client
        client.store.connection.execute("CREATE TEMPORARY TABLE told (dn text)")

    def dispatch(self, change: Change) -> None:
        assert CALLER.get() == "poll"
        assert asyncio.current_task() is not None
        if self.client is not None:
            self.client.store.connection.execute("INSERT INTO told VALUES (%s)", (change.new_dn,))
        self.told.append(change.new_dn or "")

    def rows(self) -> int:
        assert self.client is not None
        row = self.client.store.connection.execute("SELECT count(*) FROM told").fetchone()
        assert row is not None
        return int(row[0])


async def poll(client: AsyncSyncrepl, timeout: float | None = None) -> bool:
    CALLER.set("poll")
    return await client.poll(timeout)


async def refreshed(client: AsyncSyncrepl) -> None:
    while not client.refreshed:
        await poll(client)


def change(slapd: Slapd, number: int) -> str:
    with slapd.connected() as connection:
        value = secrets.token_hex(4).encode()
        connection.modify_s(person_dn(number), [(ldap.MOD_REPLACE, "description", [value])])
    return person_dn(number)


async def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + HANGS_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def open_after_ticks(gate: Gate) -> int:
    """Let the database answer, but only if the event loop has gone on meanwhile."""
    await until(gate.held.is_set)
    for _ in range(TICKS):
        await asyncio.sleep(0.001)
    gate.open()
    return TICKS


async def hang(client: AsyncSyncrepl, gate: Gate) -> asyncio.Task[bool]:
    """Begin to poll; return when that waits for the database, which does not answer."""
    gate.shut()
    polling = asyncio.create_task(poll(client))
    await until(gate.held.is_set)
    return polling


async def stall(gate: Gate, work: Any) -> Any:
    """Do some work during which the database does not answer for a while."""
    gate.shut()
    ticker = asyncio.create_task(open_after_ticks(gate))
    result = await work
    assert await ticker == TICKS
    return result


def test_a_database_that_stalls(slapd: Slapd, url: str, place: PostgreSQL, gate: Gate) -> None:
    async def follow() -> None:
        told = Told()
        client = AsyncSyncrepl(place, told, PERSIST, url)
        await stall(gate, client.__aenter__())  # which connects, and creates the store
        await client.run_sync(told.use, client)
        await stall(gate, refreshed(client))
        assert len(told.told) == ENTRIES
        for number in range(3):
            name = change(slapd, number)
            assert await stall(gate, poll(client, HANGS_SECONDS))
            assert told.told.pop() == name
        assert await client.run_sync(told.rows) == ENTRIES + 3
        assert len(await client.run_sync(client.store.items)) == ENTRIES
        await stall(gate, client.unbind())
        with pytest.raises(ClosedError):
            await client.run_sync(told.rows)

    asyncio.run(follow())


def test_a_commit_in_a_cancelled_poll(
    slapd: Slapd, url: str, place: PostgreSQL, gate: Gate
) -> None:
    """The statement is finished, and what is not committed comes again."""

    async def follow() -> None:
        told = Told()
        async with AsyncSyncrepl(place, told, PERSIST, url) as client:
            await refreshed(client)
            told.use(client)
            names = []
            for number in range(20):
                names.append(change(slapd, number))
                polling = await hang(client, gate)
                polling.cancel()
                await asyncio.sleep(0)
                gate.open()
                with pytest.raises(asyncio.CancelledError):
                    await polling
                assert not client.store.in_transaction
            while told.told[-1] != names[-1] or client.store.in_transaction:
                await poll(client, HANGS_SECONDS)
            assert set(told.told[ENTRIES:]) == set(names)
            assert await client.run_sync(told.rows) == len(names)

    asyncio.run(follow())


def test_to_cancel_while_the_database_hangs(
    slapd: Slapd, url: str, place: PostgreSQL, direct: PostgreSQL, gate: Gate
) -> None:
    """The connection is given up, and the next poll makes another one."""

    async def follow() -> None:
        told = Told()
        async with AsyncSyncrepl(place, told, PERSIST, url) as client:
            await refreshed(client)
            change(slapd, 1)
            polling = await hang(client, gate)
            polling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await polling
            assert not client.store.in_transaction
            gate.open()
            name = change(slapd, 2)
            while told.told[-1] != name or client.store.in_transaction:
                await poll(client, HANGS_SECONDS)

    asyncio.run(follow())
    assert_told_again(slapd, url, direct, 1)


def assert_told_again(slapd: Slapd, url: str, direct: PostgreSQL, number: int) -> None:
    """A statement that was cut off did nothing; but where it was a COMMIT, it is done."""

    async def follow() -> None:
        told = Told()
        async with AsyncSyncrepl(direct, told, SyncreplMode.REFRESH_ONLY, url) as client:
            while await poll(client):
                pass
            assert set(told.told) <= {person_dn(number)}
            with slapd.connected() as connection:
                ((_, there),) = connection.search_s(person_dn(number), ldap.SCOPE_BASE)
            assert client.store.items()[person_dn(number)]["description"] == there["description"]

    asyncio.run(follow())


def test_to_stop_while_the_database_hangs(
    slapd: Slapd, url: str, place: PostgreSQL, direct: PostgreSQL, gate: Gate
) -> None:
    async def follow() -> None:
        async with AsyncSyncrepl(place, Told, PERSIST, url) as client:
            await refreshed(client)
            change(slapd, 2)
            polling = await hang(client, gate)
            client.please_stop()
            assert not await polling

    asyncio.run(follow())
    gate.open()
    assert_told_again(slapd, url, direct, 2)


def test_to_leave_while_the_database_hangs(
    slapd: Slapd, url: str, place: PostgreSQL, gate: Gate
) -> None:
    async def follow() -> None:
        async with AsyncSyncrepl(place, Told, PERSIST, url) as client:
            await refreshed(client)
            change(slapd, 3)
            polling = await hang(client, gate)
        assert not await polling

    asyncio.run(follow())


def test_a_task_that_is_dropped(
    slapd: Slapd, url: str, place: PostgreSQL, direct: PostgreSQL, gate: Gate
) -> None:
    """Nobody will ever finish its statement: the connection is closed."""

    async def begin() -> tuple[AsyncSyncrepl, asyncio.Task[bool]]:
        client = await AsyncSyncrepl(place, Told, PERSIST, url).__aenter__()
        await refreshed(client)
        change(slapd, 6)
        task = await hang(client, gate)
        return client, task

    loop = asyncio.new_event_loop()
    client, task = loop.run_until_complete(begin())
    task.get_coro().close()  # as where the loop is never run again
    del task
    loop.close()
    with pytest.raises(StoreError, match=r"not open|was lost"):
        len(client.store)
    client._unbind()
    gate.open()
    assert_told_again(slapd, url, direct, 6)


def test_another_task_does_not_wait_for_ever(
    slapd: Slapd, url: str, place: PostgreSQL, gate: Gate
) -> None:
    async def follow() -> None:
        async with AsyncSyncrepl(place, Told, PERSIST, url) as client:
            await refreshed(client)
            change(slapd, 4)
            polling = await hang(client, gate)
            with pytest.raises(StoreError, match="in another task"):
                len(client.store)
            with pytest.raises(StoreError, match="in another task"):
                await client.run_sync(len, client.store)
            gate.open()
            assert await polling
            assert len(client.store) == ENTRIES

    asyncio.run(follow())


def test_async_methods(slapd: Slapd, url: str, place: PostgreSQL, gate: Gate) -> None:
    class Counts(AsyncCallback):
        count = 0

        async def refresh_done(self, items: Any) -> None:
            self.count = await stall(gate, client.run_sync(len, items))
            assert len(list(items)) == ENTRIES  # blocks, and works

    async def follow() -> None:
        async with client:
            await client.run()
        assert client.callback.count == ENTRIES

    client = AsyncSyncrepl(place, Counts, SyncreplMode.REFRESH_ONLY, url)
    asyncio.run(follow())


def test_async_for(slapd: Slapd, url: str, place: PostgreSQL, gate: Gate) -> None:
    async def follow() -> None:
        async with AsyncSyncrepl(place, None, PERSIST, url) as client:
            seen: list[str | None] = []
            async for change in client:
                seen.append(change.new_dn)
                if len(seen) == 3:
                    gate.shut()
                    ticker = asyncio.create_task(open_after_ticks(gate))
                if len(seen) == 5:
                    break
            assert await ticker == TICKS
            rest = [each.new_dn async for each in client.changes(at_once=500, timeout=0.3)]
            assert seen[-1] in rest
            assert len({*seen, *rest}) == len(seen[:-1]) + len(rest) == ENTRIES
            assert len(client.store) == ENTRIES

    asyncio.run(follow())


def test_a_standby_takes_over(slapd: Slapd, url: str, direct: PostgreSQL) -> None:
    """Both are in one event loop."""

    class Follows(Told):
        active = False

        def activated(self) -> None:
            self.active = True

    async def follow() -> None:
        CALLER.set("poll")
        one, other = (
            AsyncSyncrepl(direct, Follows(), PERSIST, url, standby=True) for _ in range(2)
        )
        async with one, other:
            tasks = [asyncio.create_task(client.run()) for client in (one, other)]
            await until(lambda: one.refreshed and not one.store.in_transaction)
            assert (one.callback.active, other.callback.active) == (True, False)
            await one.unbind()
            await until(lambda: other.refreshed)
            assert other.callback.active
            assert other.callback.told == []
            name = change(slapd, 5)
            await until(lambda: other.callback.told == [name])
            other.please_stop()
            await asyncio.gather(*tasks)

    asyncio.run(follow())


def test_statistics_in_a_method(url: str, direct: PostgreSQL) -> None:
    """They need a connection of their own."""

    class Looks(BaseCallback):
        def cookie_change(self, cookie: bytes) -> None:
            self.before = client.stats.entries

    async def follow() -> None:
        async with client:
            await client.run()
            assert client.callback.before == 0
            assert client.stats.entries == ENTRIES

    client = AsyncSyncrepl(direct, Looks, SyncreplMode.REFRESH_ONLY, url)
    asyncio.run(follow())


def test_it_says_that_greenlet_is_missing(
    url: str, direct: PostgreSQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("syncrepl_client.waiting.greenlets", raising=False)
    monkeypatch.setitem(sys.modules, "syncrepl_client.waiting.greenlets", None)
    with pytest.raises(ImportError, match=r"syncrepl_client\[postgresql\]"):
        AsyncSyncrepl(direct, Told, PERSIST, url)
    AsyncSyncrepl(f"{tmp_path}/", Told, PERSIST, url)._unbind()
