# SPDX-License-Identifier: BSD-3-Clause
"""What a script has done to a directory is undone: ``undo | ldapmodify``."""

from __future__ import annotations

import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import ldap
import pytest

from syncrepl_client import OPERATIONAL, Changelog, Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback
from tests.cli.commands import Done, run
from tests.mirror import Content, server_content
from tests.servers import DS389, Server
from tests.servers.people import SUFFIX, person, person_dn
from tests.servers.process import find_program

STAFF = f"ou=staff,{SUFFIX}"
GROUP = f"cn=everybody,ou=groups,{SUFFIX}"
LEAVERS, RENAMED, CLEARED = 500, 20, 200


@pytest.fixture(params=["slapd", "ds389"])
def server(request: pytest.FixtureRequest) -> Server:
    server: Server = request.getfixturevalue(request.param)
    if isinstance(server, DS389):
        server.reset()
    return server


def staff_dn(number: int) -> str:
    return f"uid=s{number},{STAFF}"


def fill(server: Server) -> None:
    with server.connected() as connection:
        connection.add_s(STAFF, [("objectClass", [b"organizationalUnit"])])
        for number in range(LEAVERS):
            attrs = {**person(number), "uid": [b"s%d" % number], "jpegPhoto": [b"\xff\xd8\0\n"]}
            connection.add_s(staff_dn(number), list(attrs.items()))
        for number in range(CLEARED + RENAMED):
            connection.add_s(person_dn(number), list(person(number).items()))
        members = [person_dn(number).encode() for number in range(CLEARED)]
        group = {"objectClass": [b"groupOfNames"], "member": members}
        connection.add_s(GROUP, list(group.items()))


def wreak_havoc(server: Server) -> None:
    with server.connected() as connection:
        for number in range(LEAVERS):
            connection.delete_s(staff_dn(number))
        connection.delete_s(STAFF)
        for number in range(RENAMED):
            superior = f"ou=groups,{SUFFIX}" if number % 2 else None
            connection.rename_s(person_dn(CLEARED + number), f"uid=renamed{number}", superior)
        for number in range(CLEARED):
            connection.modify_s(person_dn(number), [(ldap.MOD_DELETE, "telephoneNumber", None)])
        some = [person_dn(number).encode() for number in range(0, CLEARED, 3)]
        connection.modify_s(GROUP, [(ldap.MOD_DELETE, "member", some)])
        connection.add_s(f"ou=new,{SUFFIX}", [("objectClass", [b"organizationalUnit"])])
        attrs = {**person(999), "uid": [b"new"]}
        connection.add_s(f"uid=new,ou=new,{SUFFIX}", list(attrs.items()))


def follow(server: Server, state: Path) -> None:
    url = f"{server.url}/{SUFFIX}??sub"
    with Syncrepl(
        state,
        BaseCallback(),
        SyncreplMode.REFRESH_ONLY,
        url,
        changelog=Changelog(),
        max_deletes=None,
    ) as client:
        client.run()


def undo(state: Path, since: datetime, *options: str) -> Done:
    return run("undo", "--since", since.isoformat(), "-d", str(state), *options)


def ldapmodify(server: Server, text: str) -> None:
    program = find_program("ldapmodify", "ldap-utils")
    command = [program, "-x", "-H", server.url, "-D", server.root_dn, "-w", server.root_pw]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def content(server: Server) -> Content:
    with server.connected() as connection:
        found = server_content(connection, SUFFIX, ldap.SCOPE_SUBTREE, "(objectClass=*)", ["*"])
    return {
        name: {each: values for each, values in attrs.items() if each not in OPERATIONAL}
        for name, attrs in found.items()
    }


def test_what_a_script_has_done(server: Server, tmp_path: Path) -> None:
    fill(server)
    follow(server, tmp_path)
    before, since = content(server), datetime.now().astimezone()
    wreak_havoc(server)
    follow(server, tmp_path)
    with server.connected() as connection:  # since then
        later = [(ldap.MOD_ADD, "member", [person_dn(CLEARED).encode()])]
        connection.modify_s(GROUP, later)
        connection.modify_s(person_dn(0), [(ldap.MOD_REPLACE, "description", [b"later"])])
    follow(server, tmp_path)
    until = datetime.now().astimezone()

    done = undo(tmp_path, since)
    assert (done.code, done.err) == (0, "")
    assert "another entryUUID" in done.out
    with server.connected() as connection:  # meanwhile
        connection.modify_s(GROUP, [(ldap.MOD_ADD, "member", [person_dn(CLEARED + 1).encode()])])
        connection.modify_s(person_dn(1), [(ldap.MOD_REPLACE, "description", [b"meanwhile"])])
    ldapmodify(server, done.out)
    expected: dict[str, Any] = dict(before)
    group = expected[GROUP]
    # What came after the script is a part of what was undone, what came after the undo is not.
    member = [*group["member"], person_dn(CLEARED + 1).encode()]
    expected[GROUP] = {**group, "member": sorted(member)}
    meanwhile = {**expected[person_dn(1)], "description": [b"meanwhile"]}
    expected[person_dn(1)] = meanwhile
    assert content(server) == expected

    follow(server, tmp_path)
    done = undo(tmp_path, since, "--until", until.isoformat())
    assert done.code == 1  # there again
    assert len(done.err.splitlines()) == 21
    assert "changetype" not in done.out
