# SPDX-License-Identifier: BSD-3-Clause
"""``verify`` finds what a program was not told, and takes nothing away from that program.

``reconcile`` has the program find it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest

from tests.cli.commands import Done, run, running
from tests.cli.conftest import PEOPLE
from tests.cli.states import everything, fill, fingerprint, spoil
from tests.cli.test_watch import change_all, events
from tests.patience import HANGS_SECONDS
from tests.servers import DS389, Slapd
from tests.servers.people import SUFFIX, people_entries, people_ldif, person_dn

STALE = (
    "UPDATE syncrepl_entry SET attrs = CAST(replace(attrs, 'title', 'tit1e') AS BLOB) "
    "WHERE dn LIKE 'uid={}%'"
)
GONE = "DELETE FROM syncrepl_entry WHERE dn LIKE 'uid={}%'"
ENTRIES = PEOPLE + 4


def verify(state: Path, *more: str, **options: Any) -> Done:
    return run("verify", "-d", str(state), *more, **options)


def members(state: Path, *more: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in verify(state, "--format", "json", *more).out.splitlines()]


def test_nothing_differs(server: Slapd, tmp_path: Path) -> None:
    fill(server, tmp_path)
    before = fingerprint(tmp_path)
    done = verify(tmp_path)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"Nothing differs: {ENTRIES} entries compared.\n"
    assert fingerprint(tmp_path) == before


def test_changes_are_left_for_the_program(server: Slapd, tmp_path: Path) -> None:
    """What the program has not been told yet is no difference, and it is told of it later."""
    fill(server, tmp_path)
    change_all(server)
    before = fingerprint(tmp_path)
    done = verify(tmp_path)
    assert done.code == 0
    assert "has not been told yet of 4 changes" in done.out
    assert "Apart from that, nothing differs" in done.out
    assert fingerprint(tmp_path) == before
    told = events(run("watch", "--once", "--brief", "-d", str(tmp_path)).out)
    assert sorted(told[:-1]) == [
        f"add     {person_dn(100)}",
        f"delete  {person_dn(2)}",
        f"modify  {person_dn(0)}",
        f"rename  {person_dn(1)} -> uid=renamed,ou=people,{SUFFIX}",
    ]


def test_what_the_program_missed(server: Slapd, tmp_path: Path) -> None:
    fill(server, tmp_path)
    change_all(server)
    spoil(tmp_path, GONE.format("u0000003"), STALE.format("u0000004"))
    before = fingerprint(tmp_path)
    done = verify(tmp_path)
    assert done.code == 1
    assert f"missing    {person_dn(3)}\n" in done.out
    assert f"different  {person_dn(4)}\n           tit1e, title\n" in done.out
    assert "2 differences" in done.out
    assert "\nTo have the program hear of them: syncrepl-client reconcile" in done.out
    assert fingerprint(tmp_path) == before

    *differences, summary = members(tmp_path)
    assert {each["kind"]: each["dn"] for each in differences} == {
        "missing": person_dn(3), "different": person_dn(4),
    }  # fmt: skip
    assert (summary["differences"], summary["lasting"]) == (2, 0)
    assert not any(each["lasting"] for each in differences)
    assert summary["pending"] == 4
    assert summary["afresh"] is None
    assert len(members(tmp_path, "--limit", "1")) == 2


def test_what_no_reconcile_removes(run_server: Callable[..., Any], tmp_path: Path) -> None:
    """The overlay valsort sorts, and strips weights, in ordinary searches alone."""
    sorts = f"overlay valsort\nvalsort-attr description ou=people,{SUFFIX} weighted"
    server = run_server(
        Slapd,
        sessionlog=10,
        ldif=people_ldif(3),
        extra_config="moduleload valsort",
        extra_database=sorts,
    )
    weighted = [(ldap.MOD_REPLACE, "description", [b"{2}b", b"{1}a"])]
    with server.connected() as connection:
        connection.modify_s(person_dn(1), weighted)
    fill(server, tmp_path)
    done = verify(tmp_path)
    assert done.code == 1
    assert f"different  {person_dn(1)}\n           description\n" in done.out
    told = " ".join(done.out.split())
    assert "They stay after a refresh of all entries, so reconcile does not help" in told
    assert "To have the program hear of them" not in told

    spoil(tmp_path, GONE.format("u0000002"))
    told = " ".join(verify(tmp_path).out.split())
    assert "1 stays after a refresh of all entries" in told
    assert "To have the program hear of them: syncrepl-client reconcile" in told
    *differences, summary = members(tmp_path)
    assert {each["dn"]: each["lasting"] for each in differences} == {
        person_dn(1): True, person_dn(2): False,
    }  # fmt: skip
    assert summary["lasting"] == 1


def test_reconcile_has_the_program_find_it(server: Slapd, tmp_path: Path) -> None:
    fill(server, tmp_path)
    spoil(tmp_path, GONE.format("u0000003"), STALE.format("u0000004"))
    fill(server, tmp_path)  # a resume does not find it
    assert verify(tmp_path).code == 1

    done = run("reconcile", "-d", str(tmp_path))
    assert (done.code, done.err) == (0, "")
    assert "compares" in done.out
    assert "Nothing to do" in run("reconcile", "-d", str(tmp_path)).out

    told = verify(tmp_path)
    assert told.code == 0
    assert "without a cookie: the state has no cookie" in " ".join(told.out.split())

    found = events(run("watch", "--once", "--brief", "-d", str(tmp_path)).out)
    assert found[:-1] == [f"add     {person_dn(3)}", f"modify  {person_dn(4)}"]
    assert verify(tmp_path).out.startswith("Nothing differs")


def test_the_server_was_restored_from_a_backup(server: Slapd, tmp_path: Path) -> None:
    """The reason is the server's, though there is no cookie in the copy any more."""
    state, backup = tmp_path / "state", tmp_path / "backup"
    state.mkdir()
    server.stop()
    shutil.copytree(server.directory / "data", backup)
    server.start()
    change_all(server)
    fill(server, state)
    server.stop()
    shutil.rmtree(server.directory / "data")
    shutil.copytree(backup, server.directory / "data")
    server.start()
    told = " ".join(verify(state).out.split())
    assert "The search began without a cookie: the server lacks changes of the store" in told
    assert "it knows the changes of server ID 000 up to" in told
    assert "the state has no cookie" not in told
    assert "restored from a backup" in members(state)[-1]["afresh"]


def test_a_program_is_at_work(server: Slapd, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    with running(tmp_path, "watch", "-d", str(state), everything(server), "--brief") as watch:
        watch.wait_for("in step")
        done = verify(state)
        assert (done.code, done.err) == (0, "")
        assert done.out.endswith(f"{ENTRIES} entries compared.\n")

        refused = run("reconcile", "-d", str(state))
        assert refused.code == 4
        assert "client.reconcile()" in refused.err

        change_all(server)
        watch.wait_for(f"add     {person_dn(100)}")
        assert watch.stop() == 0


def test_another_search(server: Slapd, tmp_path: Path) -> None:
    fill(server, tmp_path)
    done = verify(tmp_path, f"{server.url}/ou=people,{SUFFIX}??sub")
    assert done.code == 78
    assert "follows another search" in done.err


def test_the_server_is_away(server: Slapd, tmp_path: Path) -> None:
    fill(server, tmp_path)
    server.stop()
    assert verify(tmp_path).code == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_copy(server: Slapd, tmp_path: Path, number: signal.Signals) -> None:
    state, temporary = tmp_path / "state", tmp_path / "tmp"
    state.mkdir()
    temporary.mkdir()
    fill(server, state)
    server.pause()
    try:
        environment = {"TMPDIR": str(temporary)}
        with running(tmp_path, "verify", "-d", str(state), env=environment) as command:
            deadline = time.monotonic() + HANGS_SECONDS
            while not list(temporary.glob("*/syncrepl.sqlite3")) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert list(temporary.glob("*/syncrepl.sqlite3"))
            assert oct(os.stat(next(temporary.iterdir())).st_mode)[-3:] == "700"
            command.process.send_signal(number)
            server.resume()
            assert command.end() == 130
    finally:
        server.resume()
    assert list(temporary.iterdir()) == []


def test_389_ds(ds389: DS389, tmp_path: Path) -> None:
    ds389.reset()
    with ds389.connected() as connection:
        for name, attrs in people_entries(PEOPLE):
            connection.add_s(name, list(attrs.items()))
    fill(ds389, tmp_path)
    spoil(tmp_path, GONE.format("u0000003"))
    with ds389.connected() as connection:
        connection.modify_s(person_dn(1), [(ldap.MOD_REPLACE, "description", [b"new"])])
    *differences, summary = members(tmp_path)
    assert [each["dn"] for each in differences] == [person_dn(3)]
    assert summary["pending"] == 1

    filtered = tmp_path / "filtered"
    filtered.mkdir()
    fill(ds389, filtered, f"{ds389.url}/{SUFFIX}??sub?(uid=*)")
    spoil(filtered, GONE.format("u0000003"))
    done = verify(filtered)
    assert done.code == 0
    assert "What of that the program missed" in done.out
