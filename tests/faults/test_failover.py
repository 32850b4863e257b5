# SPDX-License-Identifier: BSD-3-Clause
"""Several programs that share a PostgreSQL store: one follows, and another one takes over."""

from __future__ import annotations

import signal
from typing import Any, Callable

import pytest

from tests.faults.failover.members import Members, wait_until
from tests.servers import Slapd
from tests.servers.people import people_ldif
from tests.servers.postgresql import PostgreSQL

PEOPLE = 20


@pytest.fixture
def server(run_server: Callable[..., Any]) -> Slapd:
    slapd: Slapd = run_server(Slapd, sessionlog=1000, ldif=people_ldif(PEOPLE))
    return slapd


def test_kills(server: Slapd, database: str) -> None:
    """One of three is killed, again and again: nothing is lost, and nothing told twice."""
    with Members(server, database, lease=60) as members:
        members.start(3)
        for number in range(3):
            active = members.active()
            members.change(number, f"before {number}")
            wait_until(lambda: members.has(number, f"before {number}"))  # noqa: B023
            members.change(number, f"at {number}")
            members.end(active)
            members.change(number, f"after {number}")
            wait_until(lambda: members.has(number, f"after {number}"))  # noqa: B023
            members.start()
        members.check()
        assert members.fetch("SELECT term FROM s.syncrepl_origin") == [(4,)]


@pytest.mark.parametrize("description", ["idle", "sleep 1", "copy 1"])
def test_a_member_is_stopped(server: Slapd, database: str, description: str) -> None:
    """Idle, in a transaction, or in the middle of a statement; woken, it commits nothing."""
    with Members(server, database, lease=3) as members:
        members.start(2)
        stopped = members.active()
        members.change(1, "before")
        wait_until(lambda: members.has(1, "before"))
        if description != "idle":
            members.change(1, description)
            stopped.waits_for(f"begins {description}")
        stopped.send(signal.SIGSTOP)
        members.change(1, "after")
        active = members.active(stopped)
        wait_until(lambda: members.has(1, "after"))
        stopped.send(signal.SIGCONT)
        stopped.waits_for("stage standby")
        assert stopped.lines[-3:-1] == ["disconnected StoreLost", "stage disconnected"]
        members.change(2, "at last")
        wait_until(lambda: members.has(2, "at last"))
        pids = [pid for *_, pid in members.told()]
        assert pids == [stopped.pid] * pids.index(active.pid) + [active.pid] * 2
        members.check()
        assert not stopped.is_active


def test_a_session_is_ended(server: Slapd, database: str, postgresql: PostgreSQL) -> None:
    """Whoever is quicker takes the store: the one that had it, or another one."""
    with Members(server, database, lease=60) as members:
        members.start(2)
        for number in range(3):
            pid = members.active().pid
            sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
            assert postgresql.execute(f"{sql} application_name LIKE %s", f"%/{pid}")
            members.change(number, "after")
            wait_until(lambda: members.has(number, "after"))  # noqa: B023
        members.check()


def test_the_database_is_restarted(server: Slapd, run_server: Callable[..., Any]) -> None:
    postgresql = run_server(PostgreSQL)
    with Members(server, postgresql.socket_url, lease=5) as members:
        started = members.start(2)
        members.active()
        for each in started:
            wait_until(lambda: any("stage" in line for line in each.lines))  # noqa: B023
        postgresql.stop()
        for each in started:
            wait_until(lambda: "stage disconnected" in each.lines)  # noqa: B023
        members.change(1, "meanwhile")
        postgresql.start()
        wait_until(lambda: members.has(1, "meanwhile"))
        members.check()


def test_a_clean_end(server: Slapd, database: str) -> None:
    with Members(server, database, lease=60) as members:
        members.start(2)
        active = members.active()
        members.change(1, "before")
        wait_until(lambda: members.has(1, "before"))
        assert members.end(active, signal.SIGTERM) == 0
        assert active.lines[-1] == "deactivated"
        members.change(1, "after")
        wait_until(lambda: members.has(1, "after"))
        members.check()
