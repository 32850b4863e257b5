# SPDX-License-Identifier: BSD-3-Clause
"""On a terminal there are colours, and a line that says how far a refresh is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.cli.commands import run, terminal
from tests.cli.test_watch import WHO, bad, url
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd
from tests.servers.people import SUFFIX, people_ldif, person_dn

MANY = 800
GREEN = "\x1b[1;32m"


@pytest.fixture
def big(run_server: Callable[..., Any]) -> Slapd:
    server: Slapd = run_server(Slapd, ldif=people_ldif(MANY))
    return server


def shown(server: Slapd, *arguments: str, **env: str) -> str:
    """What is on the terminal at the end, the progress left aside."""
    with terminal() as tty:
        command = ("watch", "--once", *arguments, url(server))
        with tty.running(*command, env=env) as process:
            tty.wait_for("in step")
            assert process.wait(HANGS_SECONDS) == 0
        return tty.shown.decode()


def test_colours(server: Slapd) -> None:
    assert f"{GREEN}add " in shown(server)


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colours(server: Slapd, env: dict[str, str]) -> None:
    assert not bad(shown(server, **env).replace("\r\n", "\n"))


def test_colours_where_they_are_asked_for(server: Slapd) -> None:
    assert GREEN not in shown(server, "--color", "never")
    for env in ({}, {"NO_COLOR": "1"}):
        assert (
            f"{GREEN}add " in run("watch", "--once", "--color", "always", url(server), env=env).out
        )


def test_progress_is_on_stderr_alone(big: Slapd, tmp_path: Path) -> None:
    slow = f"{big.url}/{SUFFIX}??sub?{WHO}"
    state = f"{tmp_path}/state-"
    with terminal() as tty, (tmp_path / "out").open("wb") as out:
        # At a fifth of a second each, it is not over when Ctrl-C comes.
        many = ("watch", "--brief", "--exec", "sleep 0.2", "--format", "text")
        arguments = (*many, "--data", state)
        with tty.running(*arguments, slow, stdout=out) as process:
            tty.wait_for(" changes ")
            tty.type("\x03")
            assert process.wait(HANGS_SECONDS) == 0
        tty.read()
    text = tty.shown.decode()
    assert re.search(r"refresh .* [\d,]+ entries, [\d,]+/s, [\d,]+ changes", text)
    assert "add " not in text
    lines = (tmp_path / "out").read_text().splitlines()
    assert lines
    told = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d add     uid=u\d{7},ou=.*"  # in a file, with the date
    assert all(re.fullmatch(told, line) for line in lines)
    assert text.rstrip().endswith("\x1b[2K")  # it is wiped away


def test_time_left_where_it_is_known_how_many_there_were(big: Slapd, tmp_path: Path) -> None:
    state = f"{tmp_path}/state-"
    every = f"{big.url}/{SUFFIX}??sub?{WHO}"
    assert run("watch", "--once", "--data", state, every).code == 0
    with big.connected() as connection:
        for number in range(0, MANY, 2):
            connection.delete_s(person_dn(number))
    arguments = ("watch", "--exec", "sleep 0.2", "--data", state, "--max-deletes", "none", every)
    with terminal() as tty, tty.running(*arguments) as process:
        tty.wait_for(" left")
        tty.type("\x03")
        assert process.wait(HANGS_SECONDS) == 0
    assert re.search(r" up to \d:\d\d:\d\d left", tty.shown.decode())


def test_the_progress_and_the_lines_share_a_terminal(big: Slapd) -> None:
    with terminal() as tty:
        arguments = ("watch", "--once", "--brief", "--color", "never", "--exec", "true")
        command = (*arguments, "--format", "text", f"{big.url}/{SUFFIX}??sub?{WHO}")
        with tty.running(*command) as process:
            tty.wait_for("in step")
            assert process.wait(HANGS_SECONDS) == 0
        text = tty.shown.decode()
    assert " changes " in text
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    lines = re.split(r"[\r\n]+", plain)
    adds = [line for line in lines if "add " in line]
    assert len(adds) == MANY
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d add     uid=u\d{7},ou=.*", line) for line in adds)


def test_no_progress_where_stderr_is_no_terminal(big: Slapd) -> None:
    every = f"{big.url}/{SUFFIX}??sub?{WHO}"
    done = run("watch", "--once", "--exec", "true", every, env={"FORCE_COLOR": "1"})
    assert (done.code, done.out, done.err) == (0, "", "")
