# SPDX-License-Identifier: BSD-3-Clause
"""The cookbook's groups: in the store's file exactly once, elsewhere at least once."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Callable

import ldap
import psycopg
import pytest

from syncrepl_client.entries.dn import key
from tests.docs.conftest import Directory, Program
from tests.docs.snippets import recipe
from tests.patience import HANGS_SECONDS
from tests.servers.people import SUFFIX, person_dn, uid

Start = Callable[..., Program]
IN_STEP = "in step with the directory"
STAFF, CREW = f"cn=staff,ou=groups,{SUFFIX}", f"cn=crew,ou=groups,{SUFFIX}"
PROGRAMS = {"groups_sqlite.py": "groups-", "groups_sqlalchemy.py": "orm-"}
IN_POSTGRESQL = "groups_postgresql.py"


def groups_of(directory: Directory) -> dict[str, set[str]]:
    """Who is in which group, worked out from an ordinary search."""
    with directory.server.connected() as connection:
        found = dict(connection.search_s(SUFFIX, ldap.SCOPE_SUBTREE))
    uids = {key(dn): attrs["uid"][0].decode() for dn, attrs in found.items() if "uid" in attrs}
    teams = {
        key(dn): (attrs["cn"][0].decode(), {key(value.decode()) for value in attrs["member"]})
        for dn, attrs in found.items()
        if "member" in attrs
    }

    def persons(members: set[bytes], seen: frozenset[bytes]) -> set[str]:
        inner = {each for each in members & teams.keys() if each not in seen}
        nested = (persons(teams[each][1], seen | {each}) for each in inner)
        return {uids[each] for each in members & uids.keys()}.union(*nested)

    return {name: persons(members, frozenset([team])) for team, (name, members) in teams.items()}


def add_group(directory: Directory, dn: str, members: Iterable[str]) -> None:
    values = [member.encode() for member in members]
    with directory.server.connected() as connection:
        connection.add_s(dn, [("objectClass", [b"groupOfNames"]), ("member", values)])


def change(directory: Directory) -> None:
    """Rename a member, let one go, delete a nested group, rename the other, add to it."""
    with directory.server.connected() as connection:
        connection.rename_s(person_dn(0), "uid=renamed")
        connection.modify_s(
            STAFF,
            [
                (ldap.MOD_DELETE, "member", [person_dn(0).encode(), person_dn(1).encode()]),
                (ldap.MOD_ADD, "member", [f"uid=Renamed, ou=people,{SUFFIX}".encode()]),
            ],
        )
        connection.delete_s(CREW)
        connection.rename_s(STAFF, "cn=everybody")
        new = [(ldap.MOD_ADD, "member", person_dn(7).encode())]
        connection.modify_s(f"cn=everybody,ou=groups,{SUFFIX}", new)
        connection.delete_s(person_dn(2))


@pytest.fixture
def grouped(directory: Directory) -> Directory:
    """A directory with a group of four persons and of another group, which has two."""
    add_group(directory, CREW, [person_dn(5), person_dn(6).upper()])
    add_group(directory, STAFF, [*map(person_dn, range(4)), CREW.replace(",", ", ")])
    return directory


@pytest.fixture(params=[*PROGRAMS, IN_POSTGRESQL])
def name(request: pytest.FixtureRequest) -> str:
    """The program, whose database server runs if it has one."""
    if request.param == IN_POSTGRESQL:
        request.getfixturevalue("directory_database")
    return str(request.param)


def execute(name: str, *statements: str) -> list[Any]:
    """Execute statements in the program's database; return the rows of the last one."""
    connection: Any = (
        psycopg.connect("dbname=directory", autocommit=True)
        if name == IN_POSTGRESQL
        else sqlite3.connect(f"state/{PROGRAMS[name]}syncrepl.sqlite3", isolation_level=None)
    )
    with closing(connection):
        for statement in statements:
            cursor = connection.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


BELONGS = """
WITH RECURSIVE inside (team, dn) AS (
    SELECT team, dn FROM member UNION
    SELECT inside.team, member.dn FROM inside
        JOIN team ON team.dn = inside.dn JOIN member ON member.team = team.uuid)
SELECT team.name, person.uid FROM team
    LEFT JOIN inside ON inside.team = team.uuid LEFT JOIN person ON person.dn = inside.dn
"""


def groups_in(name: str) -> dict[str, set[str]]:
    """Who is in which group by the program's tables."""
    found: dict[str, set[str]] = {}
    for team, person in execute(name, BELONGS):
        found.setdefault(team, set()).update([person] if person else [])
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANGS_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def finish(start: Start, name: str) -> None:
    """Start it, let it catch up, stop it."""
    running = start(recipe(name))
    running.wait_for(IN_STEP)
    running.stop()


def test_groups_are_in_the_tables(name: str, grouped: Directory, start: Start) -> None:
    before = groups_of(grouped)
    assert before == {"crew": {uid(5), uid(6)}, "staff": {uid(n) for n in (0, 1, 2, 3, 5, 6)}}
    running = start(recipe(name))
    running.wait_for(IN_STEP)
    wait_until(lambda: groups_in(name) == before)  # it says so just before it commits
    change(grouped)
    after = groups_of(grouped)
    assert after == {"everybody": {"renamed", uid(3), uid(7)}}
    wait_until(lambda: groups_in(name) == after)
    running.stop()

    with grouped.server.connected() as connection:  # while it does not run
        connection.rename_s(f"ou=people,{SUFFIX}", "ou=humans")
    assert groups_of(grouped) == {"everybody": set()}, "slapd does not mend the group by itself"
    finish(start, name)
    assert groups_in(name) == {"everybody": set()}
    with grouped.server.connected() as connection:
        for dn in (f"cn=everybody,ou=groups,{SUFFIX}", f"ou=groups,{SUFFIX}"):
            connection.delete_s(dn)
    finish(start, name)
    assert groups_in(name) == {}
    assert execute(name, "SELECT count(*) FROM member") == [(0,)]


TOLD = "CREATE TABLE told (what TEXT, team TEXT, dn BLOB)"
WATCH = """
CREATE TRIGGER {0} AFTER {1} ON member BEGIN INSERT INTO told VALUES ('{0}', {2}.team, {2}.dn); END
"""
TOLD_POSTGRESQL = "CREATE TABLE told (what text, team uuid, dn bytea)"
WATCH_POSTGRESQL = """
CREATE RULE {0} AS ON {1} TO member DO ALSO INSERT INTO told VALUES ('{0}', {2}.team, {2}.dn)
"""
MEMBERS = "SELECT team, dn FROM member"
INSTANTS = [("told", 1), ("told", 4), ("committing", 1), ("committed", 1)]


def test_each_member_comes_and_goes_once_whenever_it_is_killed(
    name: str, grouped: Directory, start: Start
) -> None:
    for moment, number in INSTANTS:  # in the first refresh
        start(recipe(name), "-m", "tests.docs.dying", moment, str(number), "--").wait_for_kill()
    finish(start, name)
    assert groups_in(name) == groups_of(grouped)
    before = set(execute(name, MEMBERS))
    table, rule = (TOLD_POSTGRESQL, WATCH_POSTGRESQL) if name == IN_POSTGRESQL else (TOLD, WATCH)
    rules = rule.format("come", "INSERT", "new"), rule.format("gone", "DELETE", "old")
    execute(name, table, *rules)
    change(grouped)
    for moment, number in INSTANTS:
        start(recipe(name), "-m", "tests.docs.dying", moment, str(number), "--").wait_for_kill()
    finish(start, name)
    assert groups_in(name) == groups_of(grouped)
    after = set(execute(name, MEMBERS))
    told = execute(name, "SELECT * FROM told")
    expected = [("come", *row) for row in after - before] + [
        ("gone", *row) for row in before - after
    ]
    assert sorted(told) == sorted(expected)


def test_another_process_reads_meanwhile(grouped: Directory, start: Start) -> None:
    running = start(recipe("groups_sqlite.py"))
    running.wait_for(IN_STEP)
    wait_until(lambda: groups_in("groups_sqlite.py") == groups_of(grouped))
    assert start(recipe("groups_reader.py"), uid(5)).wait() == "crew\nstaff\n"
    assert start(recipe("groups_reader.py"), "nobody").wait() == "\n"
    running.stop()


# --- elsewhere


def people_of(directory: Directory) -> set[tuple[str, str]]:
    with directory.server.connected() as connection:
        found = connection.search_s(SUFFIX, ldap.SCOPE_SUBTREE, "(objectClass=inetOrgPerson)")
    return {(attrs["uid"][0].decode(), attrs["mail"][0].decode()) for _, attrs in found}


def people_elsewhere() -> set[tuple[str, str]]:
    with closing(sqlite3.connect("state/application.sqlite3")) as db:
        return set(db.execute("SELECT uid, mail FROM person"))


def left_in_the_outbox() -> int:
    with closing(sqlite3.connect("state/elsewhere-syncrepl.sqlite3")) as db:
        (number,) = db.execute("SELECT count(*) FROM outbox").fetchone()
    assert isinstance(number, int)
    return number


def test_people_are_in_another_database(directory: Directory, start: Start) -> None:
    name = "groups_elsewhere.py"
    # Its first delivery makes the table.
    instants = [*INSTANTS, ("delivered", 2)]
    for moment, number in instants:
        start(recipe(name), "-m", "tests.docs.dying", moment, str(number), "--").wait_for_kill()
    running = start(recipe(name))
    running.wait_for(IN_STEP)
    wait_until(lambda: people_elsewhere() == people_of(directory))
    running.stop()
    directory.change()
    for moment, number in instants:
        start(recipe(name), "-m", "tests.docs.dying", moment, str(number), "--").wait_for_kill()
    assert left_in_the_outbox() > 0
    finish(start, name)
    assert people_elsewhere() == people_of(directory)
    assert left_in_the_outbox() == 0


def test_another_database_may_be_away(directory: Directory, start: Start, workplace: Path) -> None:
    running = start(recipe("groups_elsewhere.py"))
    running.wait_for(IN_STEP)
    wait_until(lambda: people_elsewhere() == people_of(directory))
    with closing(sqlite3.connect("state/application.sqlite3", isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        directory.change()
        running.wait_for("the database can't be used now: database is locked")
        assert left_in_the_outbox() > 0
        db.execute("ROLLBACK")
    wait_until(lambda: people_elsewhere() == people_of(directory))
    running.stop()
    assert left_in_the_outbox() == 0
