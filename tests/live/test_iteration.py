# SPDX-License-Identifier: BSD-3-Clause
"""``for change in client.changes()``: handled when the next is asked for, committed then."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import ldap
import pytest
from ldap.ldapobject import LDAPObject

from syncrepl_client import Change, ChangeKind, Syncrepl, run_all
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.exceptions import ClosedError, ConfigurationError, UsageError
from tests.conftest import missing_servers_skip
from tests.faults.recorder import PERSIST, REFRESH_ONLY, Recorder
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.servers import Slapd
from tests.servers.people import SUFFIX, people_ldif, person, person_dn

pytestmark = pytest.mark.usefixtures("watchdog")

PEOPLE = 25
NEW = person_dn(900)
ENTRIES = PEOPLE + 3
KILLED = """\
import os, sys
from syncrepl_client import Syncrepl, SyncreplMode
url, data_path, handled = sys.argv[1:]
with Syncrepl(data_path, None, SyncreplMode.REFRESH_ONLY, url) as client:
    for number, change in enumerate(client.changes()):
        print(change.new_dn, flush=True)
        if number == int(handled):
            os.kill(os.getpid(), 9)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Slapd]:
    with missing_servers_skip(), Slapd(sessionlog=1000, ldif=people_ldif(PEOPLE)) as server:
        yield server


@pytest.fixture
def url(server: Slapd) -> str:
    return f"{server.url}/{SUFFIX}?*?sub"


@pytest.fixture
def connection(server: Slapd) -> Iterator[LDAPObject]:
    """A connection; the one person too many is gone after it, also where a test failed."""
    with server.connected() as connection:
        yield connection
        with suppress(ldap.NO_SUCH_OBJECT):
            connection.delete_s(NEW)


def follow(tmp_path: Path, url: str, callback: type[BaseCallback] | None = None) -> Syncrepl:
    return Syncrepl(f"{tmp_path}/", callback, REFRESH_ONLY, url)


def rename(connection: LDAPObject, rdn: str, to: str) -> None:
    connection.rename_s(f"{rdn},{SUFFIX}", to)


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_all_changes_once(tmp_path: Path, url: str, at_once: int) -> None:
    with follow(tmp_path, url) as client:
        changes = list(client.changes(at_once=at_once))
        assert len({change.new_dn for change in changes}) == len(changes) == ENTRIES
        assert {change.kind for change in changes} == {ChangeKind.ADD}
        assert client.refreshed
        assert list(client.changes()) == []  # it is over
    with follow(tmp_path, url) as client:
        assert list(client.changes()) == []


@pytest.mark.parametrize("handled", [0, 1, 20])
def test_what_is_at_hand_when_the_loop_is_left_comes_again(
    tmp_path: Path, url: str, handled: int
) -> None:
    seen = []
    with follow(tmp_path, url, BaseCallback) as client:
        for change in client.changes():
            seen.append(change.new_dn)
            if len(seen) == handled + 1:
                break
        rest = [change.new_dn for change in client.changes()]
    assert len(rest) == ENTRIES - handled
    assert set(rest) | set(seen) == set(rest) | set(seen[:handled])
    assert seen[handled] in rest
    assert not set(seen[:handled]) & set(rest)


@pytest.mark.parametrize("handled", [0, 11])
def test_what_is_at_hand_when_the_program_is_killed_comes_again(
    tmp_path: Path, url: str, handled: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, url, f"{tmp_path}/", str(handled)],
        stdout=subprocess.PIPE,
        text=True,
    )
    seen = done.stdout.splitlines()
    assert done.returncode == -9
    assert len(seen) == handled + 1
    with follow(tmp_path, url) as client:
        rest = [change.new_dn for change in client.changes()]
    assert not set(seen[:handled]) & set(rest)
    assert len(rest) == ENTRIES - handled


def test_an_exception_in_the_loop(tmp_path: Path, url: str) -> None:
    def fail_at_the_fourth() -> None:
        with follow(tmp_path, url) as client:
            for number, _ in enumerate(client.changes()):
                assert 1 / (number - 3)

    with pytest.raises(ZeroDivisionError):
        fail_at_the_fourth()
    with follow(tmp_path, url) as client:
        assert len(list(client.changes())) == ENTRIES - 3


def test_rows_of_the_loop_commit_with_their_change(tmp_path: Path, url: str) -> None:
    def insert(change: Change) -> None:
        client.store.connection.execute("INSERT INTO heard VALUES (?)", (change.new_dn,))

    def heard() -> list[str]:
        return [dn for (dn,) in client.store.connection.execute("SELECT dn FROM heard")]

    with follow(tmp_path, url) as client:
        client.store.connection.execute("CREATE TABLE heard (dn TEXT)")
        for number, change in enumerate(client.changes()):
            insert(change)
            if number == 9:
                break
        assert len(heard()) == 9
        for change in client.changes():
            insert(change)
        assert len(heard()) == len(set(heard())) == ENTRIES


def told(client: Syncrepl, most: int) -> list[Change]:
    """What is told until nothing more comes; a server under load falls silent before that."""
    found: list[Change] = []
    while len(found) < most or not client.refreshed:
        found += client.changes(timeout=0.5)
    return found


def test_what_happens_now(tmp_path: Path, url: str, connection: LDAPObject) -> None:
    recorder = Recorder()
    with Syncrepl(f"{tmp_path}/", recorder, PERSIST, url) as client:
        assert len(told(client, ENTRIES)) == ENTRIES
        assert client.refreshed
        connection.add_s(NEW, list(person(900).items()))
        connection.modify_s(NEW, [(ldap.MOD_REPLACE, "mail", b"new@example.com")])
        connection.delete_s(NEW)
        kinds = [(change.kind.value, change.new_dn) for change in told(client, 3)]
        assert kinds == [("add", NEW), ("modify", NEW), ("delete", None)]
        cookie = client.store.origin.cookie
        assert cookie is not None
        assert len(recorder.mirror) == ENTRIES  # the callback hears of all
        connection.add_s(NEW, list(person(900).items()))
        for change in client.changes():
            assert change.new_dn == NEW
            assert client.store.origin.cookie == cookie
            client.please_stop()
        assert client.store.origin.cookie != cookie


def test_a_renamed_subtree_is_committed_as_a_whole(
    tmp_path: Path, url: str, connection: LDAPObject
) -> None:
    with follow(tmp_path, url, BaseCallback) as client:
        client.run()
    rename(connection, "ou=people", "ou=staff")
    try:
        with follow(tmp_path, url) as client:
            for number, change in enumerate(client.changes()):
                assert change.kind is ChangeKind.RENAME
                if number == 5:
                    break
        with follow(tmp_path, url) as client:
            again = list(client.changes())
        assert len(again) == PEOPLE + 1
        assert all((change.new_dn or "").endswith(f"ou=staff,{SUFFIX}") for change in again)
    finally:
        rename(connection, "ou=staff", "ou=people")


def test_unbind_in_the_loop(tmp_path: Path, url: str) -> None:
    client = follow(tmp_path, url)
    changes = client.changes()
    next(changes)
    next(changes)
    client.unbind()
    with pytest.raises(ClosedError):
        next(changes)
    with follow(tmp_path, url) as client:
        assert len(list(client.changes())) == ENTRIES - 1


def test_what_can_t_be_done_in_the_loop(tmp_path: Path, url: str) -> None:
    with follow(tmp_path, url) as client:
        for change in client.changes():
            assert change.new_dn is not None
            with pytest.raises(UsageError, match="changes\\(\\)"):
                client.poll(0)
            with pytest.raises(UsageError):
                client.changes()
            with pytest.raises(UsageError):
                client.verify()


def test_an_iteration_that_was_not_begun_is_in_nobody_s_way(tmp_path: Path, url: str) -> None:
    with follow(tmp_path, url, BaseCallback) as client:
        late = client.changes()
        client.run()
        assert list(late) == []


def test_without_a_callback_nothing_is_polled_away(tmp_path: Path, url: str) -> None:
    with follow(tmp_path, url) as client:
        for method in (client.poll, client.run, lambda: run_all(client)):
            with pytest.raises(UsageError, match="without a callback"):
                method()
        assert len(list(client.changes())) == ENTRIES
        client.callback = BaseCallback
        assert not client.poll()


@pytest.mark.parametrize("at_once", [0, -1, 1.5, True, "1"])
def test_at_once_is_a_number(tmp_path: Path, url: str, at_once: int) -> None:
    with follow(tmp_path, url) as client, pytest.raises(ConfigurationError, match="at_once"):
        client.changes(at_once=at_once)
