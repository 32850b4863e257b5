# SPDX-License-Identifier: BSD-3-Clause
"""Several clients in one thread, and what a client says of itself in figures and in the log."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest

from syncrepl_client import ChangeKind, Stats, Syncrepl, run_all
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.exceptions import UsageError
from tests.faults.recorder import PERSIST, REFRESH_ONLY, Recorder
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd
from tests.servers.people import SUFFIX, people_ldif, person, person_dn

pytestmark = pytest.mark.usefixtures("watchdog")

PEOPLE = 30


@pytest.fixture
def server(run_server: Callable[..., Any]) -> Any:
    return run_server(Slapd, sessionlog=1000, ldif=people_ldif(PEOPLE))


@pytest.fixture
def make(tmp_path: Path, server: Slapd) -> Callable[..., Syncrepl]:
    """Make a client of one branch."""

    def make(branch: str, callback: Any, **more: Any) -> Syncrepl:
        url = f"{server.url}/ou={branch},{SUFFIX}?*?sub"
        return Syncrepl(f"{tmp_path}/{branch}-", callback, more.pop("mode", PERSIST), url, **more)

    return make


def test_all_in_one_thread(make: Callable[..., Syncrepl], server: Slapd) -> None:
    threads = set()

    class Threads(Recorder):
        def record_add(self, dn: str, attrs: Any) -> None:
            super().record_add(dn, attrs)
            threads.add(threading.current_thread())
            if "new" in dn:
                groups.please_stop()

    def add() -> None:
        with server.connected() as connection:
            entry = [("objectClass", [b"organizationalUnit"])]
            connection.add_s(f"ou=new,ou=people,{SUFFIX}", entry)

    recorders = Threads(), Threads()
    timer = threading.Timer(0.3, add)
    with make("people", recorders[0]) as people, make("groups", recorders[1]) as groups:
        timer.start()
        run_all(people, groups)
        assert not people.poll()
        assert not groups.poll()
    timer.join()
    assert threads == {threading.current_thread()}
    assert [len(each.mirror) for each in recorders] == [PEOPLE + 2, 1]


def test_until_all_are_over(make: Callable[..., Syncrepl]) -> None:
    with (
        make("people", BaseCallback, mode=REFRESH_ONLY) as people,
        make("groups", BaseCallback, mode=REFRESH_ONLY) as groups,
    ):
        run_all(people, groups)
        run_all(people, groups)
        run_all()
        assert (len(people.store), len(groups.store)) == (PEOPLE + 1, 1)


def test_an_error_stops_all(make: Callable[..., Syncrepl]) -> None:
    class Fails(BaseCallback):
        def refresh_done(self, items: Any) -> None:
            raise ZeroDivisionError

    with make("people", BaseCallback) as people, make("groups", Fails) as groups:
        with pytest.raises(ZeroDivisionError):
            run_all(people, groups)
        assert not people.poll()
        assert not people.store.in_transaction


def test_a_second_error_is_logged(
    make: Callable[..., Syncrepl], server: Slapd, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        make("people", BaseCallback, reconnect=False) as people,
        make("groups", BaseCallback, reconnect=False) as groups,
    ):
        timer = threading.Timer(0.3, server.kill)
        timer.start()
        with pytest.raises(ldap.SERVER_DOWN):
            run_all(people, groups)
        timer.join()
    assert [getattr(each, "event", "") for each in caplog.records if each.levelname == "ERROR"] in (
        [],  # the other was stopped before it noticed
        ["failed"],
    )


def test_ctrl_c(make: Callable[..., Syncrepl]) -> None:
    class Interrupted(BaseCallback):
        def refresh_done(self, items: Any) -> None:
            raise KeyboardInterrupt

    with make("people", BaseCallback) as people, make("groups", Interrupted) as groups:
        with pytest.raises(KeyboardInterrupt):
            run_all(people, groups)
        people.callback = groups.callback = BaseCallback
        while not (people.refreshed and groups.refreshed):
            people.poll(1)
            groups.poll(1)


def test_what_can_t_be_run(make: Callable[..., Syncrepl]) -> None:
    with make("people", BaseCallback) as people, make("groups", None) as groups:
        with pytest.raises(UsageError, match="run_all"):
            run_all(people, people)
        with pytest.raises(UsageError, match="without a callback"):
            run_all(people, groups)
        assert people.poll(0)


# --- figures


def test_stats(make: Callable[..., Syncrepl], server: Slapd) -> None:
    before = time.time()
    with make("people", Recorder()) as client:
        first = client.stats
        assert first == Stats(
            stage="refresh",
            entries=0,
            changes=dict.fromkeys(ChangeKind, 0),
            commits=0,
            reconnects=0,
            callback_errors=0,
            last_message=first.last_message,
            lag=None,
        )
        while not client.refreshed:
            client.poll()
        client.poll(0.1)
        stats = client.stats
        assert (stats.stage, stats.entries) == ("persist", PEOPLE + 1)
        assert stats.changes[ChangeKind.ADD] == PEOPLE + 1
        assert stats.last_message is not None
        assert before < stats.last_message < time.time()
        with server.connected() as connection:
            connection.rename_s(person_dn(1), "uid=renamed")
            connection.delete_s(person_dn(2))
            connection.modify_s(person_dn(3), [(ldap.MOD_REPLACE, "mail", b"x@example.com")])
        while sum(client.stats.changes.values()) < stats.changes[ChangeKind.ADD] + 3:
            client.poll(0.1)
        later = client.stats
        assert later.entries == PEOPLE
        assert later.changes == {**stats.changes, **dict.fromkeys(ONE_EACH, 1)}
        assert later.commits > stats.commits
        assert later.lag is not None
        assert 0 <= later.lag < HANGS_SECONDS
        server.stop()
        client.poll(0.1)
        assert client.stats.stage == "disconnected"
        server.start()
        while client.stats.stage != "persist":
            client.poll(0.1)
        assert client.stats.reconnects == 1
        client.please_stop()
        client.poll()
        assert client.stats.stage == "over"
    assert client.stats.stage == "closed"


ONE_EACH = (ChangeKind.RENAME, ChangeKind.DELETE, ChangeKind.MODIFY)


def test_what_is_rolled_back_is_not_counted(make: Callable[..., Syncrepl]) -> None:
    class Fails(BaseCallback):
        def record_add(self, dn: str, attrs: Any) -> None:
            if dn == person_dn(20):
                raise ZeroDivisionError

    with make("people", Fails, mode=REFRESH_ONLY) as client:
        with pytest.raises(ZeroDivisionError):
            client.poll()
        assert client.stats.changes[ChangeKind.ADD] == client.stats.entries == 0
        assert client.stats.callback_errors == 1
        client.callback = BaseCallback
        client.run()
        assert client.stats.changes[ChangeKind.ADD] == client.stats.entries == PEOPLE + 1


@pytest.mark.parametrize("store", ["sqlite", "shelve", "memory"])
def test_stats_from_other_threads(make: Callable[..., Syncrepl], server: Slapd, store: str) -> None:
    with make("people", BaseCallback, store=store) as client:
        found: list[Stats] = []
        stop = threading.Event()

        def look() -> None:
            while not stop.is_set():
                found.append(client.stats)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            while not client.refreshed:
                client.poll()
            with server.connected() as connection:
                for number in range(100, 150):
                    connection.add_s(person_dn(number), list(person(number).items()))
                    client.poll(0.01)
            while client.stats.entries < PEOPLE + 51:
                client.poll(1)
        finally:
            stop.set()
            thread.join()
        counts = [each.entries for each in found]
        assert counts == sorted(counts)
        assert found


# --- the log


def test_events(
    make: Callable[..., Syncrepl], server: Slapd, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "syncrepl_client")
    with make("people", BaseCallback) as client:
        while not client.refreshed:
            client.poll()
        server.stop()
        client.poll(0.1)
        server.start()
        client.please_stop()
        client.poll()
    events = [getattr(record, "event", "") for record in caplog.records]
    assert events == [
        "connected", "searching", "refresh-done", "refresh-done", "disconnected", "stopped",
    ]  # fmt: skip
