# SPDX-License-Identifier: BSD-3-Clause
"""From one server to another that lags behind it: nobody is reported deleted for that."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import pytest

from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.exceptions import LaggingServer
from syncrepl_client.waiting.backoff import Backoff
from tests.conftest import missing_servers_skip
from tests.faults.recorder import REFRESH_ONLY, Recorder, contents
from tests.servers import Server, Slapd
from tests.servers.haproxy import HAProxy
from tests.servers.people import base_ldif, person, person_dn
from tests.servers.process import free_port, run
from tests.servers.replicas import (
    CHECKPOINT,
    Pair,
    Replica,
    mirrors,
    one_id,
    two_ids,
    wait_until_same,
)

SOON = Backoff(initial=0.05, factor=1.5, maximum=0.2)
POLLS = 400
KINDS = {
    "one server ID": one_id,
    "two server IDs": two_ids,
    "mirrors": mirrors,
}
NOBODY_READS_CSNS = "access to attrs=contextCSN by * none"
Kind = Callable[..., AbstractContextManager[Pair]]


class Followed:
    """Two servers, the second of which lags, and a client that comes to the first one first."""

    def __init__(self, pair: Pair, path: Path, stack: ExitStack, *, proxy: bool) -> None:
        self.one, self.two = pair
        self.recorder = Recorder()
        self.recorder.on["disconnected"] = self.set_back
        self._path = path
        search = f"/{self.one.suffix}??sub"
        if proxy:
            self.url: Any = stack.enter_context(HAProxy(pair)).url + search
        else:
            self.url = [self.one.url + search, self.two.url]

    @contextmanager
    def following(
        self, mode: SyncreplMode = SyncreplMode.REFRESH_AND_PERSIST, **options: Any
    ) -> Iterator[Syncrepl]:
        options = {"reconnect": SOON, "heartbeat": 1, **options}
        with Syncrepl(f"{self._path}/", self.recorder, mode, self.url, **options) as client:
            self.client = client
            self.set_back()
            yield client

    def set_back(self) -> None:
        """What was told and not committed is told again."""
        if not self.client.store.exists:  # the new client is still being made
            return
        self.recorder.mirror = contents(self.client)

    def add(self, server: Server, number: int) -> None:
        with server.connected() as connection:
            connection.add_s(person_dn(number), list(person(number).items()))

    def poll_until(self, true: Callable[[], object]) -> None:
        for _ in range(POLLS):
            if true():
                return
            self.client.poll(0.1)
        raise AssertionError(f"it never came to that; heard {self.recorder.heard[-20:]}")

    def has(self, number: int) -> bool:
        return person_dn(number) in self.recorder.mirror

    def fall_behind(self, *, writes: bool = False) -> None:
        """The client hears of person 2 from the first server, which the second has not yet.

        writes: whether the second one takes a change of its own meanwhile, person 3.
        """
        for number in (0, 1):
            self.add(self.one, number)
        wait_until_same(self.one, self.two)
        self.poll_until(lambda: self.has(1))
        self.two.stop()
        self.add(self.one, 2)
        self.poll_until(lambda: self.has(2))
        self.one.kill()
        self.two.start()
        if writes:
            self.add(self.two, 3)

    @property
    def doubts(self) -> list[LaggingServer]:
        heard = self.recorder.of("disconnected")
        return [error for _, error in heard if isinstance(error, LaggingServer)]


@pytest.fixture
def follow(tmp_path: Path) -> Iterator[Callable[..., Followed]]:
    with ExitStack() as stack:

        def begin(kind: str, *, proxy: bool, **options: Any) -> Followed:
            with missing_servers_skip():
                pair = stack.enter_context(KINDS[kind](**options))
                return Followed(pair, tmp_path, stack, proxy=proxy)

        yield begin


PROXY = pytest.mark.parametrize("proxy", [False, True], ids=["list", "haproxy"])
EACH = pytest.mark.parametrize("kind", KINDS)


@EACH
@PROXY
@pytest.mark.parametrize("sessionlog", [None, 100])
def test_nobody_is_deleted(
    follow: Callable[..., Followed], kind: str, proxy: bool, sessionlog: int | None
) -> None:
    followed = follow(kind, proxy=proxy, sessionlog=sessionlog)
    with followed.following():
        followed.fall_behind(writes=kind == "mirrors")
        followed.poll_until(lambda: len(followed.doubts) > 1)
        assert followed.client.stats.stage == "disconnected"
        followed.one.start()
        followed.poll_until(lambda: followed.client.refreshed)
        wait_until_same(followed.one, followed.two)
        followed.add(followed.one, 4)
        followed.poll_until(lambda: followed.has(4))
        assert contents(followed.client) == followed.recorder.mirror
    changes = followed.recorder.changes
    assert changes.count(("add", person_dn(2))) == 1
    assert {each[0] for each in changes} == {"add"}


@EACH
@PROXY
def test_nobody_is_deleted_where_the_context_can_not_be_read(
    follow: Callable[..., Followed], kind: str, proxy: bool
) -> None:
    """What a server knows is found out at the end of its answer then, before anything goes."""
    followed = follow(kind, proxy=proxy, access=NOBODY_READS_CSNS)
    with followed.following():
        followed.fall_behind(writes=kind == "mirrors")
        before = len(followed.recorder.of("bind"))
        if kind == "two server IDs":  # which says that nothing changed
            followed.poll_until(lambda: len(followed.recorder.of("bind")) > before)
        else:
            followed.poll_until(lambda: len(followed.doubts) > 1)
        followed.one.start()
        wait_until_same(followed.one, followed.two)
        followed.add(followed.one, 4)
        followed.poll_until(lambda: followed.has(4))
        assert contents(followed.client) == followed.recorder.mirror
    assert not followed.recorder.of("delete")


@pytest.mark.parametrize("kind", ["one server ID", "mirrors"])
def test_a_client_that_starts_anew(follow: Callable[..., Followed], kind: str) -> None:
    """What the store knows, it knows for the next client too; the constructor does not wait."""
    followed = follow(kind, proxy=False)
    with followed.following():
        followed.fall_behind(writes=kind == "mirrors")
    with followed.following(REFRESH_ONLY, reconnect=None):
        assert len(followed.doubts) == 1
        assert not followed.client.refreshed
        followed.poll_until(lambda: len(followed.doubts) > 1)
        followed.one.start()
        followed.client.run()
        assert contents(followed.client) == followed.recorder.mirror
    assert not followed.recorder.of("delete")


@pytest.mark.parametrize("kind", ["one server ID", "mirrors"])
def test_patience_has_an_end(
    follow: Callable[..., Followed], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    followed = follow(kind, proxy=False)
    with followed.following(lag_patience=0.5):
        followed.fall_behind(writes=kind == "mirrors")
        followed.poll_until(lambda: followed.recorder.of("delete"))
        assert contents(followed.client) == followed.recorder.mirror
    assert followed.recorder.of("delete") == [("delete", person_dn(2))]
    events = [getattr(each, "event", "") for each in caplog.records]
    assert events.count("restored") == 1
    assert events.index("lagging") < events.index("restored")


def test_who_has_caught_up_is_asked_for_what_changed(follow: Callable[..., Followed]) -> None:
    """Not for everything: it has the very change that it lacked."""
    followed = follow("mirrors", proxy=False)
    with followed.following():
        followed.fall_behind()
        followed.poll_until(lambda: followed.doubts)
        assert followed.client.store.origin.cookie is None
        followed.one.start()
        wait_until_same(followed.one, followed.two)
        followed.poll_until(lambda: len(followed.recorder.of("refresh_done")) > 1)
        searching = [each for each in followed.recorder.messages if "searching with" in each]
        assert [each.split()[2] for each in searching] == ["no", "cookie"]


# --- restored


class Restored:
    """A slapd with a backup of its first days."""

    def __init__(self, server: Slapd) -> None:
        self.server = server
        self._backup = server.directory / "backup"
        server.stop()
        shutil.copytree(server.directory / "data", self._backup)
        server.start()

    def restore(self) -> None:
        self.server.stop()
        shutil.rmtree(self.server.directory / "data")
        shutil.copytree(self._backup, self.server.directory / "data")
        self.server.start()


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("readable", [False, True])
def test_a_restored_server_is_reconciled_with_later(
    run_server: Callable[..., Any], tmp_path: Path, written: bool, readable: bool
) -> None:
    """Also if it is written to meanwhile, and comes to be newer than the cookie."""
    access = CHECKPOINT + ("" if readable else NOBODY_READS_CSNS)
    server = run_server(Slapd, server_id=1, sessionlog=100, extra_database=access, maxsize=1 << 24)
    with ExitStack() as stack:
        followed = Followed((server, server), tmp_path, stack, proxy=False)
        followed.add(server, 0)
        backup = Restored(server)
        followed.add(server, 1)
        with followed.following(lag_patience=1):
            followed.poll_until(lambda: followed.has(1))
            backup.restore()
            followed.poll_until(lambda: followed.doubts)
            assert not followed.recorder.of("delete")
            if written:
                followed.add(server, 2)
            followed.poll_until(lambda: followed.recorder.of("delete"))
            followed.poll_until(lambda: followed.has(2) or not written)
            assert contents(followed.client) == followed.recorder.mirror
    assert followed.recorder.of("delete") == [("delete", person_dn(1))]


class Unloaded(Replica):
    """It has the first entries, and no contextCSN, as while its consumer loads it."""

    def _load(self) -> None:
        (self.directory / "data").mkdir()
        run(self._slapd, "-T", "add", "-q", "-f", str(self._config_path), stdin=base_ldif())


def test_a_replica_that_is_being_loaded(run_server: Callable[..., Any], tmp_path: Path) -> None:
    """It answers a cookie with 53, and a search without one as if nobody were there."""
    one = run_server(Slapd, server_id=1, extra_database=CHECKPOINT)
    nobody = SimpleNamespace(url=f"ldap://127.0.0.1:{free_port()}", root_dn="cn=x", root_pw="x")
    with missing_servers_skip():
        two = Unloaded(server_id=2)
    two.replicate(nobody, mirror=False)
    with two, ExitStack() as stack:
        followed = Followed((one, two), tmp_path, stack, proxy=False)
        followed.add(one, 0)
        with followed.following():
            followed.poll_until(lambda: followed.has(0))
            one.stop()
            followed.poll_until(lambda: len(followed.doubts) > 2)
            said = {str(each) for each in followed.doubts}
            assert any("consumer has state info" in each for each in said)
            one.start()
            followed.poll_until(lambda: len(followed.recorder.of("refresh_done")) > 1)
            assert contents(followed.client) == followed.recorder.mirror
    assert not followed.recorder.of("delete")


def test_a_replica_that_is_empty(follow: Callable[..., Followed]) -> None:
    """It has not even the search base."""
    followed = follow("one server ID", proxy=False)
    with followed.following():
        followed.add(followed.one, 0)
        followed.poll_until(lambda: followed.has(0))
        followed.one.stop()
        followed.two.stop()
        shutil.rmtree(followed.two.directory / "data")
        (followed.two.directory / "data").mkdir()
        followed.two.start()
        followed.poll_until(lambda: followed.doubts)
        followed.one.start()
        followed.poll_until(lambda: len(followed.recorder.of("refresh_done")) > 1)
    assert not followed.recorder.of("delete")
