# SPDX-License-Identifier: BSD-3-Clause
"""A child process has nothing of its parent's client, and does it no harm; nor do two threads."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.exceptions import ClosedError, SyncreplError, UsageError
from tests.faults.recorder import REFRESH_ONLY, Recorder, follow, poll_until
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.servers import Slapd
from tests.servers.people import SUFFIX, person_dn
from tests.servers.scripted import Provider, done, refresh_delete
from tests.servers.scripted import person as scripted_person

pytestmark = pytest.mark.usefixtures("watchdog")

# What a child does with the client of its parent; it must end with code 7.
IN_CHILD = {
    "polls": "client.poll(0)",
    "runs": "client.run()",
    "iterates": "next(client.changes())",
    "unbinds": "client.unbind()",
    "stops it": "client.please_stop()",
    "reconciles": "client.reconcile()",
    "verifies": "client.verify()",
    "allows": "client.allow_deletes()",
    "leaves": "client.__exit__(None, None, None); sys.exit(7)",
    "exits": "sys.exit(7)",
    "collects": "client = connection = None; gc.collect(); sys.exit(7)",
    "ends": "os._exit(7)",
}
PROGRAM = """
import gc, os, sys
import ldap
from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.exceptions import StoreLocked, UsageError
from tests.servers.people import person, person_dn

path, url, store, tls, where, act = sys.argv[1:]
connection = None

def fork():
    child = os.fork()
    if child == 0:
        try:
            exec(act)
        except UsageError as error:
            assert "before a fork" in str(error), error
            sys.exit(7)
        if where == "outside":
            sys.exit(0)
        return
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print("the child ended with", code)

class Forks(BaseCallback):
    added = 0
    forked = where == "outside"
    def bind_complete(self, ldap):
        global connection
        connection = ldap
    def record_add(self, dn, attrs):
        self.added += 1
    def before_commit(self):
        if not self.forked and self.added:
            self.forked = True
            fork()

def add(number):
    other = ldap.initialize(url.partition("/dc=")[0])
    other.simple_bind_s("cn=admin,dc=example,dc=com", "secret")
    other.add_s(person_dn(number), list(person(number).items()))
    other.unbind_s()

options = {ldap.OPT_X_TLS_CACERTFILE: tls} if tls else {}
callback = Forks()
client = Syncrepl(
    path, callback, SyncreplMode.REFRESH_AND_PERSIST, url, store=store, options=options,
    starttls=bool(tls), reconnect=False,
)
while not client.refreshed:
    client.poll(1)
if where == "outside":
    fork()
add(100)
while person_dn(100) not in client.store.items():
    client.poll(1)
try:
    Syncrepl(path, callback, SyncreplMode.REFRESH_ONLY, url, store=store).unbind()
except StoreLocked:
    print("still locked")
assert client.verify() == []
client.unbind()
print("added", callback.added)
"""


@pytest.fixture(scope="module")
def server(slapd: Slapd) -> Slapd:
    return slapd


def run(server: Slapd, path: Path, store: str, where: str, act: str, tls: str = "") -> list[str]:
    url = f"{server.url}/{SUFFIX}??sub"
    program = [sys.executable, "-c", PROGRAM, f"{path}/", url, store, tls, where, act]
    root = str(Path(__file__).parents[2])
    finished = subprocess.run(program, cwd=root, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert ("before a fork" in finished.stderr) == (act == "pass")
    with server.connected() as connection:
        connection.delete_s(person_dn(100))
    assert act == "pass" or finished.stderr == ""
    return finished.stdout.splitlines()


@pytest.mark.parametrize("act", IN_CHILD)
def test_a_child_leaves_the_parents_client_alone(act: str, server: Slapd, tmp_path: Path) -> None:
    said = run(server, tmp_path, "sqlite", "outside", IN_CHILD[act])
    assert said == ["the child ended with 7", "still locked", "added 4"]


@pytest.mark.parametrize("store", ["sqlite", "shelve", "memory"])
@pytest.mark.parametrize("act", ["exits", "collects", "returns"])
def test_a_callback_that_forks(act: str, store: str, server: Slapd, tmp_path: Path) -> None:
    """In the open transaction of a refresh, in which the store has been written to."""
    code = IN_CHILD.get(act, "pass")
    said = run(server, tmp_path, store, "callback", code)
    locked = [] if store == "memory" else ["still locked"]
    if act == "returns":  # poll() raises UsageError in the child, which nobody catches there
        assert said[0] == "the child ended with 1"
    else:
        assert said[0] == "the child ended with 7"
    assert said[1:] == [*locked, "added 4"]
    if store == "sqlite":
        with closing(sqlite3.connect(tmp_path / "syncrepl.sqlite3")) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("act", ["exits", "collects"])
def test_over_tls(act: str, run_server: Any, tmp_path: Path) -> None:
    server = run_server(Slapd, tls=True)
    said = run(server, tmp_path, "sqlite", "outside", IN_CHILD[act], server.ca_file)
    assert said == ["the child ended with 7", "still locked", "added 4"]


# --- two threads


def test_two_threads_do_not_poll_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have seen that nobody does when they begin to."""
    script = [scripted_person(1), refresh_delete(b"c1")]
    with Provider(script) as provider, follow(provider, tmp_path, Recorder()) as client:
        poll_until(client, client.callback, "refresh_done")
        both = threading.Barrier(2)
        check, errors = client._check_pollable, []

        def check_both(method: str) -> None:
            check(method)
            both.wait()

        def poll() -> None:
            try:
                client.poll(1)
            except UsageError as error:
                errors.append(error)

        monkeypatch.setattr(client, "_check_pollable", check_both)
        threads = [threading.Thread(target=poll) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(errors) == 1
        monkeypatch.undo()
        assert client.poll(0)


def test_a_thread_does_not_poll_what_another_unbinds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Provider([scripted_person(1), refresh_delete(b"c1")]) as provider:
        client = follow(provider, tmp_path, Recorder())
        poll_until(client, client.callback, "refresh_done")
        check = client._check_pollable

        def check_and_unbind(method: str) -> None:
            check(method)
            client.unbind()

        monkeypatch.setattr(client, "_check_pollable", check_and_unbind)
        with pytest.raises(ClosedError):
            client.poll(0)


# --- what is left of a constructor that failed


@pytest.mark.parametrize(
    "arguments",
    [
        {"mode": "refreshOnly"},
        {"ldap_url": "nonsense"},
        {"max_deletes": -1},
        {"data_path": "/nowhere/at/all/"},
        {"callback": 7},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_repr_after_a_constructor_that_failed(arguments: dict[str, Any], tmp_path: Path) -> None:
    given = {
        "data_path": f"{tmp_path}/", "callback": Recorder(), "mode": SyncreplMode.REFRESH_ONLY,
        "ldap_url": f"ldap://127.0.0.1:1/{SUFFIX}??sub", **arguments,
    }  # fmt: skip
    client = Syncrepl.__new__(Syncrepl)
    with pytest.raises(SyncreplError):
        client.__init__(**given)  # type: ignore[misc]
    assert repr(client).startswith("<Syncrepl")


def test_repr_after_a_refusal(tmp_path: Path) -> None:
    client = Syncrepl.__new__(Syncrepl)
    with Provider([done()], knows_sync=False) as provider:
        url = f"{provider.url}/dc=example,dc=com??sub"
        with pytest.raises(SyncreplError, match="no content synchronization"):
            client.__init__(f"{tmp_path}/", Recorder(), REFRESH_ONLY, url)  # type: ignore[misc]
    assert repr(client).endswith(", REFRESH_ONLY, closed>")
    with pytest.raises(ClosedError):
        client.poll(0)
