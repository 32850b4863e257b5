# SPDX-License-Identifier: BSD-3-Clause
"""``watch`` shows what happens in a directory."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import ldap
import ldif
import pytest

from tests.cli.commands import COMMAND, Running, environment, run, running
from tests.cli.conftest import PEOPLE
from tests.servers import DS389, Slapd
from tests.servers.people import SUFFIX, person, person_dn

WHO = "(uid=*)"
EVIL = "red \x1b[31m, bell \x07, title \x9d0;x\x9c, right to left \u202e, delete \x7f, line\nend"


def url(server: Slapd, attributes: str = "") -> str:
    return f"{server.url}/{SUFFIX}?{attributes}?sub?{WHO}"


def change_all(server: Slapd) -> None:
    """Change, rename, delete and add a person each."""
    with server.connected() as connection:
        connection.modify_s(person_dn(0), [(ldap.MOD_REPLACE, "mail", b"new@example.com")])
        connection.rename_s(person_dn(1), "uid=renamed")
        connection.delete_s(person_dn(2))
        connection.add_s(person_dn(100), list(person(100).items()))


def events(out: str) -> list[str]:
    """The first lines of what is told, without the time."""
    return re.findall(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (.*)$", out, re.MULTILINE)


def test_once_shows_every_entry(server: Slapd) -> None:
    done = run("watch", "--once", url(server, "uid,mail,jpegPhoto"))
    assert (done.code, done.err) == (0, "")
    assert sorted(events(done.out)) == [
        *(f"add     {person_dn(number)}" for number in range(PEOPLE)),
        f"in step with the directory: {PEOPLE} entries",
    ]
    assert "\n           uid: u0000003\n           mail: dana.dietz.3@example.com\n" in done.out


def test_options_like_those_of_ldapsearch(server: Slapd) -> None:
    base = f"ou=people,{SUFFIX}"
    done = run("watch", "--once", "-x", "-H", f"{server.url}/", "-b", base, "uid=u000000*", "sn")
    assert done.code == 0
    assert len(re.findall("^           sn: ", done.out, re.MULTILINE)) == PEOPLE
    assert "mail" not in done.out
    done = run("watch", "--once", "--brief", "-H", server.url, "-b", base, "-s", "base")
    assert events(done.out) == [f"add     {base}", "in step with the directory: 1 entry"]


def test_it_goes_on_with_what_happens(server: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, "watch", url(server)) as command:
        command.wait_for("in step")
        change_all(server)
        command.wait_for(f"add     {person_dn(100)}")
        told = command.out.partition("in step")[2]
        assert command.stop() == 0
    assert events(told)[:4] == [
        f"modify  {person_dn(0)}",
        f"rename  {person_dn(1)}",
        f"delete  {person_dn(2)}",
        f"add     {person_dn(100)}",
    ]
    assert "- mail: ada.abbott.0@example.com\n         + mail: new@example.com\n" in told
    assert f"             -> uid=renamed,ou=people,{SUFFIX}\n" in told
    assert "- uid: u0000001\n         + uid: renamed\n" in told
    assert command.err == ""


def test_new_shows_only_what_happens_from_now_on(server: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, "watch", "--new", url(server)) as command:
        command.wait_for("in step")
        change_all(server)
        command.wait_for(f"add     {person_dn(100)}")
        assert command.stop() == 0
    assert events(command.out) == [
        f"in step with the directory: {PEOPLE} entries",
        f"modify  {person_dn(0)}",
        f"rename  {person_dn(1)}",
        f"delete  {person_dn(2)}",
        f"add     {person_dn(100)}",
    ]
    assert "- mail: ada.abbott.0@example.com" in command.out  # it knew what was there


def test_what_is_kept_is_not_told_again(server: Slapd, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    first = run("watch", "--once", "--brief", "--data", str(state), url(server))
    assert len(events(first.out)) == PEOPLE + 1
    assert [path.name for path in state.iterdir()] == ["syncrepl.sqlite3"]
    again = run("watch", "--once", "--data", str(state), url(server))
    assert events(again.out) == [f"in step with the directory: {PEOPLE} entries"]
    change_all(server)
    third = run("watch", "--once", "--brief", "--data", str(state))  # it remembers the URL
    assert sorted(events(third.out)) == [
        f"add     {person_dn(100)}",
        f"delete  {person_dn(2)}",
        f"in step with the directory: {PEOPLE} entries",
        f"modify  {person_dn(0)}",
        f"rename  {person_dn(1)} -> uid=renamed,ou=people,{SUFFIX}",
    ]
    assert first.err == again.err == third.err == ""
    done = run("watch", "--once", "--data", str(state), "-H", "ldap://127.0.0.1:1")
    assert (done.code, done.out) == (3, "")
    assert "error: ldap://127.0.0.1:1: Can't contact LDAP server" in done.err
    done = run("watch", "--once", "--data", str(state), url(server, "mail"))
    assert done.code == 78
    assert "the store follows another search: attributes" in done.err
    assert "ldap_url" not in done.err


def test_a_data_path_is_a_prefix(server: Slapd, tmp_path: Path) -> None:
    assert run("watch", "--once", "--data", f"{tmp_path}/mine-", url(server)).code == 0
    assert (tmp_path / "mine-syncrepl.sqlite3").exists()


def test_a_directory_that_is_not_there_is_not_made(server: Slapd, tmp_path: Path) -> None:
    done = run("watch", "--once", "--data", f"{tmp_path}/typo/", url(server))
    assert (done.code, done.out) == (4, "")
    assert done.err == (
        f"syncrepl-client: error: there is no directory '{tmp_path}/typo' for the data store: "
        "make it, or change --data\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_json(server: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, "watch", "--format", "json", url(server, "mail")) as command:
        command.wait_for("refresh-done")
        change_all(server)
        command.wait_for(person_dn(100))
        assert command.stop() == 0
    told = [json.loads(line) for line in command.out.splitlines()]
    assert [each["kind"] for each in told] == [
        *["add"] * PEOPLE, "refresh-done", "modify", "rename", "delete", "add",
    ]  # fmt: skip
    assert told[PEOPLE + 1]["differences"]["mail"]["added"] == ["new@example.com"]


class Records(ldif.LDIFRecordList):
    """What a parser makes of LDIF."""


def test_ldif(server: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, "watch", "--format", "ldif", url(server, "*,%2B")) as command:
        command.wait_for(f"dn: {person_dn(PEOPLE - 1)}\n")
        change_all(server)
        command.wait_for(f"dn: {person_dn(100)}\n")
        assert command.stop() == 0
    assert command.out.startswith("version: 1\n\ndn: ")
    assert "entryCSN" not in command.out
    records = command.out.split("\n\n")[1:-1]
    kinds = [re.findall("^changetype: (.*)$", each, re.MULTILINE) for each in records]
    assert kinds == [["add"]] * PEOPLE + [["modify"], ["modrdn"], ["delete"], ["add"]]
    with command.out_path.open("rb") as file:
        parser = Records(file)
        parser.parse_change_records()
    assert parser.all_modify_changes[0][0] == person_dn(0)


def test_ldif_may_be_appended_to(server: Slapd, tmp_path: Path) -> None:
    arguments = ("watch", "--once", "--format", "ldif", "--data", f"{tmp_path}/state-")
    for turn in range(2):
        with (tmp_path / "all.ldif").open("ab") as file:
            file.seek(0)  # as it is after a shell's >>
            follow = [*COMMAND, *arguments, url(server)]
            assert subprocess.run(follow, env=environment(), stdout=file).returncode == 0
        if turn == 0:
            change_all(server)
    text = (tmp_path / "all.ldif").read_text()
    assert text.count("changetype: ") == PEOPLE + 4
    assert text.count("version: 1\n") == 1


def test_operational_attributes_are_shown_where_that_is_asked_for(server: Slapd) -> None:
    assert "entryCSN" not in run("watch", "--once", url(server, "*,%2B")).out
    assert "entryCSN" in run("watch", "--once", "--operational", url(server, "*,%2B")).out


def test_a_change_of_what_is_not_shown_is_not_shown(server: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, "watch", "--new", url(server, "uid,%2B")) as command:
        command.wait_for("in step")
        change_all(server)
        command.wait_for(f"add     {person_dn(100)}")
        assert command.stop() == 0
    assert not [event for event in events(command.out) if event.startswith("modify")]


def bad(text: str) -> list[str]:
    return [each for each in text if not each.isprintable() and each != "\n"]


def told_of_evil(command: Running, server: Slapd) -> str:
    command.wait_for("u0000004")
    with server.connected() as connection:
        connection.modify_s(person_dn(0), [(ldap.MOD_REPLACE, "description", EVIL.encode())])
        connection.delete_s(person_dn(4))
    command.wait_for("delete")
    assert command.stop() == 0
    return command.out


def test_no_control_character_gets_to_the_terminal(server: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, "watch", url(server)) as command:
        out = told_of_evil(command, server)
    assert not bad(out)
    assert (
        r"+ description: red \x1b[31m, bell \x07, title \x9d0;x\x9c, right to left \u202e, "
        r"delete \x7f, line\nend" in out
    )


def test_nor_does_one_in_json_or_ldif(server: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, "watch", "--format", "json", url(server)) as command:
        out = told_of_evil(command, server)
    assert not bad(out)
    (told,) = (each for each in map(json.loads, out.splitlines()) if each["kind"] == "modify")
    assert told["differences"]["description"]["added"] == [EVIL]


def test_nor_does_one_in_ldif(server: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, "watch", "--format", "ldif", url(server)) as command:
        assert not bad(told_of_evil(command, server))


def test_a_dn_may_have_control_characters_too(server: Slapd) -> None:
    with server.connected() as connection:
        connection.rename_s(person_dn(0), "uid=a\\1b[31mb\\0ac")
    done = run("watch", "--once", "--brief", url(server))
    assert done.code == 0
    assert not bad(done.out)


def test_binary_and_long_values_are_shown_by_their_size(server: Slapd) -> None:
    with server.connected() as connection:
        values = [(ldap.MOD_ADD, "jpegPhoto", b"\xff\xd8" * 1000)]
        values += [(ldap.MOD_REPLACE, "description", b"x" * 5000)]
        connection.modify_s(person_dn(0), values)
    out = run("watch", "--once", url(server)).out
    assert "           jpegPhoto: (2,000 bytes)\n" in out
    assert f"           description: {'x' * 300}... (5,000 characters)\n" in out


def test_a_refresh_that_would_delete_too_much(server: Slapd, tmp_path: Path) -> None:
    arguments = ("watch", "--once", "--data", str(tmp_path))
    assert run(*arguments, url(server)).code == 0
    change_all(server)
    done = run(*arguments, "--max-deletes", "0")
    assert done.code == 6
    assert "run once with --max-deletes none" in done.err
    assert run(*arguments, "--max-deletes", "none").code == 0


def test_a_lost_connection_is_made_again(server: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, "watch", "--brief", url(server)) as command:
        command.wait_for("in step")
        server.stop()
        command.wait_for("warning: disconnected; again in", err=True)
        command.wait_for(" s: Can't contact LDAP server", err=True)
        server.start()
        change_all(server)
        command.wait_for(f"add     {person_dn(100)}")
        assert command.stop() == 0


def test_or_not(server: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, "watch", "--no-reconnect", url(server)) as command:
        command.wait_for("in step")
        server.stop()
        assert command.end() == 3
    assert command.err.startswith(f"syncrepl-client: error: {server.url}: ")


def test_reconcile_every(server: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, "watch", "--brief", "--reconcile-every", "1s", url(server)) as command:
        command.wait_for("entries\n")
        while command.out.count("in step") < 2:
            command.wait_for("in step")
        assert command.stop() == 0
    assert len(events(command.out)) == PEOPLE + command.out.count("in step")


def test_a_url_without_a_scope_is_warned_of(server: Slapd) -> None:
    done = run("watch", "--once", f"{server.url}/{SUFFIX}")
    assert done.code == 0
    assert f"warning: the URL names no scope, so that {SUFFIX} alone is followed" in done.err


def test_a_base_that_is_not_there(server: Slapd) -> None:
    done = run("watch", "--once", f"{server.url}/dc=nowhere??sub")
    assert (done.code, done.out) == (78, "")
    assert done.err == (
        f"syncrepl-client: error: {server.url}: No such object: is the base dc=nowhere there?\n"
    )


def test_a_state_that_is_in_use(server: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, "watch", "--data", f"{tmp_path}/", url(server)) as command:
        command.wait_for("in step")
        done = run("watch", "--data", f"{tmp_path}/")
        assert (done.code, done.out) == (4, "")
        assert "is in use by another client" in done.err
        assert command.stop() == 0


def test_what_happens_is_said_on_stderr(server: Slapd) -> None:
    done = run("watch", "--once", "-v", "--brief", url(server))
    assert done.err == (
        f"syncrepl-client: info: connected to {server.url}\n"
        "syncrepl-client: info: the refresh is done\n"
    )
    more = run("watch", "--once", "-vv", "--brief", url(server)).err
    assert "syncrepl-client: debug: searching with no cookie\n" in more


def test_an_encoding_that_lacks_a_character(server: Slapd) -> None:
    with server.connected() as connection:
        values = [(ldap.MOD_REPLACE, "description", "\u00e4\u20ac".encode())]
        connection.modify_s(person_dn(0), values)
    done = run("watch", "--once", url(server), env={"PYTHONIOENCODING": "ascii"})
    assert done.code == 0
    assert r"description: \xe4\u20ac" in done.out


@pytest.mark.parametrize("trust", [True, False])
def test_what_389_ds_sends_against_its_access_rules(
    trust: bool, ds389: DS389, tmp_path: Path
) -> None:
    ds389.reset()
    where = f"{ds389.url}/{SUFFIX}??sub?(objectClass=*)"
    options = ["--format", "json", *(["--trust-persist"] if trust else [])]
    with running(tmp_path, "watch", *options, where) as command:
        command.wait_for(f"ou=groups,{SUFFIX}")
        with ds389.connected() as connection:
            attrs = {**person(1), "userPassword": [b"not for anybody"]}
            connection.add_s(person_dn(1), list(attrs.items()))
        command.wait_for(person_dn(1))
        assert command.stop() == 0
    assert ("userPassword" in command.out) is trust
