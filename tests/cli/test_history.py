# SPDX-License-Identifier: BSD-3-Clause
"""``history``, ``show``, ``diff`` and ``dump --at``: what a state knows of the past."""

from __future__ import annotations

import json
import shutil
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click
import ldap
import pytest

from syncrepl_client.cli.parameters import moment
from tests.cli.commands import run, run_without_reader, running, terminal
from tests.cli.states import everything, fill
from tests.cli.test_dump import records
from tests.conftest import missing_servers_skip
from tests.docs.conftest import READER
from tests.servers import Slapd
from tests.servers.people import SUFFIX, people_ldif, person_dn

ADA, BEN, CY = map(person_dn, range(3))
BENJAMIN = f"uid=benjamin,ou=people,{SUFFIX}"


def log(server: Slapd, state: Path) -> None:
    """Have ``watch`` make a state with a log, or bring it up to date."""
    url = f"{server.url}/{SUFFIX}?*,%2B?sub"
    bind = ["-D", server.root_dn]
    options = ["--once", "--brief", "--log", "30d", "-d", str(state), url, *bind]
    done = run("watch", *options, env={"SYNCREPL_PASSWORD": server.root_pw})
    assert done.code == 0, done.err


def change_all(server: Slapd) -> None:
    with server.connected() as connection:
        mail = (ldap.MOD_REPLACE, "mail", [b"new@example.com", b"\x1b]0;evil\x07"])
        connection.modify_s(ADA, [mail, (ldap.MOD_REPLACE, "userPassword", [b"hunter2"])])
        connection.rename_s(BEN, "uid=benjamin")
        connection.delete_s(CY)


def now() -> str:
    """A time between two changes."""
    time.sleep(0.01)
    text = datetime.now().astimezone().isoformat()
    time.sleep(0.01)
    return text


def values_sorted(text: str) -> list[tuple[str, dict[str, list[bytes]]]]:
    """Records of LDIF; the log may have the values of an attribute in another order."""
    found = records(text)
    return [(name, {key: sorted(values) for key, values in attrs.items()}) for name, attrs in found]


def three_changes(server: Slapd, state: Path) -> Path:
    log(server, state)
    change_all(server)
    log(server, state)
    return state


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state with a log of three changes."""
    with missing_servers_skip(), Slapd(ldif=people_ldif(5) + READER) as server:
        return three_changes(server, tmp_path_factory.mktemp("made"))


@pytest.fixture
def followed(server: Slapd, tmp_path: Path) -> Path:
    """One whose server runs."""
    return three_changes(server, tmp_path)


@pytest.fixture
def state(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made, tmp_path, dirs_exist_ok=True))


def test_history(state: Path) -> None:
    done = run("history", "-d", str(state))
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].endswith("the log of changes begins")
    datetime.strptime(lines[1][:19], "%Y-%m-%d %H:%M:%S")
    assert lines[1][20:] == f"modify  {ADA}"
    assert "         + mail: new@example.com" in lines
    assert "         + mail: \\x1b]0;evil\\x07" in lines
    assert "         ~ userPassword: added; its values are not kept" in lines
    assert f"rename  {BEN}" in lines[-5]
    assert lines[-4] == f"             -> {BENJAMIN}"
    assert lines[-1].endswith(f"delete  {CY}")
    assert "hunter2" not in done.out
    assert "entryCSN" not in done.out
    assert "entryCSN" in run("history", "-d", str(state), "--operational").out


@pytest.mark.parametrize(("of", "count"), [
    (ADA, 1), (ADA.upper(), 1), (BEN, 1), (BENJAMIN, 1), (CY, 1), (f"uid=none,{SUFFIX}", 0),
    ("(uid=u0000000)", 1), ("uid=u0000001", 1), ("(uid=benjamin)", 1), ("mail=NEW@*", 1),
    ("(!(uid=*))", 0), ("(objectClass=person)", 3),
])  # fmt: skip
def test_whose(state: Path, of: str, count: int) -> None:
    done = run("history", of, "-d", str(state), "--brief")
    assert (done.code, done.err) == (0, "")
    assert len(done.out.splitlines()) == count


def test_json(state: Path) -> None:
    done = run("history", "--format", "json", "-d", str(state))
    snapshot, modified, renamed, deleted = map(json.loads, done.out.splitlines())
    assert snapshot == {
        "seq": 1,
        "id": snapshot["id"],
        "kind": "snapshot",
        "time": snapshot["time"],
    }
    assert [each["seq"] for each in (modified, renamed, deleted)] == [2, 3, 4]
    assert [each["kind"] for each in (modified, renamed, deleted)] == ["modify", "rename", "delete"]
    assert modified["differences"]["userPassword"] == {"kind": "added", "added": [], "removed": []}
    assert "userPassword" not in modified["attributes"]
    assert len(bytes.fromhex(modified["id"])) == 16
    assert modified["csn"].endswith("#000000#000#000000")
    assert modified["dn"] == ADA
    by_uuid = run("history", renamed["uuid"], "--format", "json", "-d", str(state))
    assert json.loads(by_uuid.out) == renamed


def test_ldif(state: Path, server: Slapd) -> None:
    done = run("history", "--format", "ldif", "-d", str(state))
    assert done.out.startswith("version: 1\n\n")
    assert "# changed, and the values were left out: userPassword" in done.out
    assert f"dn: {BEN}\nchangetype: modrdn\nnewrdn: uid=benjamin\n" in done.out
    assert run("history", "--format", "ldif", "--newest-first", "-d", str(state)).code == 2


def test_since_and_until(server: Slapd, followed: Path) -> None:
    between = now()
    with server.connected() as connection:
        connection.delete_s(ADA)
    log(server, followed)

    def count(*options: str) -> int:
        done = run("history", "--brief", "-d", str(followed), *options)
        assert done.code == 0, done.err
        return len(done.out.splitlines())

    assert count() == count("--since", "1h") == 5
    assert count("--since", between) == 1
    assert count("--until", between) == 4
    assert count("--since", between, "--until", between) == 0
    assert run("history", "--since", "tomorrow", "-d", str(followed)).code == 2


def test_newest_first_on_a_terminal(state: Path) -> None:
    with terminal() as shown:
        with shown.running("history", "--brief", "-d", str(state)) as process:
            shown.wait_for("the log of changes begins")
            process.wait()
        text = shown.shown.decode()
    assert text.index(CY) < text.index(BENJAMIN) < text.index(ADA) < text.index("begins")
    assert "\x1b[" in text  # colours
    newest = run("history", "--brief", "--newest-first", "-d", str(state)).out.splitlines()
    assert newest == run("history", "--brief", "-d", str(state)).out.splitlines()[::-1]


def test_an_entry_as_it_was(server: Slapd, followed: Path) -> None:
    before = now()
    with server.connected() as connection:
        connection.modify_s(ADA, [(ldap.MOD_DELETE, "mail", None)])
        connection.rename_s(BENJAMIN, "uid=again")
    log(server, followed)

    def show(*words: str) -> list[tuple[str, dict[str, list[bytes]]]]:
        done = run("show", "-d", str(followed), *words)
        assert done.code == 0, done.err
        return records(done.out)

    [(name, attrs)] = show(ADA)
    assert name == ADA
    assert "mail" not in attrs
    assert attrs["userPassword"] == [b"hunter2"]  # no log is asked
    [(name, attrs)] = show(ADA, "--at", before)
    assert b"new@example.com" in attrs["mail"]
    assert not {"userPassword", "entryUUID"} & set(attrs)
    [(_, attrs)] = show(ADA, "--operational")
    [uuid] = attrs["entryUUID"]
    assert show(uuid.decode()) == show(ADA)
    assert show(BENJAMIN, "--at", before)[0][0] == BENJAMIN
    told = run("show", ADA, "--at", before, "--format", "json", "-d", str(followed))
    assert json.loads(told.out)["dn"] == ADA
    for missing in ([BENJAMIN], [f"uid=again,ou=people,{SUFFIX}", "--at", before]):
        done = run("show", "-d", str(followed), *missing)
        assert (done.code, done.out) == (1, "")
        assert "no entry" in done.err
    too_early = run("show", ADA, "--at", "2d", "-d", str(followed))
    assert too_early.code == 2
    assert "the log of changes begins at" in too_early.err


def test_what_differs(server: Slapd, followed: Path) -> None:
    before = now()
    with server.connected() as connection:
        connection.modify_s(ADA, [(ldap.MOD_REPLACE, "mail", [b"x@example.com"])])
        connection.rename_s(BENJAMIN, "uid=again")
        connection.add_s(CY, [("objectClass", [b"account"])])
    log(server, followed)
    after = now()

    def diff(*words: str) -> tuple[int, str]:
        done = run("diff", "-d", str(followed), "--from", before, *words)
        assert done.err == ""
        return done.code, done.out

    code, text = diff(ADA)
    assert code == 1
    assert "- mail: new@example.com" in text
    assert "+ mail: x@example.com" in text
    assert "entryCSN" not in text
    assert diff(ADA, "--to", after)[0] == 1
    assert diff(ADA, "--to", before) == (0, "")
    code, text = diff(BENJAMIN, "--format", "ldif")
    assert (code, "newrdn: uid=again" in text) == (1, True)
    code, text = diff(CY, "--format", "json")
    assert (code, json.loads(text)["kind"]) == (1, "add")
    assert run("diff", f"uid=none,{SUFFIX}", "--from", before, "-d", str(followed)).code == 1


def test_all_entries_as_they_were(server: Slapd, tmp_path: Path) -> None:
    log(server, tmp_path)
    before, dumped = now(), values_sorted(run("dump", "-d", str(tmp_path)).out)
    for _, attrs in dumped:
        attrs.pop("userPassword", None)
    change_all(server)
    log(server, tmp_path)
    assert values_sorted(run("dump", "-d", str(tmp_path)).out) != dumped
    assert values_sorted(run("dump", "--at", before, "-d", str(tmp_path)).out) == dumped
    lines = run("dump", "--at", before, "--format", "json", "-d", str(tmp_path)).out.splitlines()
    assert [json.loads(line)["dn"] for line in lines] == [name for name, _ in dumped]


def test_a_program_writes_it(server: Slapd, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    options = ["--log", "1h", "-d", str(state), "--brief", everything(server)]
    with running(tmp_path, "watch", *options) as watch:
        watch.wait_for("in step")
        change_all(server)
        watch.wait_for("delete")
        done = run("history", "--brief", "-d", str(state))
        assert (done.code, done.err) == (0, "")
        assert watch.stop() == 0
    assert len(run("history", "--brief", "-d", str(state)).out.splitlines()) == 4


@pytest.mark.parametrize("words", [
    ["history"], ["show", ADA, "--at", "1h"], ["diff", ADA, "--from", "1h"],
    ["dump", "--at", "1h"], ["undo", "--since", "1h"],
])  # fmt: skip
def test_no_log(server: Slapd, tmp_path: Path, words: list[str]) -> None:
    fill(server, tmp_path)
    done = run(*words, "-d", str(tmp_path))
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "watch --log" in done.err
    assert run("show", ADA, "-d", str(tmp_path)).code == 0
    (tmp_path / "empty").mkdir()
    assert run(*words, "-d", str(tmp_path / "empty")).code == 4


@pytest.mark.parametrize("words", [
    ["watch", "--log", "30d", "ldap://localhost/dc=x??sub"],
    ["watch", "--log", "much", "-d", "x", "ldap://localhost/dc=x??sub"],
    ["show", "no name", "-d", "x"], ["show", "-d", "x"], ["diff", ADA, "-d", "x"],
    ["undo", "-d", "x"], ["undo", "--since", "1h", "none", "-d", "x"],
    ["undo", "--since", "1h", "--kind", "reference", "-d", "x"],
])  # fmt: skip
def test_what_can_not_be(words: list[str]) -> None:
    assert run(*words).code == 2


def test_head(state: Path) -> None:
    run_without_reader("history", "-d", str(state))


# --- times, as people write them


@pytest.mark.parametrize(("text", "expected"), [
    ("2h", timedelta(hours=2)), ("90m ago", timedelta(minutes=90)), ("1.5d", timedelta(days=1.5)),
    ("2W", timedelta(weeks=2)), (" 30 s ", timedelta(seconds=30)), ("now", timedelta(0)),
])  # fmt: skip
def test_times_ago(text: str, expected: timedelta) -> None:
    before = datetime.now().astimezone()
    found = moment(text) + expected
    assert before <= found <= datetime.now().astimezone()


@pytest.mark.parametrize(("text", "expected"), [
    ("2026-11-01 14:30", datetime(2026, 11, 1, 14, 30).astimezone()),
    ("2026-11-01T14:30:05+02:00", datetime.fromisoformat("2026-11-01T14:30:05+02:00")),
    ("20261101143005Z", datetime.fromisoformat("2026-11-01T14:30:05+00:00")),
    ("1 Nov 2026 2pm", datetime(2026, 11, 1, 14).astimezone()),
    ("1.11.2020", datetime(2020, 1, 11).astimezone()),
])  # fmt: skip
def test_dates(text: str, expected: Any) -> None:
    if expected > datetime.now().astimezone():
        with pytest.raises(click.BadParameter, match="future"):
            moment(text)
    else:
        assert moment(text) == expected


def test_today_and_yesterday() -> None:
    days = datetime.now().date(), moment("today").date(), datetime.now().date()
    assert days[0] <= days[1] <= days[2]
    assert moment("today") - moment("yesterday") in (
        timedelta(days=1), timedelta(hours=23), timedelta(hours=25)
    )  # fmt: skip
    assert moment("00:00").strftime("%H:%M:%S") == "00:00:00"


@pytest.mark.parametrize("text", ["", "soon", "90", "2026", "99:99", "1e999h", "99999999w",
                                  "14:30 LMT", "2h 3d", "-2h"])  # fmt: skip
def test_no_time(text: str) -> None:
    with pytest.raises(click.BadParameter, match="no time"):
        moment(text)


def test_the_future() -> None:
    with pytest.raises(click.BadParameter, match="in the future"):
        moment("2999-01-01")
