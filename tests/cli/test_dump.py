# SPDX-License-Identifier: BSD-3-Clause
"""``dump`` writes what a state holds, beside a program that uses it, and without a server."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import Any, Callable

import ldap
import ldif
import pytest

from syncrepl_client.entries.attributes import encode
from tests.cli.commands import run, run_without_reader, running
from tests.cli.conftest import PEOPLE
from tests.cli.states import everything, fill, fingerprint, spoil
from tests.cli.test_watch import EVIL
from tests.servers import Slapd
from tests.servers.people import SUFFIX, person, person_dn
from tests.servers.process import find_program


def records(text: str) -> list[tuple[str, dict[str, list[bytes]]]]:
    parser = ldif.LDIFRecordList(io.StringIO(text))
    parser.parse()
    return [(name, dict(attrs)) for name, attrs in parser.all_records]


def content(server: Slapd) -> dict[str, dict[str, list[bytes]]]:
    with server.connected() as connection:
        return dict(connection.search_s(SUFFIX, ldap.SCOPE_SUBTREE))


def test_ldif_that_another_server_takes(
    server: Slapd, run_server: Callable[..., Any], tmp_path: Path
) -> None:
    with server.connected() as connection:
        texts = [EVIL.encode(), b" blank at both ends "]
        attrs = {**person(50), "description": texts, "jpegPhoto": [b"\xff\xd8\xff\0\n"]}
        connection.add_s(person_dn(50), list(attrs.items()))
    fill(server, tmp_path, f"{server.url}/{SUFFIX}?*,+?sub", as_root=True)
    before = fingerprint(tmp_path)
    done = run("dump", "-d", str(tmp_path))
    assert (done.code, done.err) == (0, "")
    assert fingerprint(tmp_path) == before
    assert "\x1b" not in done.out
    assert "entryUUID" not in done.out

    other = run_server(Slapd, ldif="")
    ldapadd = find_program("ldapadd", "ldap-utils")
    command = [ldapadd, "-x", "-H", other.url, "-D", other.root_dn, "-w", other.root_pw]
    added = subprocess.run(command, input=done.out, capture_output=True, text=True)
    assert added.returncode == 0, added.stderr
    theirs, ours = content(other), content(server)
    assert records(done.out)[0][0] == SUFFIX
    for attrs in (*theirs.values(), *ours.values()):
        for values in attrs.values():
            values.sort()
    assert theirs == ours


def test_operational_attributes(server: Slapd, tmp_path: Path) -> None:
    fill(server, tmp_path, f"{server.url}/{SUFFIX}?cn,entryUUID,modifyTimestamp?sub?(uid=*)")
    found = records(run("dump", "-d", str(tmp_path), "--operational").out)
    assert len(found) == PEOPLE
    assert all({"cn", "entryUUID", "modifyTimestamp"} == set(attrs) for _, attrs in found)


def test_json(server: Slapd, tmp_path: Path) -> None:
    fill(server, tmp_path, f"{server.url}/{SUFFIX}?cn,entryUUID?sub?(uid=*)")
    lines = run("dump", "-d", str(tmp_path), "--format", "json").out.splitlines()
    found = [json.loads(line) for line in lines]
    assert [each["dn"] for each in found] == [person_dn(number) for number in range(PEOPLE)]
    with server.connected() as connection:
        [(_, attrs)] = connection.search_s(person_dn(0), ldap.SCOPE_BASE, attrlist=["entryUUID"])
    assert found[0] == {
        "dn": person_dn(0),
        "uuid": attrs["entryUUID"][0].decode(),
        "attributes": {"cn": ["Ada Abbott 0"]},
    }


def test_a_program_has_it_open(server: Slapd, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    with running(tmp_path, "watch", "-d", str(state), everything(server), "--brief") as watch:
        watch.wait_for("in step")
        assert len(records(run("dump", "-d", str(state)).out)) == len(content(server))
        assert watch.stop() == 0


def test_no_server_is_asked(server: Slapd, tmp_path: Path) -> None:
    fill(server, tmp_path)
    server.stop()
    assert len(records(run("dump", "-d", f"{tmp_path}/").out)) > PEOPLE


@pytest.mark.parametrize("subcommand", ["dump", "reconcile"])
def test_no_state(tmp_path: Path, subcommand: str) -> None:
    done = run(subcommand, "-d", str(tmp_path))
    assert done.code == 4
    assert done.err.startswith("syncrepl-client: error: there is no data store")
    assert list(tmp_path.iterdir()) == []
    assert run(subcommand).code == 2


def test_a_damaged_entry(server: Slapd, tmp_path: Path) -> None:
    """What comes before it is written, and the code says that something is missing."""
    fill(server, tmp_path)
    spoil(tmp_path, "UPDATE syncrepl_entry SET attrs = X'5b00' WHERE dn LIKE 'uid=u0000003%'")
    done = run("dump", "-d", str(tmp_path), "--format", "json")
    assert done.code == 4
    assert done.err.startswith("syncrepl-client: error: the attributes of an entry in the store")
    assert json.loads(done.out.splitlines()[-1])["dn"] == person_dn(2)


def test_a_name_that_is_none(server: Slapd, tmp_path: Path) -> None:
    """Versions before this one stored what servers sent."""
    fill(server, tmp_path)
    smuggled = encode({"description: x\n\ndn: cn=evil\nchangetype: add\nx": [b"x"]})
    statement = "UPDATE syncrepl_entry SET attrs = X'HEX' WHERE dn LIKE 'uid=u0000003%'"
    spoil(tmp_path, statement.replace("HEX", smuggled.hex()))
    done = run("dump", "-d", str(tmp_path))
    assert done.code == 4
    assert done.err.startswith("syncrepl-client: error: no LDIF can be written of 'uid=u0000003")
    assert "evil" not in done.out
    lines = run("dump", "-d", str(tmp_path), "--format", "json").out.splitlines()
    assert sum(1 for line in lines if "evil" in line) == 1
    assert all(json.loads(line) for line in lines)


@pytest.mark.parametrize("words", ["dump", "dump --format json", "status", "verify", "doctor"])
def test_head(server: Slapd, tmp_path: Path, words: str) -> None:
    fill(server, tmp_path)
    run_without_reader(*words.split(), "-d", str(tmp_path))
