# SPDX-License-Identifier: BSD-3-Clause
"""What the doctor finds at servers as no installation of ours is."""

from __future__ import annotations

from typing import Any

import pytest

from syncrepl_client.doctor import Finding, Verdict, probes
from syncrepl_client.doctor import examination as doctor
from syncrepl_client.network.connection import Connection
from syncrepl_client.network.server import ServerFacts
from syncrepl_client.protocol.messages import Message
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.servers import scripted
from tests.servers.scripted import (
    NO_SUCH_OBJECT,
    PROTOCOL_ERROR,
    UNWILLING,
    Close,
    Pause,
    Provider,
    bare_entry,
    done,
    idset,
    page_end,
    refresh_delete,
    refresh_present,
    uuid,
)

pytestmark = pytest.mark.usefixtures("watchdog")

BASE = "dc=example,dc=com"
INSUFFICIENT_ACCESS, UNAVAILABLE, UNAVAILABLE_CRITICAL_EXTENSION = 50, 52, 12
STRONGER_AUTH_REQUIRED = 8
CSN = "20261125043130.000000Z#000000#001#000000"
u = scripted.person


def provider(*scripts: Any, csn: str | None = None, **settings: Any) -> Provider:
    attrs = {"objectClass": ["domain"], "modifyTimestamp": ["20261125043130Z"]}
    if csn is not None:
        settings["context"] = b"rid=000,sid=001,csn=" + csn.encode()
    settings.setdefault("entries", {BASE: bare_entry(BASE, attrs)})
    made = Provider(*scripts, **settings)
    made.play_page(page_end())
    return made


def examine(made: Provider, extensions: str = "") -> dict[str, Finding]:
    with made:
        found = list(doctor.examine(f"{made.url}/{BASE}??sub{extensions}"))
    assert len({each.subject for each in found}) == len(found)
    return {each.subject: each for each in found}


def said(found: dict[str, Finding], subject: str) -> tuple[Verdict, str]:
    return found[subject].verdict, found[subject].found


def test_a_kind_that_is_not_known() -> None:
    found = examine(provider([u(1)], kind="other", knows_cancel=False))
    assert found["server"].verdict is Verdict.WARNING
    assert found["bind"].verdict is Verdict.UNKNOWN
    assert said(found, "refresh") == (Verdict.OK, "begun, and canceled: entries come")
    assert found["Cancel"].verdict is Verdict.INAPPLICABLE
    assert "session log" not in found
    assert "change log" not in found


@pytest.mark.parametrize(
    ("kind", "name", "instead"),
    [
        ("apacheds", "ApacheDS", "OpenLDAP"),
        ("samba", "Samba as an Active Directory domain controller", "DirSync"),
        ("active directory", "Active Directory", "DirSync"),
    ],
)
def test_servers_that_can_not_be_followed(kind: str, name: str, instead: str) -> None:
    made = provider([u(1)], kind=kind)
    found = examine(made)
    assert list(found.values())[-1] == found["server"]
    assert found["server"].verdict is Verdict.FAILURE
    assert found["server"].found.startswith(f"{name}, which can't be followed: ")
    assert instead in found["server"].advice.text
    assert "syncprov" not in str(found)
    assert made.searches == []


LDAPJS = (PROTOCOL_ERROR, f"{scripted.WHO_AM_I} not supported")
LDAPTOR = (PROTOCOL_ERROR, f"Unknown extended request: {scripted.WHO_AM_I}")
NET_LDAP_SERVER = (UNWILLING, "extended operation is not supported by MyServer")


@pytest.mark.parametrize(
    ("refusal", "settings", "name"),
    [
        (LDAPJS, {"root_dse_result": NO_SUCH_OBJECT}, "ldapjs"),
        (LDAPTOR, {"kind": "ldaptor"}, "ldaptor"),
        # Its author answers searches for the root DSE as all others, or not at all.
        (NET_LDAP_SERVER, {"root_dse_result": NO_SUCH_OBJECT}, "Net::LDAP::Server"),
    ],
)
def test_programs_that_can_not_be_followed(
    refusal: tuple[int, str], settings: dict[str, Any], name: str
) -> None:
    """Two of them ignore even a critical control, and list none in their root DSE."""
    made = provider([bare_entry(BASE, {"objectClass": ["domain"]}), done(sync_done=False)],
                    unknown_operation=refusal, **settings)  # fmt: skip
    found = examine(made)
    assert list(found.values())[-1] == found["server"]
    assert found["server"].verdict is Verdict.FAILURE
    assert f"a program made with {name} " in found["server"].found
    assert "syncprov" not in str(found)
    assert made.searches == []


def test_who_lets_nobody_in_is_named_all_the_same() -> None:
    """Active Directory takes no simple bind without TLS, Net::LDAP::Server none at all."""
    settings: dict[str, Any] = {"bind_result": STRONGER_AUTH_REQUIRED, "lets_nobody_in": True}
    found = examine(provider(kind="samba", **settings), "??bindname=cn=x,X-BINDPW=pw")
    assert "Samba" in found["server"].found
    assert found["bind"].verdict is Verdict.FAILURE
    found = examine(provider(**settings), "??bindname=cn=x,X-BINDPW=pw")
    assert "server" not in found
    text = "bind operation is not supported by Net::LDAP::Server"
    made = provider(bind_result=UNWILLING, bind_text=text)
    found = examine(made)
    assert "Net::LDAP::Server" in found["server"].found
    assert found["bind"].verdict is Verdict.FAILURE


@pytest.mark.parametrize(
    ("base", "script"),
    [
        (f"cn=users,cn=compat,{BASE}", [done(sync_done=False)]),
        (BASE, [u(1), bare_entry(f"cn=x,cn=users,cn=compat,{BASE}", {"cn": ["x"]})]),
        (BASE, [bare_entry(f"cn=x,cn=users,CN=compat,{BASE}", {"cn": ["x"]})]),
    ],
)
def test_what_slapi_nis_makes_up(base: str, script: list[Any]) -> None:
    made = provider(
        script[-1:], kind="389", entries={base: bare_entry(base, {"objectClass": ["top"]})}
    )
    with made:
        found = {each.subject: each for each in doctor.examine(f"{made.url}/{base}??sub")}
    assert found["refresh"].verdict is Verdict.FAILURE
    assert "slapi-nis" in found["refresh"].advice.text
    assert found["refresh"].advice.commands == ()


def test_a_proxy_before_another_kind() -> None:
    attrs = {"objectClass": ["domain"], "nsUniqueId": ["dd27f646-eb5f11f1-9513db79-77b8a27a"]}
    found = examine(provider([u(1)], entries={BASE: bare_entry(BASE, attrs)}))
    assert found["proxy"].verdict is Verdict.WARNING
    assert "389-ds" in found["proxy"].found
    assert "session log" not in found
    assert "contextCSN" not in found


def test_an_unknown_kind_without_synchronization_is_not_told_of_syncprov() -> None:
    found = examine(provider(kind="other", knows_sync=False))
    assert found["sync control"].verdict is Verdict.FAILURE
    assert found["sync control"].advice.commands == ()
    assert "RFC 4533" in found["sync control"].advice.text


def test_a_root_dse_that_can_not_be_read() -> None:
    found = examine(provider([u(1)], root_dse_result=INSUFFICIENT_ACCESS))
    assert said(found, "server") == (Verdict.FAILURE, "its root DSE can't be read")
    assert found["sync control"].verdict is Verdict.UNKNOWN
    assert found["refresh"].verdict is Verdict.OK


def test_a_bind_that_comes_to_nothing() -> None:
    found = examine(provider([u(1)], identity=""), "??bindname=cn=x,X-BINDPW=pw")
    assert said(found, "bind") == (Verdict.FAILURE, "anonymous, not cn=x")
    assert examine(provider([u(1)], identity=""))["bind"].found == "anonymous"


def test_389_ds_that_shows_nothing() -> None:
    found = examine(provider([u(1)], kind="389"), "?(uid=*)")
    for subject in ("change log", "cn=monitor", "filter"):
        assert found[subject].verdict is Verdict.WARNING, subject
        assert found[subject].advice.text
    assert found["UUIDs"].verdict is Verdict.INAPPLICABLE


@pytest.mark.parametrize("names_uuids", [True, False])
def test_389_ds_and_the_uuids_of_deletes(names_uuids: bool) -> None:
    attrs = {"changeNumber": ["7"], **({"targetUniqueId": ["x"]} if names_uuids else {})}
    change = "changenumber=7,cn=changelog"
    entries = {
        BASE: bare_entry(BASE, {"objectClass": ["domain"]}),
        change: bare_entry(change, attrs),
    }
    found = examine(provider([u(1)], kind="389", last_change=7, entries=entries))
    assert found["deletes"].verdict is (Verdict.OK if names_uuids else Verdict.FAILURE)


def test_a_control_that_is_ignored() -> None:
    found = examine(provider([done(sync_done=False)], csn=CSN))
    assert found["refresh"].verdict is Verdict.FAILURE
    assert "ignored" in found["refresh"].found
    assert "session log" not in found


def test_no_synchronization_at_all() -> None:
    made = provider(knows_sync=False)
    found = examine(made)
    assert found["sync control"].verdict is Verdict.FAILURE
    assert "refresh" not in found
    assert made.searches == []


def test_an_answer_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    first_message = probes.first_message

    def soon(connection: Connection, facts: ServerFacts, seconds: float) -> Message | None:
        return first_message(connection, facts, 0.2)

    monkeypatch.setattr(probes, "first_message", soon)
    monkeypatch.setattr(probes, "_CANCEL_SECONDS", 0.2)
    found = examine(provider([Pause()]))
    assert found["refresh"].verdict is Verdict.WARNING
    assert "nothing came" in found["refresh"].found


def test_a_connection_that_is_lost() -> None:
    found = examine(provider([Close()]))
    last = list(found.values())[-1]
    assert (last.subject, last.verdict) == ("refresh", Verdict.FAILURE)
    assert "the connection was lost" in last.found


def test_a_malformed_answer() -> None:
    bad = scripted.intermediate(scripted.SYNC_INFO, b"\xff\xff")
    found = examine(provider([bad]))
    assert found["refresh"].verdict is Verdict.FAILURE
    assert "malformed" in found["refresh"].found
    assert found["pages"].verdict is Verdict.OK


def test_another_error() -> None:
    found = examine(provider([done(UNAVAILABLE, sync_done=False)]))
    assert found["refresh"].verdict is Verdict.FAILURE
    assert found["refresh"].advice.text.startswith("Try again")


def test_no_pages() -> None:
    made = Provider([u(1)], entries={BASE: bare_entry(BASE, {"objectClass": ["domain"]})})
    made.play_page(page_end(None, UNAVAILABLE_CRITICAL_EXTENSION))
    found = examine(made)
    assert said(found, "pages") == (Verdict.WARNING, "the server has no paged results")


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ([idset([uuid(9)], deletes=True), Pause()], Verdict.OK),
        ([refresh_delete(), Pause()], Verdict.OK),
        ([u(1), u(2), done(deletes=True)], Verdict.OK),
        ([idset([uuid(9)]), Pause()], Verdict.UNKNOWN),
        ([refresh_present(), Pause()], Verdict.UNKNOWN),
        ([u(1), done()], Verdict.UNKNOWN),
        ([*map(u, range(100)), Pause()], Verdict.UNKNOWN),
        ([done(sync_done=False)], Verdict.UNKNOWN),
        ([done(scripted.REFRESH_REQUIRED, sync_done=False)], Verdict.UNKNOWN),
        ([done(UNAVAILABLE, sync_done=False)], Verdict.FAILURE),
    ],
)
def test_how_a_resume_begins(answer: list[Any], verdict: Verdict) -> None:
    made = provider([u(1), Pause()], answer, csn=CSN)
    found = examine(made)
    assert found["session log"].verdict is verdict
    cookies = [search.cookie for search in made.searches]
    assert cookies[:2] == [None, b"rid=000,csn=20261125043129.999999Z#000000#001#000000"]


def test_a_csn_of_another_form() -> None:
    found = examine(provider([u(1)], csn="20261125043130Z#000000#001#000000"))
    assert found["session log"].verdict is Verdict.UNKNOWN
    assert found["session log"].advice.commands


def test_a_hostile_server_has_nothing_printed(capsys: pytest.CaptureFixture[str]) -> None:
    from syncrepl_client.cli.output.report import Report

    finding = Finding("ldap://here", "refresh", Verdict.FAILURE, "\x1b[31mred\x07")
    Report(10, 14).row(finding.verdict.value, finding.subject, finding.found)
    assert capsys.readouterr().out == "failure   refresh       \\x1b[31mred\\x07\n"
