# SPDX-License-Identifier: BSD-3-Clause
"""What a server tells of that is not part of the answer: another suffix, its own bookkeeping."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest

from syncrepl_client import Syncrepl
from tests.faults.recorder import PERSIST, Recorder, contents, poll_until
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.servers import DS389, Server, Slapd
from tests.servers.people import SUFFIX

pytestmark = pytest.mark.usefixtures("watchdog")

RunServer = Callable[..., Any]
PEOPLE = f"ou=people,{SUFFIX}"


def add(server: Server, name: str, *classes: bytes) -> None:
    attrs = {"objectClass": [b"person", *classes], "sn": [b"x"]}
    attrs["cn"] = [name.partition(",")[0].partition("=")[2].encode()]
    with server.connected() as admin:
        admin.add_s(name, list(attrs.items()))


def settle(client: Syncrepl, recorder: Recorder, server: Server, where: str = PEOPLE) -> None:
    """Poll until all that was changed by now has been told."""
    add(server, f"cn=marker,{PEOPLE}")
    while f"cn=marker,{where}" not in recorder.mirror:
        assert client.poll(10)
    with server.connected() as admin:
        admin.delete_s(f"cn=marker,{PEOPLE}")
    while f"cn=marker,{where}" in recorder.mirror:
        assert client.poll(10)
    recorder.heard = [each for each in recorder.heard if f"cn=marker,{where}" not in each]


def not_taken(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [each for each in caplog.records if getattr(each, "event", "") == "not-taken"]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in not_taken(caplog)]


# --- 389-ds with replication


def enable_replication(server: DS389) -> None:
    """Make it a supplier, as ``dsconf INSTANCE replication enable`` does."""
    replica = {
        "objectClass": [b"top", b"nsds5Replica", b"extensibleObject"],
        "cn": [b"replica"],
        "nsDS5ReplicaRoot": [SUFFIX.encode()],
        "nsDS5ReplicaType": [b"3"],
        "nsDS5Flags": [b"1"],
        "nsDS5ReplicaId": [b"1"],
    }
    tree = SUFFIX.replace("=", "\\3D").replace(",", "\\2C")
    name = f"cn=replica,cn={tree},cn=mapping tree,cn=config"
    with server.connected() as admin:
        admin.add_s(name, list(replica.items()))


class Replica:
    """A 389-ds that becomes a supplier while it is followed, and is written to."""

    def __init__(self, server: DS389) -> None:
        self.server = server
        add(server, f"cn=ada,{PEOPLE}")

    def bustle(self) -> None:
        """Rename back and forth, delete, and add what only replication itself looks at."""
        enable_replication(self.server)
        add(self.server, f"cn=one,{PEOPLE}")
        add(self.server, f"cn=repl keep alive 1,{SUFFIX}", b"ldapSubEntry")
        with self.server.connected() as admin:
            for old, new in (("one", "two"), ("two", "one"), ("one", "two")):
                admin.rename_s(f"cn={old},{PEOPLE}", f"cn={new}")
            keep_alive = f"cn=repl keep alive 1,{SUFFIX}"
            admin.modify_s(keep_alive, [(ldap.MOD_REPLACE, "sn", [b"y"])])
            admin.delete_s(f"cn=two,{PEOPLE}")

    def shown(self, filter: str) -> set[str]:
        """What an ordinary search of anybody shows."""
        connection = ldap.initialize(self.server.url)
        try:
            found = connection.search_s(SUFFIX, ldap.SCOPE_SUBTREE, filter, ["1.1"])
            return {name for name, _ in found}
        finally:
            connection.unbind_s()


@pytest.fixture
def replica(run_server: RunServer) -> Replica:
    return Replica(run_server(DS389))


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize("names", ["", "cn"])
def test_the_bookkeeping_of_replication(
    trust: bool, names: str, replica: Replica, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    recorder = Recorder()
    url = f"{replica.server.url}/{SUFFIX}?{names}?sub"
    with Syncrepl(f"{tmp_path}/", recorder, PERSIST, url, trust_persist=trust) as client:
        poll_until(client, recorder, "refresh_done")
        recorder.clear()
        replica.bustle()
        settle(client, recorder, replica.server)
        while not any("cn=mapping tree,cn=config" in each for each in said(caplog)):
            assert client.poll(10)  # the server soon writes down the state of its replica
        one, two = f"cn=one,{PEOPLE}", f"cn=two,{PEOPLE}"
        heard = {name for each in recorder.changes for name in each[1:]}
        assert heard <= {one, two}
        assert contents(client).keys() == replica.shown("(objectClass=*)")
        recorder.clear()
        client.reconcile()
        poll_until(client, recorder, "refresh_done")
        assert recorder.changes == []
    reasons = [each.partition("which is ")[2] for each in said(caplog)]
    assert len(reasons) == len(set(reasons)) == 2


def test_subentries_where_the_filter_names_them(replica: Replica, tmp_path: Path) -> None:
    recorder = Recorder()
    named = "(|(objectClass=ldapSubEntry)(objectClass=*))"
    url = f"{replica.server.url}/{SUFFIX}??sub?{named}"
    with Syncrepl(f"{tmp_path}/", recorder, PERSIST, url) as client:
        poll_until(client, recorder, "refresh_done")
        replica.bustle()
        settle(client, recorder, replica.server)
        assert f"cn=repl keep alive 1,{SUFFIX}" in contents(client)
        assert contents(client).keys() == replica.shown(named)


# --- back_relay

VIRTUAL = "dc=virtual,dc=org"
RELAY = f"""
database relay
suffix "{VIRTUAL}"
relay "{SUFFIX}"
overlay rwm
rwm-suffixmassage "{VIRTUAL}" "{SUFFIX}"
"""


class Relay(Slapd):
    """A slapd that shows its directory below another suffix too."""

    def _database_config(self) -> str:
        return super()._database_config() + RELAY


def test_a_relay(run_server: RunServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its persist stage has the DNs of the other suffix: none of them is taken, none deleted."""
    modules = "moduleload back_relay\nmoduleload rwm"
    server = run_server(Relay, sessionlog=100, extra_config=modules)
    virtual = f"ou=people,{VIRTUAL}"
    add(server, f"cn=ada,{PEOPLE}")
    add(server, f"cn=ben,{PEOPLE}")
    recorder = Recorder()
    with Syncrepl(f"{tmp_path}/", recorder, PERSIST, f"{server.url}/{VIRTUAL}??sub") as client:
        poll_until(client, recorder, "refresh_done")
        recorder.clear()
        add(server, f"cn=cat,{PEOPLE}")
        with server.connected() as admin:
            admin.modify_s(f"cn=ada,{PEOPLE}", [(ldap.MOD_REPLACE, "sn", [b"new"])])
        poll_until(client, recorder, "refresh_done")
        assert recorder.changes == [("change", f"cn=ada,{virtual}"), ("add", f"cn=cat,{virtual}")]
        recorder.clear()
        with server.connected() as admin:
            admin.rename_s(f"cn=ada,{PEOPLE}", "cn=eva")
        poll_until(client, recorder, "refresh_done")
        assert recorder.changes[0] == ("rename", f"cn=ada,{virtual}", f"cn=eva,{virtual}")
        assert recorder.of("delete", "add") == []
        with server.connected() as admin:
            admin.delete_s(f"cn=ben,{PEOPLE}")
        poll_until(client, recorder, "delete")
        assert contents(client).keys() == {
            VIRTUAL, f"ou=groups,{VIRTUAL}", virtual, f"cn=eva,{virtual}", f"cn=cat,{virtual}",
        }  # fmt: skip
    [warning] = not_taken(caplog)
    assert warning.levelno == logging.WARNING
    assert "follow the database itself" in warning.getMessage()


# --- the base, written otherwise than the server does


@pytest.mark.parametrize(
    "base",
    [
        "OU=People, DC=Example,DC=COM",
        "2.5.4.11=people,dc=example,dc=com",
        "organizationalUnitName=people,domainComponent=example,dc=com",
    ],
)
def test_a_base_by_another_name(base: str, slapd: Slapd, tmp_path: Path) -> None:
    recorder = Recorder()
    url = f"{slapd.url}/{base.replace(' ', '%20')}??sub"
    with Syncrepl(f"{tmp_path}/", recorder, PERSIST, url) as client:
        poll_until(client, recorder, "refresh_done")
        settle(client, recorder, slapd)
        assert contents(client).keys() == {PEOPLE}
