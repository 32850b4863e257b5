# SPDX-License-Identifier: BSD-3-Clause
"""The throw-away servers themselves: what other tests rely on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import ldap
import pytest
from ldap.ldapobject import LDAPObject

from syncrepl_client.testing import process
from tests.patience import HANGS_SECONDS
from tests.servers import DS389, Server, ServerFailed, ServerMissing, Slapd
from tests.servers.ds389 import SHARED_MEMORY
from tests.servers.people import BRANCHES, people_ldif, person, person_dn, uid

RunServer = Callable[..., Any]
KINDS = pytest.mark.parametrize("kind", [Slapd, DS389])


def add_person(server: Server, number: int) -> None:
    with server.connected() as connection:
        connection.add_s(person_dn(number), list(person(number).items()))


def names(connection: LDAPObject, base: str) -> set[str]:
    return {dn for dn, _ in connection.search_s(base, ldap.SCOPE_SUBTREE, attrlist=["1.1"])}


def all_names(server: Server) -> set[str]:
    """What an anonymous user sees."""
    connection = ldap.initialize(server.url)
    try:
        return names(connection, server.suffix)
    finally:
        connection.unbind_s()


def base_names(server: Server) -> set[str]:
    return {server.suffix, *(f"ou={name},{server.suffix}" for name in BRANCHES)}


@KINDS
def test_entries_outlive_kill_and_restart(kind: type[Server], run_server: RunServer) -> None:
    server = run_server(kind)
    assert all_names(server) == base_names(server)
    add_person(server, 1)
    url = server.url

    server.kill()
    assert not server.running
    with pytest.raises(ldap.SERVER_DOWN):
        server.connect()
    server.start()
    add_person(server, 2)
    server.restart()

    assert server.url == url
    assert all_names(server) == base_names(server) | {person_dn(1), person_dn(2)}


@KINDS
def test_nothing_is_left_behind(kind: type[Server], run_server: RunServer) -> None:
    server = run_server(kind)
    directory, pid = server.directory, server.pid
    server.remove()
    assert not directory.exists()
    assert not Path(f"/proc/{pid}").exists()
    name = directory.name.partition("-")[2]  # other servers come and go meanwhile
    assert not [path for path in SHARED_MEMORY.iterdir() if name in path.name]


@KINDS
def test_a_paused_server_does_not_answer(kind: type[Server], run_server: RunServer) -> None:
    server = run_server(kind)
    with server.connected() as connection:
        server.pause()
        search = connection.search_ext(server.suffix, ldap.SCOPE_BASE)
        with pytest.raises(ldap.TIMEOUT):
            connection.result(search, timeout=0.2)
        server.resume()
        assert connection.result(search, timeout=HANGS_SECONDS)[0] == ldap.RES_SEARCH_RESULT
        server.pause()
    server.stop()
    assert not server.running


@KINDS
def test_a_missing_server_says_what_to_install(
    kind: type[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(process, "SYSTEM_PATH", "/nowhere")
    with pytest.raises(ServerMissing, match="Debian package"):
        kind()  # type: ignore[call-arg]


def test_slapd_wipe(run_server: RunServer) -> None:
    server = run_server(Slapd, sessionlog=10)
    add_person(server, 1)
    server.wipe()
    assert all_names(server) == base_names(server)


def test_slapd_says_why_it_does_not_start() -> None:
    server = Slapd(extra_database="nonsense 1")
    with pytest.raises(ServerFailed, match="nonsense"), server:
        pass
    assert not server.directory.exists()


def test_slapd_tls(run_server: RunServer) -> None:
    server = run_server(Slapd, tls=True)
    for url in (server.url, server.ldaps_url):
        connection = ldap.initialize(url)
        connection.set_option(ldap.OPT_X_TLS_CACERTFILE, server.ca_file)
        connection.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
        connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
        if url == server.url:
            connection.start_tls_s()
        assert names(connection, server.suffix) == base_names(server)
        connection.unbind_s()


def test_slapd_external_is_root(run_server: RunServer) -> None:
    server = run_server(Slapd)
    connection = ldap.initialize(server.ldapi_url)
    connection.sasl_external_bind_s()
    assert connection.whoami_s() == f"dn:{server.root_dn}"
    connection.unbind_s()


def test_slapd_options(run_server: RunServer) -> None:
    server = run_server(
        Slapd,
        server_id=7,
        suffix="o=corp",
        sizelimit=5,
        extra_config="idletimeout 3600",
        extra_database="access to dn.subtree=ou=groups,o=corp by * none",
        ldif=people_ldif(10, "o=corp"),
    )
    with server.connected() as connection:
        assert len(names(connection, "o=corp")) == 13
        connection.delete_s(person_dn(0, "o=corp"))
        [(_, root)] = connection.search_s("o=corp", ldap.SCOPE_BASE, attrlist=["contextCSN"])
        assert any(b"#007#" in csn for csn in root["contextCSN"])
    with pytest.raises(ldap.SIZELIMIT_EXCEEDED):
        all_names(server)
    connection = ldap.initialize(server.url)
    with pytest.raises(ldap.NO_SUCH_OBJECT):
        connection.search_s("ou=groups,o=corp", ldap.SCOPE_BASE)
    connection.unbind_s()


def test_ds389_is_set_up_for_sync(ds389: DS389) -> None:
    ds389.reset()
    add_person(ds389, 4711)  # no other test has it, and the changelog keeps all
    with ds389.connected() as connection:
        [(_, root)] = connection.search_s("", ldap.SCOPE_BASE, attrlist=["*", "+"])
        assert b"1.3.6.1.4.1.4203.1.9.1.1" in root["supportedControl"]
        [(_, entry)] = connection.search_s(person_dn(4711), ldap.SCOPE_BASE, attrlist=["+"])
        assert {"entryUUID", "nsUniqueId"} <= set(entry)
        [(_, last)] = connection.search_s(
            "cn=changelog", ldap.SCOPE_ONELEVEL, f"(targetDn={person_dn(4711)})"
        )
        assert last["targetuniqueid"] == entry["nsUniqueId"]
    ds389.reset()
    assert all_names(ds389) == base_names(ds389)


def test_people_are_about_460_bytes_each() -> None:
    for number in (0, 12345, 9_999_999):
        attributes = person(number)
        sizes = [
            len(name) * len(values) + len(b"".join(values)) for name, values in attributes.items()
        ]
        assert 430 <= sum(sizes) <= 490
        assert attributes == person(number)
        assert attributes["uid"] == [uid(number).encode()]
