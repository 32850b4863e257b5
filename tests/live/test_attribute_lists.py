# SPDX-License-Identifier: BSD-3-Clause
"""Attributes by any of their names: what was asked for, in a refresh, on resume and in persist."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest

from syncrepl_client import Syncrepl
from tests.faults.recorder import PERSIST, REFRESH_ONLY, Recorder, contents, poll_until
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.mirror import content, server_content
from tests.servers import DS389, Server, Slapd
from tests.servers.people import SUFFIX

pytestmark = pytest.mark.usefixtures("watchdog")

RunServer = Callable[..., Any]
PEOPLE = f"ou=people,{SUFFIX}"
ADA = f"cn=Ada,{PEOPLE}"
LISTS = [
    "", "*", "+", "*,+", "1.1", "cn,1.1",
    "commonName", "2.5.4.3", "CN", "cn,commonName", "commonName,cn", "*,commonName", "CN,*",
    "surname,rfc822Mailbox", "2.5.4.4,0.9.2342.19200300.100.1.3", "name", "2.5.4.41",
    "cn;lang-de", "commonName;lang-de", "CN;LANG-DE,cn", "cn;lang-", "name;lang-de",
    "sn,modifyTimestamp", "2.5.18.2,modifiersname", "*,2.5.18.2", "objectClass,@person",
]  # fmt: skip
VOLATILE = {"modifytimestamp", "2.5.18.2", "entrycsn", "entryusn", "createtimestamp"}


@pytest.fixture(params=["slapd", "ds389"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    found: Server = request.getfixturevalue(request.param)
    with found.connected() as admin:
        attrs = {
            "objectClass": [b"inetOrgPerson"],
            "cn": [b"Ada", b"Countess"],
            "cn;lang-de": [b"Graefin"],
            "sn": [b"Lovelace"],
            "mail": [b"ada@example.com"],
        }
        admin.add_s(ADA, list(attrs.items()))
        yield found
        admin.delete_s(ADA)


def follow(
    server: Server, path: Path, names: str, recorder: Recorder, mode: Any = PERSIST
) -> Syncrepl:
    url = f"{server.url}/{PEOPLE}?{names}?sub"
    return Syncrepl(f"{path}/", recorder, mode, url, reconnect=False)


def shown(server: Server, names: str) -> dict[str, dict[str, list[bytes]]]:
    """What an ordinary search of the same user shows."""
    connection = ldap.initialize(server.url)
    try:
        listed = [name for name in names.split(",") if name]
        found = server_content(connection, PEOPLE, ldap.SCOPE_SUBTREE, "(objectClass=*)", listed)
        return {
            # python-ldap doubles the values of an attribute that 389-ds splits
            dn: {name: sorted(set(values)) for name, values in attrs.items()}
            for dn, attrs in found.items()
        }
    finally:
        connection.unbind_s()


def change(server: Server, name: str, value: bytes) -> None:
    with server.connected() as admin:
        admin.modify_s(ADA, [(ldap.MOD_REPLACE, name, [value])])


def settled(entries: dict[str, dict[str, list[bytes]]]) -> dict[str, dict[str, list[bytes]]]:
    """Without what a resume of 389-ds does not tell."""
    return {
        dn: {name: values for name, values in attrs.items() if name not in VOLATILE}
        for dn, attrs in entries.items()
    }


@pytest.mark.parametrize("names", LISTS)
def test_a_resume_tells_what_a_whole_answer_would(
    names: str, server: Server, tmp_path: Path
) -> None:
    recorder = Recorder()
    with follow(server, tmp_path, names, recorder, REFRESH_ONLY) as client:
        client.run()
        before = shown(server, names)
        assert content(contents(client)) == before
    change(server, "description", b"new")
    recorder.clear()
    with follow(server, tmp_path, names, recorder, REFRESH_ONLY) as client:
        client.run()
        assert settled(content(contents(client))) == settled(shown(server, names))
        cookie_was_sent = any("with cookie" in each for each in recorder.messages)
        assert cookie_was_sent
    if settled(before) == settled(shown(server, names)):
        assert len(recorder.changes) <= (1 if VOLATILE & set(shown(server, names)[ADA]) else 0)
    else:
        assert recorder.changes == [("change", ADA)]
    with follow(server, tmp_path, names, recorder, REFRESH_ONLY) as client:
        client.reconcile()
        recorder.clear()
        client.run()
        assert content(contents(client)) == shown(server, names)


@pytest.mark.parametrize("names", LISTS)
def test_the_persist_stage_tells_the_same(names: str, server: Server, tmp_path: Path) -> None:
    recorder = Recorder()
    with follow(server, tmp_path, names, recorder) as client:
        poll_until(client, recorder, "refresh_done")
        cookies = len(recorder.of("cookie"))
        for value in (b"1", b"2"):
            change(server, "sn", value)
            cookies += 1
            poll_until(client, recorder, "cookie", cookies)
        assert content(contents(client)) == shown(server, names)
        assert client.verify() == []


# --- the schema can't be read


SLAPD_HIDES = 'access to dn.base="cn=Subschema" by * none\naccess to * by * read'
NOTHING = b'(targetattr = "cn")(version 3.0; acl "none"; allow (read) userdn = "ldap:///self";)'


@pytest.fixture
def blind(request: pytest.FixtureRequest, run_server: RunServer) -> Server:
    """A server whose schema is for administrators alone."""
    if request.param is Slapd:
        found: Server = run_server(Slapd, sessionlog=100, extra_config=SLAPD_HIDES)
    else:
        found = run_server(DS389)
        with found.connected() as admin:
            admin.modify_s("cn=schema", [(ldap.MOD_REPLACE, "aci", [NOTHING])])
    with found.connected() as admin:
        attrs = {"objectClass": [b"person"], "cn": [b"Ada"], "sn": [b"Lovelace"]}
        admin.add_s(ADA, list(attrs.items()))
    return found


@pytest.mark.parametrize(
    ("blind", "names"),
    [(Slapd, "sn,modifyTimestamp,cn"), (DS389, "sn,2.5.18.2,commonName"), (DS389, "*,+")],
    indirect=["blind"],
)
def test_without_the_schema_nothing_is_removed(
    blind: Server, names: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder()
    with follow(blind, tmp_path, names, recorder, REFRESH_ONLY) as client:
        client.run()
    before = recorder.mirror[ADA].keys()
    change(blind, "sn", b"King")
    recorder.clear()
    with follow(blind, tmp_path, names, recorder, REFRESH_ONLY) as client:
        client.run()
        assert content(contents(client)) == shown(blind, names)
    assert recorder.changes == [("change", ADA)]
    assert recorder.mirror[ADA].keys() == before
    said = [each for each in caplog.records if getattr(each, "event", "") == "schema-unreadable"]
    assert {each.levelno for each in said} == {logging.WARNING}
    assert "let this user read attributeTypes of cn=" in said[0].getMessage()
