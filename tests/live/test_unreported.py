# SPDX-License-Identifier: BSD-3-Clause
"""Attributes whose changes a server does not report: who asks for them is warned."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import ldap
import pytest

from syncrepl_client import Syncrepl, doctor
from syncrepl_client.doctor import Finding, Verdict
from syncrepl_client.testing.process import find_path
from syncrepl_client.testing.slapd import SCHEMA_DIRECTORIES
from tests.cli.commands import run as run_command
from tests.faults.recorder import PERSIST, REFRESH_ONLY, Recorder, poll_until
from tests.live.test_verify import add, refreshed
from tests.servers import DS389, Server, Slapd
from tests.servers.people import SUFFIX, people_ldif, person, person_dn

RunServer = Callable[..., Any]
GROUP = f"cn=g,ou=groups,{SUFFIX}"
REFINT = "overlay refint\nrefint_attributes member"


def slapd(run_server: RunServer, *overlays: str, config: str = "") -> Slapd:
    modules = [f"moduleload {each.split()[1]}" for each in overlays]
    if "overlay dynlist" in overlays:
        modules.append(f"include {find_path(SCHEMA_DIRECTORIES, 'slapd')}/dyngroup.schema")
    server: Slapd = run_server(
        Slapd,
        sessionlog=10,
        ldif=people_ldif(2),
        extra_config="\n".join([*modules, config]),
        extra_database="\n".join(overlays),
    )
    return server


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    risks = [each for each in caplog.records if getattr(each, "event", None) == "risk"]
    return [each.getMessage() for each in risks]


def follow(server: Server, path: Path, attributes: str, **options: Any) -> None:
    where = f"{server.url}/{SUFFIX}?{attributes}?sub"
    with Syncrepl(f"{path}/", Recorder(), REFRESH_ONLY, where, **options) as client:
        client.run()


def examined(server: Server, attributes: str) -> Finding | None:
    findings = doctor.examine(f"{server.url}/{SUFFIX}?{attributes}?sub")
    return {each.subject: each for each in findings}.get("unreported")


@pytest.mark.parametrize(
    ("overlay", "attributes", "said"),
    [
        ("overlay memberof", "uid,memberOf", "memberOf (overlay memberof)"),
        ("overlay memberof", "*,+", "memberOf (overlay memberof)"),
        ("overlay memberof", "+,cn", "memberOf (overlay memberof)"),
        ("overlay dynlist", "memberof", "memberOf (overlay dynlist)"),
        (REFINT, "cn,member", "member (overlay refint)"),
        (REFINT, "*", "member, uniqueMember, manager, owner"),
        ("overlay valsort", "hasSubordinates", "hasSubordinates (derived from other entries)"),
    ],
)
def test_who_asks_for_them_is_warned(
    overlay: str,
    attributes: str,
    said: str,
    run_server: RunServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = slapd(run_server, overlay)
    follow(server, tmp_path, attributes)
    [warning] = warnings(caplog)
    assert said in warning
    assert "reconcile_every" in warning
    finding = examined(server, attributes)
    assert finding is not None
    assert finding.verdict is Verdict.WARNING
    assert said in finding.found
    assert "reconcile_every" in finding.advice.text
    caplog.clear()
    follow(server, tmp_path, attributes, reconcile_every=3600)
    assert warnings(caplog) == []  # it has seen to it


@pytest.mark.parametrize("attributes", ["uid,cn", "*", "+", "*,+", "1.1"])
def test_others_are_not(
    attributes: str, run_server: RunServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = slapd(run_server)
    follow(server, tmp_path, attributes)
    assert warnings(caplog) == []
    assert examined(server, attributes) is None


def test_a_module_that_is_loaded_and_not_used(
    run_server: RunServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who may read the configuration is not warned for nothing."""
    readable = "moduleload refint\ndatabase config\naccess to * by * read"
    server = slapd(run_server, "overlay memberof", config=readable)
    follow(server, tmp_path, "*")
    assert warnings(caplog) == []
    assert examined(server, "*") is None
    finding = examined(server, "*,memberOf")
    assert finding is not None
    assert finding.found.endswith("memberOf (overlay memberof)")


def test_a_schema_that_nobody_may_read(
    run_server: RunServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hidden = 'access to dn.base="cn=Subschema" by * none\naccess to * by * read'
    server = slapd(run_server, "overlay memberof", config=hidden)
    follow(server, tmp_path, "uid,memberOf")
    assert "memberOf (made up by the server)" in warnings(caplog)[0]


def test_the_command_says_so(run_server: RunServer, tmp_path: Path) -> None:
    server = slapd(run_server, "overlay memberof")
    url = f"{server.url}/{SUFFIX}?uid,memberOf?sub"
    once = ["watch", "--once", "-d", str(tmp_path), url]
    done = run_command(*once)
    assert "does not report changes of memberOf (overlay memberof)" in done.err
    assert "does not report" in run_command(*once).err  # it goes on from the cookie
    assert "does not report" not in run_command(*once, "--reconcile-every", "1h").err
    assert "memberOf (overlay memberof)" in run_command("doctor", url).out


# --- 389-ds


def test_class_of_service(ds389: DS389, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ds389.reset()
    with ds389.connected() as connection:
        add(connection, person_dn(0), person(0))
        template = {"objectClass": [b"cosTemplate", b"extensibleObject"], "cn": [b"t"]}
        add(connection, f"cn=t,{SUFFIX}", {**template, "facsimileTelephoneNumber": [b"1"]})
        definition = {
            "objectClass": [
                b"top",
                b"ldapSubEntry",
                b"cosSuperDefinition",
                b"cosPointerDefinition",
            ],
            "cosTemplateDn": [f"cn=t,{SUFFIX}".encode()],
            "cosAttribute": [b"facsimileTelephoneNumber default"],
        }
        add(connection, f"cn=d,{SUFFIX}", definition)
        try:
            follow(ds389, tmp_path, "cn,facsimileTelephoneNumber")
            [warning] = warnings(caplog)
            assert "facsimileTelephoneNumber (Class of Service)" in warning
            caplog.clear()
            other = tmp_path / "other"
            other.mkdir()
            follow(ds389, other, "cn,mail")
            assert warnings(caplog) == []
            assert examined(ds389, "cn,mail") is None
            for each in ("*", "facsimileTelephoneNumber"):
                finding = examined(ds389, each)
                assert finding is not None
                assert "facsimileTelephoneNumber (Class of Service)" in finding.found
            finding = examined(ds389, "nsRole")
            assert finding is not None
            assert "nsRole (made up by the server)" in finding.found
        finally:
            connection.delete_s(f"cn=d,{SUFFIX}")


# --- what the overlay refint does is not reported


def group_and_person(server: Server) -> None:
    with server.connected() as connection:
        for number in (0, 1):
            try:
                add(connection, person_dn(number), person(number))
            except ldap.ALREADY_EXISTS:
                continue
        members = [person_dn(0).encode(), person_dn(1).encode()]
        add(connection, GROUP, {"objectClass": [b"groupOfNames"], "member": members})


def members(server: Server) -> list[bytes]:
    with server.connected() as connection:
        [(_, attrs)] = connection.search_s(GROUP, ldap.SCOPE_BASE)
    found: list[bytes] = attrs["member"]
    return found


def test_what_refint_changes_is_not_reported(run_server: RunServer, tmp_path: Path) -> None:
    server = slapd(run_server, REFINT)
    group_and_person(server)
    recorder, url = Recorder(), f"{server.url}/{SUFFIX}?member?sub"
    with refreshed(Syncrepl(f"{tmp_path}/", recorder, PERSIST, url)) as client:
        recorder.clear()
        with server.connected() as connection:
            connection.delete_s(person_dn(1))
        poll_until(client, recorder, "delete")
    while person_dn(1).encode() in members(server):
        pass  # slapd does it a little later
    with Syncrepl(f"{tmp_path}/", recorder, REFRESH_ONLY, url) as client:
        client.run()
        assert recorder.changes == [("delete", person_dn(1))]
        assert person_dn(1).encode() in dict(client.store.items())[GROUP]["member"]
        client.reconcile()
        client.run()
        assert recorder.changes[1:] == [("change", GROUP)]


def test_what_the_plug_in_of_389_ds_changes_is_reported(
    run_server: RunServer, tmp_path: Path
) -> None:
    server: DS389 = run_server(DS389)
    with server.connected() as connection:
        plugin = "cn=referential integrity postoperation,cn=plugins,cn=config"
        connection.modify_s(plugin, [(ldap.MOD_REPLACE, "nsslapd-pluginEnabled", b"on")])
    server.restart()
    group_and_person(server)
    recorder, url = Recorder(), f"{server.url}/{SUFFIX}?member?sub"
    with refreshed(Syncrepl(f"{tmp_path}/", recorder, PERSIST, url)) as client:
        recorder.clear()
        with server.connected() as connection:
            connection.delete_s(person_dn(1))
        poll_until(client, recorder, "change")
        assert sorted(recorder.changes) == [("change", GROUP), ("delete", person_dn(1))]
    assert members(server) == [person_dn(0).encode()]
