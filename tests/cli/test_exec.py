# SPDX-License-Identifier: BSD-3-Clause
"""``watch --exec`` runs a command for each change, until it succeeds."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
from pathlib import Path

import ldap

from tests.cli.commands import run, running
from tests.cli.conftest import PEOPLE
from tests.cli.test_watch import change_all, url
from tests.servers import Slapd
from tests.servers.people import SUFFIX, person_dn

ADDS = [f"add {person_dn(number)}" for number in range(PEOPLE)]


def program(tmp_path: Path, *lines: str) -> str:
    """A command that runs these lines of Python, with the change as ``change``."""
    path = tmp_path / "program.py"
    head = ["import json, os, sys, time", "change = json.load(sys.stdin)"]
    head.append(f"here = {str(tmp_path)!r}")
    path.write_text("\n".join([*head, *lines]))
    return shlex.join([sys.executable, str(path)])


NOTE = "open(here + '/notes', 'a').write(change['kind'] + ' ' + change['dn'] + '\\n')"


def notes(tmp_path: Path) -> list[str]:
    path = tmp_path / "notes"
    return path.read_text().splitlines() if path.exists() else []


def test_a_command_for_each_change(server: Slapd, tmp_path: Path) -> None:
    command = program(tmp_path, NOTE, "print(change['kind'], flush=True)")
    with running(tmp_path, "watch", "--exec", command, url(server)) as it:
        it.wait_for("add\n" * PEOPLE)
        change_all(server)
        it.wait_for("add\n" * PEOPLE + "modify\nrename\ndelete\nadd\n")
        assert it.stop() == 0
    assert sorted(notes(tmp_path)[:PEOPLE]) == ADDS
    assert notes(tmp_path)[PEOPLE:] == [
        f"modify {person_dn(0)}",
        f"rename uid=renamed,ou=people,{SUFFIX}",
        f"delete {person_dn(2)}",
        f"add {person_dn(100)}",
    ]
    assert it.err == ""


def test_it_gets_the_object_of_json_lines(server: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, "watch", "--exec", "cat", url(server)) as it:
        it.wait_for(person_dn(PEOPLE - 1))
        change_all(server)
        it.wait_for(person_dn(100))
        assert it.stop() == 0
    told = [json.loads(line) for line in it.out.splitlines()]
    assert [each["kind"] for each in told[PEOPLE:]] == ["modify", "rename", "delete", "add"]
    assert told[PEOPLE]["differences"]["mail"]["removed"] == ["ada.abbott.0@example.com"]


def test_changes_are_written_too_if_a_format_is_given(server: Slapd) -> None:
    done = run("watch", "--once", "--exec", "true", "--format", "json", url(server))
    assert done.code == 0
    kinds = [json.loads(line)["kind"] for line in done.out.splitlines()]
    assert kinds == ["add"] * PEOPLE + ["refresh-done"]


def test_what_failed_comes_again_and_nothing_is_skipped(server: Slapd, tmp_path: Path) -> None:
    first_time = "'u0000002' in change['dn'] and not os.path.exists(here + '/failed')"
    fails_once = (f"if {first_time}:", " open(here + '/failed', 'w').close()", " sys.exit(7)")
    command = program(tmp_path, *fails_once, NOTE)
    state = f"{tmp_path}/state-"
    arguments = ("--once", "--data", state, "--exec", command, "--exec-retries", "3")
    done = run("watch", *arguments, url(server))
    assert done.code == 0
    said = r"syncrepl-client: warning: the callback failed; again in \d\.\d s: "
    said += f"--exec at add {person_dn(2)}: the command ended with code 7\n"
    assert re.fullmatch(said, done.err)
    assert sorted(notes(tmp_path)) == ADDS  # those before it did not come again
    assert run("watch", "--once", "--data", state, "--exec", command).code == 0
    assert len(notes(tmp_path)) == PEOPLE  # all is committed


def test_what_goes_on_failing(server: Slapd, tmp_path: Path) -> None:
    state = f"{tmp_path}/state-"
    arguments = ("--once", "--data", state, "--exec-retries", "1", url(server))
    failing = run("watch", "--exec", "false", *arguments)
    assert (failing.code, failing.out) == (5, "")
    assert failing.err.splitlines()[-1].endswith("the command ended with code 1")
    killed = run("watch", "--exec", "sh -c 'kill -9 $$'", *arguments)
    assert killed.code == 5
    assert killed.err.splitlines()[-1].endswith("the command ended with signal 9")
    assert run("watch", "--exec", program(tmp_path, NOTE), *arguments).code == 0
    assert sorted(notes(tmp_path)) == ADDS


def test_a_stop_ends_the_command_and_the_change_comes_again(server: Slapd, tmp_path: Path) -> None:
    waits = program(tmp_path, NOTE, "print(os.getpid(), flush=True)", "time.sleep(600)")
    state = f"{tmp_path}/state-"
    with running(tmp_path, "watch", "--data", state, "--exec", waits, url(server)) as it:
        it.wait_for("\n")
        assert it.stop() == 0
        assert it.err == ""
    assert not os.path.exists(f"/proc/{int(it.out)}")
    (first,) = notes(tmp_path)
    command = program(tmp_path, NOTE)
    assert run("watch", "--once", "--data", state, "--exec", command, url(server)).code == 0
    assert notes(tmp_path)[1] == first
    assert sorted(notes(tmp_path)[1:]) == ADDS


def test_a_command_that_does_not_want_to_end(server: Slapd, tmp_path: Path) -> None:
    stays = program(tmp_path, "import signal", "signal.signal(15, signal.SIG_IGN)",
                    "print(os.getpid(), flush=True)", "time.sleep(600)")  # fmt: skip
    with running(tmp_path, "watch", "--exec", stays, url(server)) as it:
        it.wait_for("\n")
        assert it.stop() == 0
    assert not os.path.exists(f"/proc/{int(it.out)}")


def test_a_stop_while_it_waits_to_try_again(server: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, "watch", "--exec", "false", url(server)) as it:
        it.wait_for("again in", err=True)
        assert it.stop(signal.SIGINT) == 0


def test_a_command_need_not_read(server: Slapd) -> None:
    with server.connected() as connection:
        connection.modify_s(person_dn(0), [(ldap.MOD_ADD, "jpegPhoto", b"\xff" * 200_000)])
    done = run("watch", "--once", "--exec", "true", "--exec-retries", "0", url(server))
    assert (done.code, done.err) == (0, "")
    done = run("watch", "--once", "--exec", "wc -c", "--exec-retries", "0", url(server))
    assert max(int(line) for line in done.out.splitlines()) > 200_000 * 4 // 3


def test_it_is_not_told_the_password(server: Slapd, tmp_path: Path) -> None:
    command = program(tmp_path, "print(sorted(os.environ))")
    who = ("-D", f"cn=reader,{SUFFIX}")
    env = {"SYNCREPL_PASSWORD": "secret"}
    done = run("watch", "--once", "--exec", command, *who, url(server), env=env)
    assert done.code == 0
    assert "PATH" in done.out
    assert "SYNCREPL_PASSWORD" not in done.out


def test_a_program_that_is_not_there(server: Slapd) -> None:
    for command in ("no-such-program -x", "", "'"):
        done = run("watch", "--exec", command, url(server))
        assert (done.code, done.out) == (2, "")
        assert "Invalid value for '--exec'" in done.err


def test_a_program_that_goes_away(server: Slapd, tmp_path: Path) -> None:
    path = tmp_path / "once"
    path.write_text("#!/bin/sh\nrm $0\n")
    path.chmod(0o700)
    done = run("watch", "--once", "--exec", str(path), "--exec-retries", "0", url(server))
    assert done.code == 5
    assert "No such file" in done.err
