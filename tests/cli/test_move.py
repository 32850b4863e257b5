# SPDX-License-Identifier: BSD-3-Clause
"""``syncrepl-client move``: a state goes on where it was, at another place."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import ldap
import pytest

from syncrepl_client.store import open_changelog
from tests.cli.commands import run, terminal
from tests.conftest import missing_servers_skip
from tests.servers import Slapd
from tests.servers.people import SUFFIX, people_ldif, person, person_dn

PEOPLE = 20


@pytest.fixture(scope="module")
def people() -> Iterator[Slapd]:
    with missing_servers_skip(), Slapd(sessionlog=1000, ldif=people_ldif(PEOPLE)) as server:
        yield server


def changed(server: Slapd, number: int) -> str:
    value = secrets.token_hex(4)
    with server.connected() as connection:
        connection.modify_s(person_dn(number), [(ldap.MOD_REPLACE, "mail", value.encode())])
    return value


def test_there_and_back(people: Slapd, database: str, tmp_path: Path) -> None:
    search = f"{people.url}/ou=people,{SUFFIX}?*?sub"
    here, back = f"{tmp_path}/here-", f"{tmp_path}/back-"
    assert run("watch", "--once", "--log", "30d", "-d", here, search).code == 0
    with open_changelog(here) as log:
        log.sinks.add("me")
    first = changed(people, 1)
    done = run("watch", "--once", "-d", here)
    assert first in done.out
    done = run("move", here, database, "--to-schema", "people")
    assert (done.code, done.err) == (0, "")
    assert f"Done: {PEOPLE + 1} entries" in done.out
    assert "1 sink" in done.out
    assert "is as it was" in done.out
    there = ("-d", database, "--schema", "people")
    for command in ("dump", "history"):
        assert run(command, *there).out == run(command, "-d", here).out
    assert "me" in run("sinks", *there).out
    assert run("verify", *there).out.startswith("Nothing differs")

    second = changed(people, 2)
    done = run("watch", "--once", *there)
    assert (second in done.out, first in done.out) == (True, False)
    assert done.out.count("uid=") == 1
    assert run("move", database, back, "--from-schema", "people").code == 0
    third = changed(people, 3)
    with people.connected() as connection:
        connection.add_s(person_dn(100), list(person(100).items()))
    done = run("watch", "--once", "-d", back)
    assert (third in done.out, second in done.out) == (True, False)
    assert run("verify", "-d", back).out == f"Nothing differs: {PEOPLE + 2} entries compared.\n"


def test_refusals(database: str, tmp_path: Path) -> None:
    done = run("move", f"{tmp_path}/", database)
    assert (done.code, "no data store" in done.err) == (4, True)
    assert not list(tmp_path.iterdir())
    done = run("move", f"{tmp_path}/", f"{tmp_path}/x", "--to-schema", "y")
    assert (done.code, "--to-schema: only a PostgreSQL" in done.err) == (2, True)
    done = run("move", database, database)
    assert (done.code, "to where it is" in done.err) == (2, True)


def test_progress_on_a_terminal(people: Slapd, tmp_path: Path) -> None:
    """A state of so many entries that the move takes a second."""
    place = f"{tmp_path}/old-"
    run("watch", "--once", "-d", place, f"{people.url}/ou=people,{SUFFIX}?*?sub")
    with sqlite3.connect(f"{place}syncrepl.sqlite3") as connection:
        connection.execute(
            "WITH RECURSIVE more (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more WHERE n < 60000)"
            " INSERT INTO syncrepl_entry (uuid, key, dn, attrs) SELECT CAST(printf('%016d', n) AS "
            "BLOB), CAST(printf('dc=x%c%d', 0, n) AS BLOB), 'cn=' || n, attrs FROM more, "
            "(SELECT attrs FROM syncrepl_entry LIMIT 1)"
        )
    connection.close()
    with terminal() as screen, screen.running("move", place, f"{tmp_path}/new-") as process:
        screen.wait_for("entries and changes")
        screen.wait_for("Done: ")
        process.wait()
