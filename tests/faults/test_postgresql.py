# SPDX-License-Identifier: BSD-3-Clause
"""A client, and the command, with a PostgreSQL store: killed, stopped, and looked at."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from typing import Any, Callable

import ldap
import psycopg
import pytest

from syncrepl_client import Backoff, LDIFCallback, Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.exceptions import StoreLocked, StoreLost
from syncrepl_client.store import PostgreSQLStore, open_changelog, read_store
from tests.cli.commands import ROOT, run
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd
from tests.servers.people import SUFFIX, people_ldif, person_dn
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgresql import PostgreSQL

PEOPLE = 200
ENTRIES = PEOPLE + 3


@pytest.fixture
def server(run_server: Callable[..., Any]) -> Slapd:
    slapd: Slapd = run_server(Slapd, sessionlog=1000, ldif=people_ldif(PEOPLE))
    return slapd


def search(server: Slapd) -> str:
    return f"{server.url}/{SUFFIX}?*?sub"


@contextmanager
def program(server: Slapd, database: str, death: int = 0) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.rows", search(server), database, "s", str(death)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def told(database: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database) as connection:
        return connection.execute("SELECT uuid, kind, phase FROM told ORDER BY id").fetchall()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANGS_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_kills(server: Slapd, database: str) -> None:
    """Killed in the refresh, and in the persist stage: each change has one row, in the end."""
    with psycopg.connect(database) as connection:
        connection.execute(
            "CREATE TABLE told (id bigserial PRIMARY KEY, uuid uuid, kind text, phase text)"
        )
    for death in (1, 77, ENTRIES):
        with program(server, database, death) as process:
            assert process.wait(HANGS_SECONDS) == -signal.SIGKILL
    with program(server, database, ENTRIES + 3) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"refreshed {ENTRIES}\n"
        with server.connected() as connection:
            for number in range(5):
                change = [(ldap.MOD_REPLACE, "description", [b"%d" % number])]
                connection.modify_s(person_dn(number), change)
        assert process.wait(HANGS_SECONDS) == -signal.SIGKILL
    with program(server, database) as process:
        wait_until(lambda: len(told(database)) >= ENTRIES + 5)
    rows = told(database)
    assert len({uuid for uuid, kind, _ in rows if kind == "add"}) == ENTRIES
    assert [kind for _, kind, _ in rows] == ["add"] * ENTRIES + ["modify"] * 5
    assert len({uuid for uuid, kind, _ in rows if kind == "modify"}) == 5


def test_kills_behind_a_pooler(
    server: Slapd, database: str, postgresql: PostgreSQL, run_server: Callable[..., Any]
) -> None:
    """It pools sessions, and is told when its client is gone."""
    pooler = run_server(PgBouncer, server=postgresql, mode="session")
    name = database.partition("@/")[2].partition("?")[0]
    behind = f"{pooler.url.replace('/postgres', f'/{name}')}?session_pooling=true"
    with psycopg.connect(database) as connection:
        connection.execute(
            "CREATE TABLE told (id bigserial PRIMARY KEY, uuid uuid, kind text, phase text)"
        )
    for death in (1, 77, ENTRIES):
        with program(server, behind, death) as process:
            assert process.wait(HANGS_SECONDS) == -signal.SIGKILL
    with program(server, behind, ENTRIES + 2) as process:
        wait_until(lambda: len(told(database)) == ENTRIES)
        pooler.restart()
        with server.connected() as connection:
            connection.modify_s(person_dn(1), [(ldap.MOD_REPLACE, "description", [b"x"])])
        assert process.wait(HANGS_SECONDS) != 0  # the connection is lost
    with program(server, behind) as process:
        wait_until(lambda: len(told(database)) > ENTRIES)
    assert [kind for _, kind, _ in told(database)] == ["add"] * ENTRIES + ["modify"]


class Counter(BaseCallback):
    def __init__(self) -> None:
        self.changes = 0
        self.lost: list[Exception] = []

    def disconnected(self, error: Exception) -> None:
        self.lost.append(error)

    def record_change(self, dn: str, old_attrs: Any, new_attrs: Any) -> None:
        self.changes += 1


def test_a_stop_while_the_database_hangs(server: Slapd, database: str) -> None:
    callback = Counter()
    client = Syncrepl(database, callback, SyncreplMode.REFRESH_AND_PERSIST, search(server))
    with client:
        while not client.refreshed:
            client.poll()
        backend = client.store.connection.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
        try:
            thread = threading.Thread(target=client.run)
            thread.start()
            with server.connected() as connection:
                connection.modify_s(person_dn(1), [(ldap.MOD_REPLACE, "description", [b"x"])])
            wait_until(lambda: client.store.connection.pgconn.transaction_status == 1)
            client.please_stop()
            thread.join(HANGS_SECONDS)
            assert not thread.is_alive()
        finally:
            os.kill(backend, signal.SIGCONT)
    callback.changes = 0
    with Syncrepl(database, callback, SyncreplMode.REFRESH_ONLY) as client:
        client.run()
    assert callback.changes == 1


def lose(server: Slapd, postgresql: PostgreSQL, client: Syncrepl) -> None:
    """Have the connection to the store end while nothing happens, and then change an entry."""
    while not client.refreshed:
        client.poll()
    backend = client.store.connection.info.backend_pid
    postgresql.execute("SELECT pg_terminate_backend(%s, 600000)", backend)
    with server.connected() as connection:
        connection.modify_s(person_dn(1), [(ldap.MOD_REPLACE, "description", [b"x"])])


def test_a_connection_that_is_lost(server: Slapd, database: str, postgresql: PostgreSQL) -> None:
    """It is made again, and the search goes on from what is committed."""
    callback = Counter()
    mode, backoff = SyncreplMode.REFRESH_AND_PERSIST, Backoff(0.01)
    with Syncrepl(database, callback, mode, search(server), reconnect=backoff) as client:
        lose(server, postgresql, client)
        while not callback.changes:
            assert client.poll(HANGS_SECONDS)
        assert [type(error) for error in callback.lost] == [StoreLost]
        assert client.stats.term == 2
        with read_store(database) as reader:
            assert reader.origin.cookie == client.store.origin.cookie


def test_ldif_after_a_loss(server: Slapd, database: str, postgresql: PostgreSQL) -> None:
    """The records of a transaction are in a temporary table, which went with the connection."""
    stream = io.StringIO()
    callback = LDIFCallback(stream)
    mode, backoff = SyncreplMode.REFRESH_AND_PERSIST, Backoff(0.01)
    with Syncrepl(database, callback, mode, search(server), reconnect=backoff) as client:
        callback.arrange(client.store)
        lose(server, postgresql, client)
        while "replace: description" not in stream.getvalue():
            assert client.poll(HANGS_SECONDS)
    assert stream.getvalue().count("changetype: add") == ENTRIES


def test_another_takes_a_store_that_is_lost(
    server: Slapd, database: str, postgresql: PostgreSQL
) -> None:
    mode, backoff = SyncreplMode.REFRESH_AND_PERSIST, Backoff(0.01)
    with Syncrepl(database, Counter, mode, search(server), reconnect=backoff) as client:
        lose(server, postgresql, client)
        with closing(PostgreSQLStore(database)), pytest.raises(StoreLocked):
            client.run()


def test_a_connection_that_is_not_made_again(
    server: Slapd, database: str, postgresql: PostgreSQL
) -> None:
    callback = Counter()
    mode = SyncreplMode.REFRESH_AND_PERSIST
    with Syncrepl(database, callback, mode, search(server), reconnect=False) as client:
        lose(server, postgresql, client)
        with pytest.raises(StoreLost):
            client.run()
    callback.changes = 0
    with Syncrepl(database, callback, SyncreplMode.REFRESH_ONLY) as client:
        client.run()
    assert callback.changes == 1


def test_the_command(server: Slapd, database: str) -> None:
    """Whatever looks into a state looks into this one."""
    done = run("status", "-d", database, "-H", server.url)
    assert done.code != 0
    assert "no data store" in done.err
    began = ""
    for description in ("one", "two"):
        with server.connected() as connection:
            change = [(ldap.MOD_REPLACE, "description", [description.encode()])]
            connection.modify_s(person_dn(1), change)
        done = run("watch", "--once", "--log", "30d", "-d", database, search(server))
        assert (done.code, done.err) == (0, "")
        began = began or datetime.now(timezone.utc).isoformat()
    assert run("status", "-d", database).code == 0
    dump = run("dump", "-d", database).out
    assert dump.count("\ndn: ") == ENTRIES
    assert "description: two" in dump
    history = run("history", "-d", database, "--format", "json").out.splitlines()
    assert person_dn(1) in history[-1]
    assert person_dn(1) in run("undo", "-d", database, "--since", began).out
    assert "description: two" in run("show", "-d", database, person_dn(1)).out
    done = run("verify", "-d", database)
    assert (done.code, done.out) == (0, f"Nothing differs: {ENTRIES} entries compared.\n")
    assert "Done: the next start" in run("reconcile", "-d", database).out
    with open_changelog(database) as log:
        log.sinks.add("me")
    assert "me" in run("sinks", "-d", database).out
    assert run("doctor", "-d", database).code == 0
    with read_store(database) as reader:
        assert reader.origin.cookie is None
    place = ("-d", database, "--schema", "other")
    assert run("watch", "--once", *place, search(server)).code == 0
    assert run("dump", "--schema", "other", "-d", database).out == run("dump", *place).out == dump
    done = run("dump", "-d", "state/", "--schema", "other")
    assert (done.code, "only a PostgreSQL database" in done.err) == (2, True)
