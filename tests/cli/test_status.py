# SPDX-License-Identifier: BSD-3-Clause
"""``status`` says how far a state is behind, to people, to programs, and to Nagios."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import ldap
import pytest

from syncrepl_client.cli.exits import Exit
from syncrepl_client.cli.output.nagios import State, Thresholds, judge, line, span
from syncrepl_client.engine.lag import Lag
from syncrepl_client.store import open_changelog
from tests.cli.commands import Done, run, running
from tests.cli.conftest import PEOPLE
from tests.cli.states import everything, fill, fingerprint, spoil
from tests.servers import DS389, Slapd
from tests.servers.people import SUFFIX, person_dn

BACK = "UPDATE syncrepl_origin SET cookie = CAST(replace(cookie, 'csn=2', 'csn={}') AS BLOB)"


def status(state: Path, *more: str, **options: Any) -> Done:
    return run("status", "-d", str(state), *more, **options)


def test_in_step(server: Slapd, tmp_path: Path) -> None:
    fill(server, tmp_path)
    before = fingerprint(tmp_path)
    done = status(tmp_path)
    assert (done.code, done.err) == (0, "")
    assert f"\nentries        {PEOPLE + 4}\n" in done.out
    assert "\nin use         no\n" in done.out
    assert done.out.endswith(f"\nresult         in step with {server.url}\n")
    lines = done.out.replace(str(tmp_path), "/var/lib/program").splitlines()
    assert max(map(len, lines)) <= 80
    assert fingerprint(tmp_path) == before


def test_behind(server: Slapd, tmp_path: Path) -> None:
    fill(server, tmp_path)
    with server.connected() as connection:
        connection.delete_s(person_dn(0))
    done = status(tmp_path, "--wait", "0")
    assert done.code == 1
    assert re.search(rf"result +\d\S* s behind {server.url}\n", done.out)
    found = json.loads(status(tmp_path, "--wait", "0", "--format", "json").out)
    assert found["in_step"] is False
    assert found["lag_seconds"] > 0
    assert found["changes_behind"] is None
    assert found["server_ids"][0]["state"] < found["server_ids"][0]["server"]
    fill(server, tmp_path)
    assert status(tmp_path).code == 0


def test_a_program_at_work_may_catch_up(server: Slapd, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    with running(tmp_path, "watch", "-d", str(state), everything(server), "--brief") as watch:
        watch.wait_for("in step")
        with server.connected() as connection:
            connection.delete_s(person_dn(0))
        done = status(state, "--wait", "20")
        assert (done.code, done.err) == (0, "")
        assert "in use         yes" in done.out
        assert watch.stop() == 0


def test_sinks(server: Slapd, tmp_path: Path) -> None:
    done = run("watch", "--once", "--log", "1d", "--brief", "-d", str(tmp_path), everything(server))
    assert done.code == 0
    plugin = ("--nagios", "--idle-ok")
    with open_changelog(tmp_path) as log:
        log.sinks.add("crm")
        done = status(tmp_path)
        assert done.code == 0
        assert "\nsink crm       up to date, no changes parked, position 1\n" in done.out
        done = status(tmp_path, *plugin)
        assert done.code == 0
        assert "crm_lag=0s;60;600;0 crm_parked=0;0;100;0 crm_lost=0;;;0" in done.out
        log.sinks.add("old", 0)
        log.sinks.park("crm", 1, b"u" * 16, "no")
        assert status(tmp_path).code == 1
        done = status(tmp_path, *plugin, "--sink-lag", "0", "3600")
        assert done.code == 1
        assert "SYNCREPL WARNING - the sink old is " in done.out
        assert "the sink crm has parked 1 change; in step with" in done.out
        assert status(tmp_path, *plugin, "--sink-parked", "1", "2").code == 0
        done = status(tmp_path, *plugin, "--sink-lag", "0", "0", "--sink-parked", "0", "0")
        assert done.code == 2
        log.sinks.move("old", 1, lost=3)
        done = status(tmp_path, *plugin)
        assert done.code == 2
        assert "CRITICAL - the sink old has lost 3 changes" in done.out
        found = json.loads(status(tmp_path, "--format", "json").out)["sinks"]
        assert [(sink["name"], sink["parked"], sink["lost"]) for sink in found] == [
            ("crm", 1, 0), ("old", 0, 3)
        ]  # fmt: skip


def test_nagios(server: Slapd, tmp_path: Path) -> None:
    fill(server, tmp_path)
    done = status(tmp_path, "--nagios", "--idle-ok")
    assert done.code == 0
    assert done.out == (
        f"SYNCREPL OK - in step with {server.url} | lag=0s;60;600;0 entries={PEOPLE + 4};;;0\n"
    )
    spoil(tmp_path, BACK.format("1"))  # a thousand years
    done = status(tmp_path, "--nagios", "--idle-ok", "--wait", "0")
    assert done.code == 2
    assert done.out.startswith("SYNCREPL CRITICAL - ")
    done = status(tmp_path, "--nagios", "--idle-ok", "--wait", "0", "-w", "5", "-c", "1e12")
    assert done.code == 1
    assert ";5;1e+12;0 " in done.out
    spoil(tmp_path, "UPDATE syncrepl_origin SET cookie = NULL")
    done = status(tmp_path, "--nagios", "--idle-ok")
    assert (done.code, done.err) == (3, "")
    assert done.out.startswith("SYNCREPL UNKNOWN - can't be told: the store has no cookie")


def test_nobody_follows(server: Slapd, tmp_path: Path) -> None:
    fill(server, tmp_path)
    done = status(tmp_path, "--nagios")
    assert done.code == 2
    assert done.out.startswith("SYNCREPL CRITICAL - nobody follows: no program uses the state; in ")
    with running(tmp_path, "watch", "-d", str(tmp_path), "--brief") as watch:
        watch.wait_for("in step")
        assert status(tmp_path, "--nagios").code == 0
        watch.process.kill()
        watch.process.wait()
    assert status(tmp_path, "--nagios").code == 2


def test_the_deletion_guard_stopped_a_refresh(server: Slapd, tmp_path: Path) -> None:
    fill(server, tmp_path)
    with server.connected() as connection:
        for number in range(3):
            connection.delete_s(person_dn(number))
    once = ["watch", "--once", "--brief", "-d", str(tmp_path)]
    assert run(*once, "--max-deletes", "1").code == Exit.DELETES
    done = status(tmp_path, "--nagios", "--idle-ok", "-w", "1e9", "-c", "1e9")
    assert done.code == 2
    said = f"the deletion guard refused to delete 3 of {PEOPLE + 4} entries"
    assert done.out.startswith(f"SYNCREPL CRITICAL - {said}; ")
    assert status(tmp_path).code == 1
    assert f"warning        {said}\n" in status(tmp_path).out
    assert json.loads(status(tmp_path, "--format", "json").out)["deletes_refused"] == 3
    assert run(*once, "--max-deletes", "1").code == Exit.DELETES  # once more, and no worse
    assert run(*once).code == 0
    assert status(tmp_path, "--nagios", "--idle-ok").code == 0
    assert json.loads(status(tmp_path, "--format", "json").out)["deletes_refused"] is None


def test_a_server_that_was_put_back_in_time(server: Slapd, tmp_path: Path) -> None:
    fill(server, tmp_path)
    spoil(tmp_path, BACK.format("3"))
    done = status(tmp_path)
    assert done.code == 1
    assert "is newer than" in done.out
    assert status(tmp_path, "--nagios", "--idle-ok").code == 1


def test_a_base_below_the_suffix(server: Slapd, tmp_path: Path) -> None:
    fill(server, tmp_path, f"{server.url}/ou=people,{SUFFIX}??sub")
    assert status(tmp_path).code == 0
    done = status(tmp_path, everything(server))
    assert done.code == 78
    assert "follows another search" in done.err


@pytest.mark.parametrize(("more", "code"), [((), 3), (("--nagios",), 3)])
def test_the_server_is_away(
    server: Slapd, tmp_path: Path, more: tuple[str, ...], code: int
) -> None:
    fill(server, tmp_path)
    server.stop()
    done = status(tmp_path, *more)
    assert done.code == code
    said = done.out if more else done.err
    assert "Can't contact LDAP server" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(("more", "code"), [((), 2), (("--nagios",), 3)])
def test_no_state(tmp_path: Path, more: tuple[str, ...], code: int) -> None:
    done = status(tmp_path, *more)
    assert done.code == code
    assert "There is no data store" in (done.out or done.err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["--bogus"], ["-w", "many"], ["-W", "-y", __file__]])
def test_nagios_hears_of_a_wrong_command_line(tmp_path: Path, words: list[str]) -> None:
    """Code 2 would be CRITICAL."""
    assert status(tmp_path, *words).code == 2
    done = status(tmp_path, "--nagios", "--idle-ok", *words)
    assert (done.code, done.err) == (3, "")
    assert done.out.startswith("SYNCREPL UNKNOWN - ")
    assert done.out.count("\n") == 1


def test_389_ds(ds389: DS389, tmp_path: Path) -> None:
    ds389.reset()
    fill(ds389, tmp_path)
    assert status(tmp_path).code == 0
    with ds389.connected() as connection:
        for number in range(3):
            value = [str(number).encode()]
            connection.modify_s(SUFFIX, [(ldap.MOD_REPLACE, "description", value)])
    done = status(tmp_path, "--wait", "0", "--nagios", "--idle-ok", "-w", "2", "-c", "5")
    assert done.code == 1
    assert f"3 changes behind {ds389.url} | changes=3;2;5;0 " in done.out


# --- the line, without a server

LIMITS = Thresholds(10, 20)
HERE = Lag("ldap://here", "OpenLDAP")


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (HERE._replace(in_step=True, seconds=0.0), State.OK),
        (HERE._replace(in_step=False, seconds=10.0), State.OK),
        (HERE._replace(in_step=False, seconds=10.1), State.WARNING),
        (HERE._replace(in_step=False, seconds=20.1), State.CRITICAL),
        (HERE._replace(in_step=False), State.WARNING),
        (HERE._replace(in_step=False, changes=11), State.WARNING),
        (HERE._replace(in_step=False, changes=21), State.CRITICAL),
        (HERE._replace(in_step=True, seconds=0.0, ahead=True), State.WARNING),
        (HERE._replace(reason="nobody knows"), State.UNKNOWN),
    ],
)
def test_judgements(found: Lag, state: State) -> None:
    assert judge(found, LIMITS)[0] is state


def test_the_line_holds_no_second_bar() -> None:
    said = line(State.OK, "one | two\nthree \x1b[31m", [("lag", 1.5, "s", LIMITS)])
    assert said == "SYNCREPL OK - one / two three \\x1b[31m | lag=1.5s;10;20;0"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (61, "1 min 1 s"),
        (3700, "1 h 1 min"),
        (200000, "2 d 7 h"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text
