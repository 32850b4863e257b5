# SPDX-License-Identifier: BSD-3-Clause
"""Clients that share a PostgreSQL store, in one process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Callable

import ldap
import psycopg
import pytest

from syncrepl_client import AsyncSyncrepl, Backoff, Syncrepl, SyncreplMode, run_all
from syncrepl_client.callbacks import AsyncCallback, BaseCallback
from syncrepl_client.exceptions import (
    CallbackOverdue,
    ConfigurationError,
    LDAPUrlConflict,
    StoreLost,
    StoreUnreachable,
)
from syncrepl_client.store import (
    MemoryStore,
    PostgreSQLStore,
    ShelfStore,
    SQLiteStore,
    Store,
    read_store,
)
from tests.faults.failover.cutting import Cutting
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd
from tests.servers.people import SUFFIX, people_ldif, person_dn
from tests.servers.postgresql import PostgreSQL

PERSIST = SyncreplMode.REFRESH_AND_PERSIST
NOBODY = "ldap://127.0.0.1:1"
"""Where no server is."""
SEARCH = f"{NOBODY}/{SUFFIX}??sub"


@pytest.fixture
def server(run_server: Callable[..., Any]) -> Slapd:
    slapd: Slapd = run_server(Slapd, sessionlog=1000, ldif=people_ldif(3))
    return slapd


@pytest.fixture
def database(postgresql: PostgreSQL) -> Iterator[str]:
    """The URL of an empty database, over TCP."""
    with postgresql.database() as name:
        yield f"{postgresql.url.rpartition('/')[0]}/{name}"


class Heard(BaseCallback):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.sleeps = 0.0
        self.fails: dict[str, Exception] = {}

    def hear(self, what: str) -> None:
        self.heard.append(what)
        if what in self.fails:
            raise self.fails.pop(what)

    def activated(self) -> None:
        self.hear("activated")

    def deactivated(self) -> None:
        self.hear("deactivated")

    def bind_complete(self, ldap: Any) -> None:
        self.hear("bind")

    def disconnected(self, error: Exception) -> None:
        self.hear(type(error).__name__)

    def record_add(self, dn: str, attrs: Any) -> None:
        self.hear("add")

    def record_change(self, dn: str, old_attrs: Any, new_attrs: Any) -> None:
        self.hear("change")
        time.sleep(self.sleeps)

    def refresh_done(self, items: Mapping[str, Any]) -> None:
        self.hear("refreshed")


ADDED = ["add"] * 6


def follow(url: str, database: str, callback: Any = None, **options: Any) -> Syncrepl:
    options = {"standby": True, "reconnect": Backoff(0.01), **options}
    return Syncrepl(database, callback or Heard(), PERSIST, f"{url}/{SUFFIX}?*?sub", **options)


def poll_until(client: Syncrepl, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + HANGS_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        assert client.poll(0.1)


def change(server: Slapd, description: str) -> None:
    with server.connected() as connection:
        values = [(ldap.MOD_REPLACE, "description", [description.encode()])]
        connection.modify_s(person_dn(1), values)


# --- arguments


@pytest.mark.parametrize("options", [
    {"lease": 1}, {"lease": "2"}, {"lease": True}, {"lease": float("inf")}, {"standby": 1},
])  # fmt: skip
def test_bad_arguments(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"lease|standby"):
        Syncrepl(f"{tmp_path}/", Heard, PERSIST, SEARCH, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["sqlite", "shelve", "memory"])
def test_stores_that_are_not_shared(kind: str, tmp_path: Path) -> None:
    for options in ({"standby": True}, {"lease": 5}):
        with pytest.raises(ConfigurationError, match=f"'{kind}' can't be shared"):
            Syncrepl(f"{tmp_path}/", Heard, PERSIST, SEARCH, store=kind, **options)
    assert not list(tmp_path.iterdir())
    made: dict[str, Callable[[], Store]] = {
        "sqlite": lambda: SQLiteStore(f"{tmp_path}/s"),
        "shelve": lambda: ShelfStore(f"{tmp_path}/s"),
        "memory": MemoryStore,
    }
    with closing(made[kind]()) as store, pytest.raises(ConfigurationError, match="Store can't be"):
        Syncrepl("", Heard, PERSIST, SEARCH, store=store, standby=True)


def test_a_constructor_that_fails_ends_what_it_began(server: Slapd, database: str) -> None:
    callback = Heard()
    callback.fails["bind"] = LookupError("not now")
    with pytest.raises(LookupError):
        follow(server.url, database, callback)
    assert callback.heard == ["activated", "bind", "deactivated"]
    with follow(server.url, database, callback) as client:
        poll_until(client, lambda: client.refreshed)


# --- standing by


def test_standing_by_and_taking_over(server: Slapd, database: str) -> None:
    """A standby needs no directory to begin, says what it is, and ends when it is asked to."""
    with follow(server.url, database) as active:
        poll_until(active, lambda: active.refreshed)
        assert active.callback.heard == ["activated", "bind", *ADDED, "refreshed"]
        assert (active.stats.stage, active.stats.term, active.stats.active) == ("persist", 1, True)
        with follow(NOBODY, database) as standby:
            assert standby.poll(0)
            stats = standby.stats
            assert (stats.stage, stats.term, stats.entries) == ("standby", None, 6)
            assert not stats.active
            assert not standby.active
            standby.please_stop()
            assert not standby.poll()
            assert standby.callback.heard == []
        with follow(server.url, database) as standby:
            assert standby.poll(0.5)
            active.please_stop()
            assert not active.poll()
            assert active.callback.heard[-1] == "deactivated"
            assert len(active.store.items()) == 6  # it can still be read
            change(server, "meanwhile")
            poll_until(standby, lambda: standby.refreshed)
            assert standby.callback.heard == ["activated", "bind", "change", "refreshed"]
            assert (standby.stats.stage, standby.stats.term) == ("persist", 2)


def test_two_that_begin(server: Slapd, database: str) -> None:
    """Only one of them makes the store; the other one has nothing to read yet."""
    with follow(server.url, database) as first, follow(server.url, database) as second:
        assert (first.active, second.active) == (True, False)
        assert second.poll(0)
        first.unbind()
        poll_until(second, lambda: second.refreshed)
        assert second.callback.heard.count("add") == 6


def test_another_search(server: Slapd, database: str) -> None:
    """It is refused at once, and where the search was changed, at the takeover."""
    url = f"{server.url}/{SUFFIX}?*?one"
    with follow(server.url, database) as active:
        with pytest.raises(LDAPUrlConflict):
            Syncrepl(database, Heard, PERSIST, url, standby=True)
        with follow(server.url, database) as standby:
            active.unbind()
            with Syncrepl(database, Heard, PERSIST, url, change_search=True, lease=5):
                pass
            with pytest.raises(LDAPUrlConflict):
                poll_until(standby, lambda: standby.active)
            with read_store(database) as reader:
                assert not reader.in_use


def test_activated_is_called_until_it_returns(server: Slapd, database: str) -> None:
    callback = Heard()
    callback.fails["activated"] = KeyError("refused")
    with pytest.raises(KeyError):
        follow(server.url, database, callback)
    with follow(server.url, database, callback) as active:
        standby_callback = Heard()
        standby_callback.fails["activated"] = KeyError("refused")
        with follow(server.url, database, standby_callback) as standby:
            assert standby.poll(0)
            active.unbind()
            with pytest.raises(KeyError):
                poll_until(standby, lambda: standby.refreshed)
            poll_until(standby, lambda: standby.refreshed)
            assert standby_callback.heard == ["activated", "activated", "bind", *ADDED, "refreshed"]


def test_several_in_a_thread(server: Slapd, database: str) -> None:
    with follow(server.url, database) as active, follow(server.url, database) as standby:
        active.callback.refresh_done = lambda items: active.please_stop()
        run_all(active, standby)
        assert (active.stats.stage, standby.stats.stage) == ("over", "over")
        assert standby.callback.heard == []


def test_iterating(server: Slapd, database: str) -> None:
    with follow(server.url, database) as active:
        poll_until(active, lambda: active.refreshed)
        with follow(server.url, database) as standby:
            assert list(standby.changes(timeout=0.1)) == []
            active.unbind()
            change(server, "meanwhile")
            found = next(standby.changes())
            assert found.new_attrs is not None
            assert found.new_attrs["description"] == [b"meanwhile"]


class AsyncHeard(AsyncCallback):
    def __init__(self) -> None:
        self.heard: list[str] = []

    async def activated(self) -> None:
        await asyncio.sleep(0)
        self.heard.append("activated")

    async def deactivated(self) -> None:
        await asyncio.sleep(0)
        self.heard.append("deactivated")


def test_asynchronously(server: Slapd, database: str) -> None:
    url = f"{server.url}/{SUFFIX}?*?sub"

    async def take_over(active: Syncrepl) -> AsyncHeard:
        callback = AsyncHeard()
        async with AsyncSyncrepl(database, callback, PERSIST, url, standby=True) as standby:
            assert await standby.poll(0.1)
            assert standby.stats.stage == "standby"
            active.unbind()
            deadline = time.monotonic() + HANGS_SECONDS
            while not standby.refreshed:
                assert time.monotonic() < deadline
                await standby.poll(0.1)
            standby.please_stop()
            assert not await standby.poll()
        return callback

    with follow(server.url, database) as active:
        callback = asyncio.run(take_over(active))
    assert callback.heard == ["activated", "deactivated"]


def test_who_reaches_no_server_hands_over(server: Slapd, database: str) -> None:
    with ExitStack() as way:
        proxy = way.enter_context(Cutting(server.port))
        with follow(f"ldap://127.0.0.1:{proxy.port}", database) as active:
            poll_until(active, lambda: active.refreshed)
            with follow(server.url, database) as standby:
                assert standby.poll(0)
                way.close()
                poll_until(active, lambda: "deactivated" in active.callback.heard)
                poll_until(standby, lambda: standby.refreshed)
                assert active.callback.heard.count("SERVER_DOWN") == 3
                assert active.stats.stage == "standby"


def test_an_error_that_ends_the_search(server: Slapd, database: str) -> None:
    with follow(server.url, database, reconnect=False) as client:
        poll_until(client, lambda: client.refreshed)
        server.stop()
        with pytest.raises(ldap.SERVER_DOWN):
            poll_until(client, lambda: False)
        assert client.callback.heard[-1] == "deactivated"
        assert not is_used(database)


# --- the lease


def poll_for(client: Syncrepl, seconds: float) -> None:
    """Poll for longer than the lease."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert client.poll(seconds)


def is_used(database: str) -> bool:
    with read_store(database) as reader:
        return reader.in_use


def test_a_lease_is_kept(server: Slapd, database: str) -> None:
    """While nothing happens, and while the directory is away."""
    with follow(server.url, database, lease=3) as client:
        poll_until(client, lambda: client.refreshed)
        pid = client.store.connection.info.backend_pid
        poll_for(client, 3.5)
        server.stop()
        poll_for(client, 3.5)
        assert client.store.connection.info.backend_pid == pid
        assert "StoreLost" not in client.callback.heard
        client.store.connection.execute("SELECT 1")


def test_a_program_that_does_not_poll(server: Slapd, database: str) -> None:
    """It has lost the store, notices, and takes it again, as nobody else has."""
    with follow(server.url, database, lease=2) as client:
        poll_until(client, lambda: client.refreshed)
        deadline = time.monotonic() + HANGS_SECONDS
        while is_used(database):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        del client.callback.heard[:]
        poll_until(client, lambda: "refreshed" in client.callback.heard)
        assert client.callback.heard == [
            "deactivated", "StoreLost", "activated", "bind", "refreshed"
        ]  # fmt: skip
        assert client.stats.term == 2


def test_a_callback_that_takes_too_long(server: Slapd, database: str) -> None:
    """The first time the machine may have been paused; the second time it is raised."""
    with follow(server.url, database, lease=2) as client:
        poll_until(client, lambda: client.refreshed)
        client.callback.sleeps = 2.5
        change(server, "slow")
        with pytest.raises(
            CallbackOverdue, match=r"dispatch\(\) with the modify of .* 2 s"
        ) as caught:
            poll_until(client, lambda: False)
        assert client.callback.heard.count("change") == 2
        assert caught.value.lease == 2
        assert caught.value.seconds > 2
        client.callback.sleeps = 0
        poll_until(client, lambda: client.refreshed)
        assert client.callback.heard.count("change") == 3


def test_quick_callbacks_are_not_added_up(server: Slapd, database: str) -> None:
    """Nothing else is written between them, and all together take longer than the lease."""
    with follow(server.url, database, lease=4) as client:
        poll_until(client, lambda: client.refreshed)
        with server.connected() as connection:
            connection.rename_s(f"ou=people,{SUFFIX}", "ou=persons")
        client.callback.record_rename = lambda old, new: time.sleep(1.1)
        poll_until(client, lambda: client.stats.commits > 1)
        assert "StoreLost" not in client.callback.heard


# --- connections that are not what they seem


def through(proxy: Cutting, database: str) -> str:
    host, _, rest = database.rpartition(":")
    return f"{host}:{proxy.port}/{rest.partition('/')[2]}"


def test_a_commit_whose_answer_is_lost(
    server: Slapd, database: str, postgresql: PostgreSQL
) -> None:
    """It was done, which the store itself tells: nothing is told again."""
    with Cutting(postgresql.port) as proxy, follow(
        server.url, through(proxy, database), standby=False
    ) as client:  # fmt: skip
        poll_until(client, lambda: client.refreshed)
        del client.callback.heard[:]
        proxy.cut_next_commit()
        change(server, "once")
        poll_until(client, lambda: "refreshed" in client.callback.heard)
        assert proxy.happened.is_set()
        assert client.callback.heard == ["change", "StoreLost", "bind", "refreshed"]


def test_a_black_hole(server: Slapd, database: str, postgresql: PostgreSQL) -> None:
    """Everything is acknowledged, and nothing arrives: another one takes over."""
    with Cutting(postgresql.port) as proxy, follow(
        server.url, through(proxy, database), lease=2
    ) as client:  # fmt: skip
        poll_until(client, lambda: client.refreshed)
        proxy.swallow()
        with follow(server.url, database, lease=2) as standby:
            assert not standby.active
            poll_until(client, lambda: "deactivated" in client.callback.heard)
            assert proxy.happened.is_set()
            poll_until(standby, lambda: standby.refreshed)
            poll_until(client, lambda: client._stage == "standby")


def test_a_database_that_is_away(server: Slapd, database: str, postgresql: PostgreSQL) -> None:
    """The statistics can be read, and say so; a new client is told."""
    with ExitStack() as way:
        proxy = way.enter_context(Cutting(postgresql.port))
        with follow(server.url, through(proxy, database), lease=2) as client:
            poll_until(client, lambda: client.refreshed)
            assert client.stats.entries == 6
            way.close()
            poll_until(client, lambda: "StoreUnreachable" in client.callback.heard)
            stats = client.stats
            assert (stats.stage, stats.entries, stats.active) == ("disconnected", 6, False)
            assert client.callback.heard.count("deactivated") == 1
            with pytest.raises(StoreUnreachable):
                follow(server.url, through(proxy, database))
            client.please_stop()
            assert not client.poll()


def test_only_who_is_named_in_the_store_may_write(server: Slapd, database: str) -> None:
    """Also parts of a refresh are committed under the fence."""
    with follow(server.url, database, lease=60) as client:
        with psycopg.connect(database) as connection:
            connection.execute("UPDATE syncrepl.syncrepl_origin SET term = term + 1")
        client.store.begin()
        with pytest.raises(StoreLost, match="taken over"):
            client.store.commit(None)
        client.store.rollback()
        poll_until(client, lambda: client.refreshed)
        assert client.callback.heard.count("StoreLost") == 1
        assert client.callback.heard.count("add") == 12
        assert client.stats.term == 3


def test_a_store_of_the_program(server: Slapd, database: str) -> None:
    """It is shared from then on, with the session's limits."""
    with closing(PostgreSQLStore(database)) as store:
        store.create()
        with follow(server.url, "", store=store, lease=7) as client:
            poll_until(client, lambda: client.refreshed)
            for setting in ("idle_session_timeout", "idle_in_transaction_session_timeout"):
                assert store.connection.execute(f"SHOW {setting}").fetchall() == [("7s",)]
            assert store.connection.info.get_parameters()["tcp_user_timeout"] == "7000"
