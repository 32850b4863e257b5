# SPDX-License-Identifier: BSD-3-Clause
"""``undo`` writes LDIF for people to read, and says what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import ldap

from tests.cli.commands import run
from tests.cli.test_history import ADA, BEN, BENJAMIN, CY, change_all, log, now
from tests.servers import Slapd
from tests.servers.people import SUFFIX


def test_what_is_written(server: Slapd, tmp_path: Path) -> None:
    log(server, tmp_path)
    since = now()
    change_all(server)
    with server.connected() as connection:
        connection.delete_s(person := f"uid=u0000003,ou=people,{SUFFIX}")
    log(server, tmp_path)
    done = run("undo", "--since", since, "-d", str(tmp_path))
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("version: 1\n\n# Undoes what was changed from ")
    for name in (person, CY):
        assert f"dn: {name}\nchangetype: add\n" in done.out
    assert f"dn: {BENJAMIN}\nchangetype: modrdn\nnewrdn: uid=u0000001\ndeleteoldrdn: 1" in done.out
    assert "replace: mail\nmail: ada.abbott.0@example.com\n" in done.out
    assert "entryUUID:" not in done.out
    assert "userPassword:" not in done.out
    assert "# the log does not have the values of userPassword\n" in done.out

    one = run("undo", CY, "--since", since, "-d", str(tmp_path))
    assert one.out.count("\ndn: ") == 1
    renames = run("undo", "--kind", "rename", "--since", since, "-d", str(tmp_path))
    assert f"dn: {BENJAMIN}" in renames.out
    assert renames.out.count("\ndn: ") == 1


def test_what_is_left_alone(server: Slapd, tmp_path: Path) -> None:
    log(server, tmp_path)
    since = now()
    change_all(server)
    log(server, tmp_path)
    until = now()
    with server.connected() as connection:
        connection.modify_s(ADA, [(ldap.MOD_REPLACE, "mail", [b"later@example.com"])])
        connection.add_s(BEN, [("objectClass", [b"account"])])
        connection.add_s(CY, [("objectClass", [b"account"])])
    log(server, tmp_path)
    options = ["undo", "--since", since, "--until", until, "-d", str(tmp_path)]
    done = run(*options)
    assert done.code == 1
    assert done.err.splitlines() == [
        f"syncrepl-client: warning: not undone: {ADA}: mail: changed again since",
        f"syncrepl-client: warning: not undone: {CY}: another entry has that DN",
        f"syncrepl-client: warning: not undone: {BENJAMIN}: another entry has that DN",
    ]
    assert f"# not undone: {ADA}: mail: changed again since\n" in done.out
    assert "changetype" not in done.out
    forced = run(*options, "--force")
    assert forced.code == 1
    assert f"dn: {ADA}\nchangetype: modify\nreplace: mail\n" in forced.out


def test_a_part_of_the_directory(server: Slapd, tmp_path: Path) -> None:
    url = f"{server.url}/{SUFFIX}?cn,uid?sub?(uid=*)"
    assert run("watch", "--once", "--log", "1d", "-d", str(tmp_path), url).code == 0
    since = now()
    with server.connected() as connection:
        connection.delete_s(CY)
    assert run("watch", "--once", "-d", str(tmp_path)).code == 0
    done = run("undo", "--since", since, "-d", str(tmp_path))
    assert done.code == 0
    assert "# They have only the attributes that the state has: cn, uid.\n" in done.out
    assert "may only have left its filter" in done.out
    assert f"dn: {CY}\nchangetype: add\n" in done.out
