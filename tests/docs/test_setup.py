# SPDX-License-Identifier: BSD-3-Clause
"""The steps of docs/servers.rst set up a server that can be followed."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any, Callable
from urllib.parse import quote

import ldap
import pytest

from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.doctor import Verdict, examine
from syncrepl_client.exceptions import SyncUnsupported
from tests.docs.snippets import ALL, Block
from tests.servers import DS389, Server, Slapd
from tests.servers.glued import Glued
from tests.servers.people import SUFFIX, person, person_dn
from tests.servers.process import find_program, run
from tests.servers.suppliers import Supplier

RunServer = Callable[..., Any]
BLOCKS = [block for block in ALL if block.document == "servers.rst"]
PLUGINS = tuple(
    f"cn={name},cn=plugins,cn=config"
    for name in ("Retro Changelog Plugin", "Content Synchronization")
)


def block(start: str) -> Block:
    """The one block that begins with *start*, or has that name."""
    (found,) = [each for each in BLOCKS if each.text.startswith(start) or each.name == start]
    return found


def commands(start: str) -> list[list[str]]:
    """The commands of the block that begins with *start*, without their prompts."""
    return [shlex.split(line.removeprefix("# ")) for line in block(start).text.splitlines()]


def test_every_block_has_a_test() -> None:
    tested = ["dn: cn=module", "# ldapmodify", "slapd-conf-global", "slapd-conf-database"]
    tested += ["# dsconf INSTANCE plugin retro-changelog enable"]
    tested += ["# dsconf INSTANCE plugin retro-changelog show", "dn: oid="]
    tested += ["dn: cn=mapping tree", "glue"]
    assert [block(start) for start in tested] == BLOCKS


def count(server: Server) -> int:
    """How many entries a refresh brings."""
    url = f"{server.url}/{SUFFIX}??sub"
    with Syncrepl("", BaseCallback, SyncreplMode.REFRESH_ONLY, url, store="memory") as client:
        client.run()
        return len(client.store.items())


class Unsynchronized(Slapd):
    """A slapd before anybody has set it up to be followed."""

    def _global_config(self) -> str:
        return super()._global_config().replace("moduleload syncprov\n", "", 1)

    def _database_config(self) -> str:
        lines = super()._database_config().replace("overlay syncprov\n", "", 1)
        return lines.replace(",entryUUID,entryCSN eq", " eq", 1)


class WithConfigDatabase(Unsynchronized):
    """The same, with a configuration that can be changed over LDAP, as Debian's."""

    def _global_config(self) -> str:
        owner = f"gidNumber={os.getgid()}+uidNumber={os.getuid()},cn=peercred,cn=external,cn=auth"
        lines = super()._global_config().splitlines()
        kept = [line for line in lines if not line.startswith("authz-regexp")]
        access = f'access to * by dn.exact="{owner}" manage'
        return "\n".join([*kept, "database config", access, ""])

    def _prepare(self) -> None:
        super()._prepare()
        self._tree.mkdir()
        options = ("-f", str(self._config_path), "-F", str(self._tree))
        run(find_program("slapd", "slapd"), "-T", "test", *options)

    def _command(self) -> list[str]:
        command = super()._command()
        where = command.index("-f")
        return [*command[:where], "-F", str(self._tree), *command[where + 2 :]]

    @property
    def _tree(self) -> Path:
        return self.directory / "slapd.d"


def test_openldap_with_cn_config(run_server: RunServer, tmp_path: Path) -> None:
    server = run_server(WithConfigDatabase)
    with pytest.raises(SyncUnsupported):
        count(server)
    (tmp_path / "syncprov.ldif").write_text(block("dn: cn=module").text)
    (command,) = commands("# ldapmodify")
    command[command.index("ldapi:///")] = server.ldapi_url
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert count(server) == 3


def test_openldap_with_slapd_conf(run_server: RunServer) -> None:
    server = run_server(
        Unsynchronized,
        extra_config=block("slapd-conf-global").text,
        extra_database=block("slapd-conf-database").text,
    )
    assert count(server) == 3


def test_389_ds(run_server: RunServer) -> None:
    server = run_server(DS389)
    dsconf = find_program("dsconf", "389-ds-base")
    with server.connected() as connection:
        for plugin in PLUGINS:
            connection.modify_s(plugin, [(ldap.MOD_REPLACE, "nsslapd-pluginEnabled", b"off")])
        changelog = [(ldap.MOD_DELETE, "nsslapd-attribute", None)]
        connection.modify_s(PLUGINS[0], changelog)
    server.restart()
    with pytest.raises((SyncUnsupported, ldap.LDAPError)):
        count(server)

    *settings, restart = commands("# dsconf INSTANCE plugin retro-changelog enable")
    assert restart == ["dsctl", "INSTANCE", "restart"]
    for command in settings:
        run_dsconf(dsconf, server, command)
    server.restart()
    assert count(server) == 3
    for command in commands("# dsconf INSTANCE plugin retro-changelog show"):
        assert "nsslapd-pluginEnabled: on" in run_dsconf(dsconf, server, command)


def test_one_user_may_use_the_control(run_server: RunServer) -> None:
    server = run_server(DS389)
    ldapmodify = find_program("ldapmodify", "ldap-utils")
    login = ["-x", "-H", server.url, "-D", server.root_dn, "-w", server.root_pw]
    run(ldapmodify, *login, stdin=block("dn: oid=").text)
    reader, other = f"cn=reader,{SUFFIX}", f"cn=other,{SUFFIX}"
    with server.connected() as connection:
        for name in (reader, other):
            cn = name[3:].partition(",")[0].encode()
            attrs = {
                "objectClass": [b"person"],
                "cn": [cn],
                "sn": [cn],
                "userPassword": [b"secret-1"],
            }
            connection.add_s(name, list(attrs.items()))

    def refresh(user: str) -> None:
        url = f"{server.url}/{SUFFIX}??sub"
        with Syncrepl(
            "",
            BaseCallback,
            SyncreplMode.REFRESH_ONLY,
            url,
            store="memory",
            bind_dn=user,
            password="secret-1",
        ) as client:
            client.run()

    refresh(reader)
    with pytest.raises((SyncUnsupported, ldap.LDAPError)):
        refresh(other)


def run_dsconf(dsconf: str, server: DS389, command: list[str]) -> str:
    """Run a dsconf command on *server*, which is no instance of the system's."""
    assert command[:2] == ["dsconf", "INSTANCE"]
    login = ["-D", server.root_dn, "-w", server.root_pw, server.url]
    done = subprocess.run([dsconf, *login, *command[2:]], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_who_may_read_the_replica_update_vector(run_server: RunServer, tmp_path: Path) -> None:
    server = run_server(Supplier, replica_id=1)
    server.become_replica()
    names = (
        b'(targetattr = "cn || uid || ou || dc")(version 3.0; acl "names";'
        b' allow (read, search, compare) userdn = "ldap:///anyone";)'
    )
    with server.connected() as connection:
        connection.add_s(person_dn(1), [*person(1).items(), ("userPassword", [b"open sesame"])])
        connection.modify_s(SUFFIX, [(ldap.MOD_REPLACE, "aci", [names])])

    def readable() -> bool:
        where = f"{server.url}/{SUFFIX}??sub??bindname={quote(person_dn(1), safe='=')}"
        findings = examine(where, password="open sesame")
        (found,) = [each for each in findings if each.subject == "replication"]
        return found.verdict is Verdict.OK

    assert not readable()
    (tmp_path / "vector.ldif").write_text(block("dn: cn=mapping tree").text)
    command = [find_program("ldapmodify", "ldap-utils"), "-H", server.url, "-x"]
    command += ["-D", server.root_dn, "-w", server.root_pw, "-f", "vector.ldif"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert readable()


def test_glued_databases(run_server: RunServer) -> None:
    """The databases of the tests are glued like this, and both are followed."""
    server = run_server(Glued)
    lines = iter((server.directory / "slapd.conf").read_text().splitlines())
    assert all(line in lines for line in filter(None, block("glue").text.splitlines()[:-1]))
    assert count(server) == 6
