# SPDX-License-Identifier: BSD-3-Clause
"""The programs in README.md and docs/ do what is said of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from typing import Callable

import psycopg
import pytest

from tests.conftest import missing_servers_skip
from tests.docs.conftest import PEOPLE, Directory, Program
from tests.docs.snippets import PYTHON, ROOT, Block, program
from tests.servers.people import person_dn
from tests.servers.postgresql import PostgreSQL
from tests.servers.process import find_program

Start = Callable[[Block], Program]

TESTED = {
    ("README.md", "follow.py"),
    ("index.rst", "people.py"),
    ("quickstart.rst", "report.py"),
    ("quickstart.rst", "follow.py"),
    ("client.rst", "patient.py"),
    ("client.rst", "service.py"),
    ("iteration.rst", "loop.py"),
    ("iteration.rst", "aloop.py"),
    ("iteration.rst", "acallback.py"),
    ("iteration.rst", "rows.py"),
    ("iteration.rst", "several.py"),
    ("monitoring.rst", "figures.py"),
    ("testing.rst", "accounts.py"),
    ("testing.rst", "conftest.py"),
    ("testing.rst", "test_accounts.py"),
    ("testing.rst", "test_following.py"),
    ("testing.rst", "test_publisher.py"),
}


def test_every_program_has_a_test() -> None:
    assert {(block.document, block.program) for block in PYTHON if block.program} == TESTED


def test_readme_follow(directory: Directory, start: Start) -> None:
    block = program("follow.py", "README.md")
    running = start(block)
    running.wait_for(f"add uid=u{PEOPLE - 1:07d}")
    dns = directory.change()
    running.wait_for(f"add {dns['added']}")
    lines = running.stop().splitlines()
    assert sum(line.startswith("add ") for line in lines) == PEOPLE + 1
    assert [line for line, _ in groupby(lines[PEOPLE:])] == [
        f"change {dns['changed']}",
        f"rename {dns['renamed']} to {dns['new']}",
        f"change {dns['new']}",  # its uid and its mail, in one message or two
        f"delete {dns['deleted']}",
        f"add {dns['added']}",
    ]

    dns = directory.change()  # while it does not run
    running = start(block)
    running.wait_for(f"delete {dns['deleted']}")
    assert sorted(running.stop().splitlines()) == sorted(
        [
            f"change {dns['changed']}",
            f"rename {dns['renamed']} to {dns['new']}",
            f"change {dns['new']}",
            f"add {dns['added']}",
            f"delete {dns['deleted']}",
        ]
    )


def test_index(directory: Directory, start: Start) -> None:
    running = start(program("people.py", "index.rst"))
    running.wait_for(f"add None uid=u{PEOPLE - 1:07d}")
    dns = directory.change()
    running.wait_for(f"rename {dns['renamed']} {dns['new']}\n")
    running.wait_for(f"delete {dns['deleted']} None\n")
    running.kill()
    again = start(program("people.py", "index.rst"))
    with directory.server.connected() as connection:
        connection.delete_s(person_dn(40))
    again.wait_for(f"delete {person_dn(40)} None\n")
    assert len(again.output().splitlines()) < PEOPLE, "it goes on"


def test_report(directory: Directory, start: Start) -> None:
    block = program("report.py", "quickstart.rst")
    lines = start(block).wait().splitlines()
    assert [line.split()[0] for line in lines] == ["add"] * PEOPLE + [str(PEOPLE)]

    assert start(block).wait() == f"{PEOPLE} entries\n"

    dns = directory.change()
    lines = start(block).wait().splitlines()
    rename = lines.index(f"rename {dns['renamed']} to {dns['new']}")
    assert lines[rename + 1] == f"change {dns['new']} ['mail']"
    assert f"change {dns['changed']} ['mail']" in lines
    assert lines[-2:] == [f"delete {dns['deleted']}", f"{PEOPLE} entries"]
    assert len(lines) == 6


def test_quickstart_follow(directory: Directory, start: Start) -> None:
    running = start(program("follow.py", "quickstart.rst"))
    running.wait_for(f"refresh done, {PEOPLE} entries")
    dns = directory.change()
    running.wait_for(f"add {dns['added']} (")
    output = running.stop()
    assert f"change {dns['changed']} (mail)" in output
    assert f"rename {dns['renamed']} -> {dns['new']}" in output
    assert f"delete {dns['deleted']}" in output


def test_patient(directory: Directory, start: Start) -> None:
    lines = start(program("patient.py", "client.rst")).wait().splitlines()
    failed = r"the callback failed; again in \d\.\d s: .*the other system does not answer.*"
    assert all(re.fullmatch(failed, line) for line in lines[:2])
    assert [line.split()[0] for line in lines[2:]] == ["add"] * PEOPLE


def test_service(directory: Directory, start: Start) -> None:
    running = start(program("service.py", "client.rst"))
    running.wait_for(f"refresh done, {PEOPLE} entries")
    directory.server.stop()
    running.wait_for("WARNING:syncrepl_client.engine.poller:disconnected; again in ")
    directory.server.start()
    dns = directory.change()
    running.wait_for(f"add {dns['added']} (")
    running.wait_for(f"delete {dns['deleted']}")
    output = running.stop()
    assert output.count("INFO:syncrepl_client.changes:add ") == PEOPLE + 1


def test_the_tests_that_are_shown(tmp_path: Path) -> None:
    with missing_servers_skip():
        find_program("slapd", "slapd")
    shown = [block for block in PYTHON if block.document == "testing.rst" and block.program]
    for block in shown:
        (tmp_path / str(block.program)).write_text(block.text, encoding="utf-8")
    options = ["-q", "-W", "error", "-p", "no:cacheprovider", f"--rootdir={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    tests = sum(block.text.count("\ndef test_") for block in shown)
    assert f"\n{tests} passed in " in done.stdout, done.stdout


@pytest.mark.parametrize("name", ["loop.py", "aloop.py"])
def test_loops(directory: Directory, start: Start, name: str) -> None:
    running = start(program(name, "iteration.rst"))
    running.wait_for(f"add uid=u{PEOPLE - 1:07d}")
    dns = directory.change()
    running.wait_for(f"add {dns['added']}")
    lines = running.stop().splitlines()
    assert f"rename {dns['new']}" in lines
    assert any(line.endswith(dns["deleted"]) for line in lines[PEOPLE:])


def test_acallback(directory: Directory, start: Start) -> None:
    lines = start(program("acallback.py", "iteration.rst")).wait().splitlines()
    assert len(lines) == PEOPLE
    assert all(line.startswith("welcomed uid=") for line in lines)


def test_rows(
    directory: Directory, start: Start, directory_database: None, postgresql: PostgreSQL
) -> None:
    assert start(program("rows.py", "iteration.rst")).wait() == ""
    url = postgresql.socket_url.replace("@/postgres", "@/directory")
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT DISTINCT dn FROM welcomed").fetchall()
    assert len(rows) == PEOPLE


def test_several(directory: Directory, start: Start) -> None:
    running = start(program("several.py", "iteration.rst"))
    running.wait_for(f"person uid=u{PEOPLE - 1:07d}")
    running.wait_for("unit ou=groups")
    dns = directory.change()
    running.wait_for(f"person {dns['added']}")
    assert running.stop().count("unit ") == 2


def test_figures(directory: Directory, start: Start) -> None:
    output = start(program("figures.py", "monitoring.rst")).wait()
    assert output == f"over: {PEOPLE} entries, {PEOPLE} new\n"
