# SPDX-License-Identifier: BSD-3-Clause
"""docs/operations.rst: what is said to be done is done, and has the result that is told."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest

from syncrepl_client.cli.exits import Exit
from tests.cli.commands import Done, run
from tests.docs.snippets import DOCS
from tests.servers import Slapd
from tests.servers.people import SUFFIX, people_ldif, person, person_dn

PEOPLE = 120
PAGE = (DOCS / "operations.rst").read_text(encoding="utf-8")


@pytest.fixture
def server(run_server: Callable[..., Any]) -> Slapd:
    made: Slapd = run_server(Slapd, sessionlog=1000, ldif=people_ldif(PEOPLE))
    return made


@pytest.fixture
def state(server: Slapd, tmp_path: Path) -> Path:
    """A state that is in step."""
    path = tmp_path / "state"
    path.mkdir()
    assert len(changes(watch(path, url(server)))) == PEOPLE + 3
    return path


def url(server: Slapd, attributes: str = "cn,mail", filter: str = "(objectClass=*)") -> str:
    return f"{server.url}/{SUFFIX}?{attributes}?sub?{filter}"


def watch(state: Path, *more: str) -> Done:
    return run("watch", "--once", "--format", "json", "-d", str(state), *more)


def changes(done: Done) -> list[tuple[str, str]]:
    assert done.code == 0, done.err
    lines = map(json.loads, done.out.splitlines())
    return [(each["kind"], each.get("dn", "")) for each in lines if "dn" in each]


def delete(server: Slapd, *numbers: int) -> None:
    with server.connected() as connection:
        for number in numbers:
            connection.delete_s(person_dn(number))


def commands(section: str) -> list[list[str]]:
    """The words of each syncrepl-client command in a section of the page."""
    text = re.split(r"\n-+\n", "\n" + PAGE.split(f"\n{section}\n")[1])[1]
    found = re.findall(r"^   \$ syncrepl-client (.*)$", text, re.MULTILINE)
    return [each.split() for each in found]


def do(section: str, state: Path, **words: str) -> Done:
    """Do what the section says, with this state."""
    [command] = commands(section)
    return run(*(words.get(each, str(state) if each == "state/" else each) for each in command))


def test_too_many_deletes(server: Slapd, state: Path) -> None:
    delete(server, *range(PEOPLE - 10))
    assert watch(state).code == Exit.DELETES
    assert "the deletion guard refused" in run("status", "-d", str(state), "--nagios").out
    done = do("Too many deletes", state)
    assert done.code == 0
    assert done.out.count("delete  uid=") == PEOPLE - 10
    assert "guard" not in run("status", "-d", str(state), "--nagios", "--idle-ok").out


def test_a_backup_of_the_state(server: Slapd, state: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup.sqlite3"
    source, target = sqlite3.connect(state / "syncrepl.sqlite3"), sqlite3.connect(backup)
    with closing(source), closing(target):
        source.backup(target)  # what the shell's .backup does
    delete(server, 1)
    assert changes(watch(state)) == [("delete", person_dn(1))]
    delete(server, 2)
    for file in state.iterdir():
        file.unlink()
    shutil.copy(backup, state / "syncrepl.sqlite3")
    assert sorted(changes(watch(state))) == [("delete", person_dn(1)), ("delete", person_dn(2))]


def test_a_state_that_is_lost(server: Slapd, state: Path) -> None:
    delete(server, 1)
    for file in state.iterdir():
        file.unlink()
    told = changes(watch(state, url(server)))
    assert {kind for kind, _ in told} == {"add"}
    done = run("dump", "-d", str(state), "--format", "json")
    listed = [json.loads(line)["dn"] for line in done.out.splitlines()]
    assert sorted(listed) == sorted(dn for _, dn in told)
    assert person_dn(1) not in listed


def test_a_server_that_was_restored(server: Slapd, state: Path, tmp_path: Path) -> None:
    """And written to before the program came: reconcile finds all."""
    backup = tmp_path / "data"
    server.stop()
    shutil.copytree(server.directory / "data", backup)
    server.start()
    delete(server, 1)
    assert changes(watch(state)) == [("delete", person_dn(1))]
    server.stop()
    shutil.rmtree(server.directory / "data")
    shutil.copytree(backup, server.directory / "data")
    server.start()
    with server.connected() as connection:
        connection.add_s(person_dn(500), list(person(500).items()))
    assert do("Restored server", state).code == 0
    told = changes(watch(state))
    assert sorted(told) == [("add", person_dn(1)), ("add", person_dn(500))]


def test_another_search(server: Slapd, state: Path) -> None:
    new = url(server, filter="(!(uid=u0000003))")
    assert watch(state, new).code == Exit.CONFIG
    done = do("Changed search", state, NEW_URL=new)
    assert done.code == 0
    assert f"delete  {person_dn(3)}\n" in done.out
    assert changes(watch(state, new)) == []


def test_a_state_that_was_moved(server: Slapd, state: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "srv" / "other"
    elsewhere.parent.mkdir()
    state.rename(elsewhere)
    with server.connected() as connection:
        connection.modify_s(person_dn(4), [(ldap.MOD_REPLACE, "mail", b"new@example.com")])
    assert changes(watch(elsewhere)) == [("modify", person_dn(4))]


def test_the_exit_codes_that_are_named() -> None:
    text = " ".join(PAGE.split("The exit codes of ``watch``")[1].split("need somebody")[0].split())
    named = set(map(int, re.findall(r"\b(\d+) \(", text)))
    assert named == {
        Exit.SERVER, Exit.HANDLER, Exit.USAGE, Exit.STORE, Exit.DELETES, Exit.REFUSED, Exit.CONFIG,
    }  # fmt: skip
