# SPDX-License-Identifier: BSD-3-Clause
"""What ``doctor`` prints; what it finds is tested in tests/live/test_doctor.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

from tests.cli.commands import run, terminal
from tests.cli.states import everything, fill
from tests.servers import Slapd
from tests.servers.people import SUFFIX
from tests.servers.process import free_port


def test_a_good_server(server: Slapd) -> None:
    with server.connected() as connection:
        connection.delete_s(f"ou=groups,{SUFFIX}")
    done = run("doctor", f"{server.url}/{SUFFIX}?cn,mail?sub")
    assert (done.code, done.err) == (0, "")
    first, *rows, empty, last = done.out.splitlines()
    assert first == server.url
    assert all(row[:10].strip() in ("ok", "n/a") for row in rows)
    assert (empty, last) == ("", "no failures, no warnings")
    assert max(map(len, rows)) <= 80
    assert "\x1b" not in done.out


def test_what_to_do(run_server: Callable[..., Any]) -> None:
    server = run_server(Slapd, syncprov=False)
    done = run("doctor", everything(server))
    assert done.code == 1
    assert "\nfailure   refresh       refused: " in done.out
    advice = done.out.partition("refused: ")[2]
    assert "Load the overlay syncprov" in advice
    assert "\nolcOverlay: syncprov\n" in advice  # as it is to be pasted
    assert "1 failure, no warnings" in done.out


def test_colours_are_for_terminals(server: Slapd) -> None:
    with terminal() as screen, screen.running("doctor", everything(server)):
        screen.wait_for("warning")
        screen.wait_for("failure")
    assert b"\x1b[32mok" in screen.shown
    with terminal() as screen:
        with screen.running("doctor", everything(server), env={"NO_COLOR": "1"}):
            screen.wait_for("failures")
        assert b"\x1b[32m" not in screen.shown


def test_json_and_a_dead_port() -> None:
    dead = f"ldap://127.0.0.1:{free_port()}"
    done = run("doctor", "--format", "json", f"{dead}/{SUFFIX}??sub")
    assert done.code == 1
    [found] = map(json.loads, done.out.splitlines())
    assert found["server"] == dead
    assert found["verdict"] == "failure"
    assert "Connection refused" in found["found"]
    assert "firewall" in found["advice"]


def test_options_are_called_by_their_names(server: Slapd) -> None:
    done = run("doctor", "-Z", everything(server))
    assert done.code == 1
    assert "--cacert" in done.out
    assert "OPT_X" not in done.out
    assert run("doctor", "-Z", "--cacert", server.ca_file or "", everything(server)).code == 0


def test_the_search_of_a_state(server: Slapd, tmp_path: Path) -> None:
    fill(server, tmp_path)
    done = run("doctor", "-d", str(tmp_path))
    assert done.code == 0
    assert done.out.startswith(server.url)
    assert run("doctor").code == 2
