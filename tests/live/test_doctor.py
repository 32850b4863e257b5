# SPDX-License-Identifier: BSD-3-Clause
"""What the checks find at real servers, set up well and not so well."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any, Callable
from urllib.parse import quote

import ldap
import pytest

from syncrepl_client import exceptions
from syncrepl_client.doctor import Finding, Verdict, checks
from syncrepl_client.doctor import examination as doctor
from tests.conftest import missing_servers_skip
from tests.servers import DS389, Server, Slapd
from tests.servers.people import SUFFIX, people_entries, people_ldif, person, person_dn
from tests.servers.process import free_port

PEOPLE = 300
EVERYTHING = f"/{SUFFIX}??sub"


def examine(where: str, **arguments: Any) -> list[Finding]:
    return list(doctor.examine(where, **arguments))


def verdicts(findings: list[Finding]) -> dict[str, Verdict]:
    return {each.subject: each.verdict for each in findings}


def failures(findings: list[Finding]) -> list[str]:
    """The subjects of what does not work; each says what to do."""
    failed = [each for each in findings if each.verdict is Verdict.FAILURE]
    assert all(each.advice.text for each in failed)
    return [each.subject for each in failed]


def found(findings: list[Finding], subject: str) -> Finding:
    [finding] = [each for each in findings if each.subject == subject]
    return finding


def touch(server: Server, text: bytes = b"touched") -> None:
    with server.connected() as connection:
        connection.modify_s(person_dn(3), [(ldap.MOD_REPLACE, "description", [text])])


@pytest.fixture(scope="module")
def plain() -> Iterator[Slapd]:
    with missing_servers_skip(), Slapd(tls=True, ldif=people_ldif(PEOPLE)) as server:
        touch(server)
        yield server


def test_which_attributes_are_asked_for(plain: Slapd) -> None:
    for names in ("", "*", "cn,*", "*,+"):
        attributes = found(examine(f"{plain.url}/{SUFFIX}?{names}?sub"), "attributes")
        assert attributes.found == "all user attributes are asked for"
        assert "by name" in attributes.advice.text
    attributes = found(examine(f"{plain.url}/{SUFFIX}?cn,mail,+?sub"), "attributes")
    assert (attributes.found, attributes.advice.text) == ("asked for by name", "")


def complaints(server: Slapd) -> list[str]:
    """The log, without what slapd says if a connection ends while it looks at it."""
    return [line for line in server.log().splitlines() if "no connection!" not in line]


def test_a_server_that_is_set_up_well(run_server: Callable[..., Any]) -> None:
    server = run_server(Slapd, sessionlog=100, ldif=people_ldif(PEOPLE))
    touch(server)
    before = complaints(server)
    findings = examine(f"{server.url}{EVERYTHING}")
    assert complaints(server) == before
    assert set(verdicts(findings).values()) == {Verdict.OK, Verdict.INAPPLICABLE}
    assert found(findings, "session log").verdict is Verdict.OK
    assert found(findings, "limits").found == f"all entries came, {PEOPLE + 3} of them"
    assert found(findings, "bind").found == "anonymous"
    assert {each.server for each in findings} == {server.url}


def test_nothing_is_changed(plain: Slapd) -> None:
    def content() -> Any:
        with plain.connected() as connection:
            return connection.search_s(SUFFIX, ldap.SCOPE_SUBTREE, attrlist=["*", "+"])

    before = content()
    examine(f"{plain.url}{EVERYTHING}")
    assert content() == before


def test_no_session_log(plain: Slapd) -> None:
    findings = examine(f"{plain.url}{EVERYTHING}")
    assert failures(findings) == []
    log = found(findings, "session log")
    assert log.verdict is Verdict.UNKNOWN  # an empty one looks the same
    assert "olcSpSessionlog: 10000" in log.advice.commands
    assert "there is nothing to do" in log.advice.text


def test_several_providers_have_several_csns(run_server: Callable[..., Any]) -> None:
    """What slapadd loads has the id 000, what is changed the server's: the newest one counts."""
    server = run_server(Slapd, sessionlog=100, server_id=1, ldif=people_ldif(5))
    touch(server)
    assert found(examine(f"{server.url}{EVERYTHING}"), "session log").verdict is Verdict.OK


def test_no_syncprov(run_server: Callable[..., Any]) -> None:
    server = run_server(Slapd, syncprov=False)
    findings = examine(f"{server.url}{EVERYTHING}")
    assert failures(findings) == ["refresh"]
    assert "olcOverlay: syncprov" in found(findings, "refresh").advice.commands
    assert "session log" not in verdicts(findings)


def test_a_size_limit(run_server: Callable[..., Any]) -> None:
    server = run_server(Slapd, sizelimit=50, ldif=people_ldif(PEOPLE))
    findings = examine(f"{server.url}{EVERYTHING}")
    assert "limits" in failures(findings)
    limits = found(findings, "limits")
    assert "after 50 entries: Size limit exceeded" in limits.found
    assert "olcLimits: {0}anonymous size=unlimited time=unlimited" in limits.advice.commands
    assert found(findings, "pages").verdict is Verdict.WARNING


def test_a_size_limit_that_pages_get_around(run_server: Callable[..., Any]) -> None:
    server = run_server(Slapd, sizelimit=50, paged_total="unlimited", ldif=people_ldif(PEOPLE))
    findings = examine(f"{server.url}{EVERYTHING}")
    assert "limits" in failures(findings)
    assert found(findings, "pages").verdict is Verdict.OK


def test_a_large_directory_is_not_read_to_its_end(
    plain: Slapd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "MOST_ENTRIES", 100)
    findings = examine(f"{plain.url}{EVERYTHING}")
    for subject in ("limits", "pages"):
        assert found(findings, subject).found == "100 entries came; there are more"


def test_starttls(plain: Slapd) -> None:
    trusted = {ldap.OPT_X_TLS_CACERTFILE: plain.ca_file}
    findings = examine(f"{plain.url}{EVERYTHING}", starttls=True, options=trusted)
    assert found(findings, "TLS").verdict is Verdict.OK
    assert "the certificate is valid" in found(findings, "TLS").found

    findings = examine(f"{plain.url}{EVERYTHING}", starttls=True)
    assert verdicts(findings) == {"network": Verdict.OK, "TLS": Verdict.FAILURE}
    assert failures(findings) == ["TLS"]


def test_any_certificate(plain: Slapd) -> None:
    careless = {ldap.OPT_X_TLS_REQUIRE_CERT: ldap.OPT_X_TLS_NEVER}
    tls = found(examine(f"{plain.ldaps_url}{EVERYTHING}", options=careless), "TLS")
    assert tls.verdict is Verdict.WARNING
    assert "with any certificate" in tls.found


def test_ldaps(plain: Slapd) -> None:
    trusted = {ldap.OPT_X_TLS_CACERTFILE: plain.ca_file}
    findings = examine(f"{plain.ldaps_url}{EVERYTHING}", options=trusted)
    assert found(findings, "TLS").verdict is Verdict.OK
    assert failures(examine(f"{plain.ldaps_url}{EVERYTHING}")) == ["TLS"]


def test_starttls_where_there_is_none(run_server: Callable[..., Any]) -> None:
    server = run_server(Slapd)
    assert failures(examine(f"{server.url}{EVERYTHING}", starttls=True)) == ["TLS"]


def test_whom_it_is_bound_as(plain: Slapd) -> None:
    who = f"{plain.url}{EVERYTHING}??bindname={quote(plain.root_dn, safe='=')}"
    assert found(examine(who, password=plain.root_pw), "bind").found == f"as dn:{plain.root_dn}"
    wrong = examine(who, password="not-the-password")
    assert "not-the-password" not in repr(wrong)
    assert failures(wrong) == ["bind"]
    assert "Invalid credentials" in wrong[-1].found


def test_the_bind_name_is_in_the_commands(run_server: Callable[..., Any]) -> None:
    server = run_server(Slapd, sizelimit=2)
    who = f"{server.url}{EVERYTHING}??bindname={quote(person_dn(1), safe='=')}"
    with server.connected() as connection:
        name, attrs = list(people_entries(2))[1]
        connection.add_s(name, [*attrs.items(), ("userPassword", [b"pw"])])
    limits = found(examine(who, password="pw"), "limits")
    assert limits.verdict is Verdict.FAILURE
    assert f'olcLimits: {{0}}dn.exact="{person_dn(1)}" size=unlimited' in limits.advice.commands[4]


def test_the_context_need_not_be_readable(run_server: Callable[..., Any]) -> None:
    hidden = "access to attrs=contextCSN by * none"
    server = run_server(Slapd, sessionlog=100, extra_database=hidden, ldif=people_ldif(5))
    touch(server)
    findings = examine(f"{server.url}{EVERYTHING}")
    assert found(findings, "session log").verdict is Verdict.OK


@pytest.mark.parametrize(
    ("setting", "advice"), [("security ssf=64", "StartTLS"), ("require authc", "Bind as a user")]
)
def test_a_server_that_wants_more(
    run_server: Callable[..., Any], setting: str, advice: str
) -> None:
    server = run_server(Slapd, tls=True, extra_config=setting)
    findings = examine(f"{server.url}{EVERYTHING}")
    assert failures(findings)
    assert findings[-1].verdict is Verdict.FAILURE
    assert advice in findings[-1].advice.text.replace("starttls", "StartTLS")
    trusted = {ldap.OPT_X_TLS_CACERTFILE: server.ca_file}
    who = f"{server.url}{EVERYTHING}??bindname={quote(server.root_dn, safe='=')}"
    more = examine(who, password=server.root_pw, starttls=True, options=trusted)
    assert failures(more) == []


def test_a_base_that_is_not_there(plain: Slapd) -> None:
    findings = examine(f"{plain.url}/ou=none,{SUFFIX}??sub")
    assert failures(findings) == ["base"]
    assert findings[-1].subject == "base"


def test_a_filter_that_matches_nothing(plain: Slapd) -> None:
    findings = examine(f"{plain.url}{EVERYTHING}?(uid=nobody)")
    assert found(findings, "refresh").verdict is Verdict.WARNING
    assert found(findings, "refresh").found == "the answer is empty"


def test_arguments_that_can_not_be_used() -> None:
    with pytest.raises(exceptions.LDAPUrlError):
        doctor.examine("http://here/dc=x")
    with pytest.raises(exceptions.LDAPUrlError, match="without a password"):
        doctor.examine(f"ldap://here{EVERYTHING}??bindname=cn=x")


def test_a_filter_that_is_none(plain: Slapd) -> None:
    with pytest.raises(exceptions.ConfigurationError, match="not a search filter"):
        examine(f"{plain.url}{EVERYTHING}?(uid=")


def test_servers_that_are_not_there(plain: Slapd) -> None:
    dead = f"ldap://127.0.0.1:{free_port()}"
    servers = (dead, "ldap://nobody.invalid", "ldapi://%2Fnowhere%2Fldapi", plain.url)
    first, *others = servers
    findings = examine(" ".join([f"{first}{EVERYTHING}", *others]))
    by_server = {each: [f for f in findings if f.server == each] for each in servers}
    assert [len(by_server[each]) for each in servers[:3]] == [1, 1, 1]
    assert all(failures(by_server[each]) == ["network"] for each in servers[:3])
    assert "Connection refused" in by_server[dead][0].found
    assert failures(by_server[plain.url]) == []


def test_somebody_who_speaks_no_ldap() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        where = f"ldap://127.0.0.1:{listener.getsockname()[1]}{EVERYTHING}"
        findings = examine(where, options={ldap.OPT_TIMEOUT: 0.3})
    assert verdicts(findings) == {"network": Verdict.FAILURE}
    assert "no LDAP" in findings[-1].found


def test_389_ds(ds389: DS389) -> None:
    ds389.reset()
    findings = examine(f"{ds389.url}{EVERYTHING}")
    assert failures(findings) == []
    assert found(findings, "change log").verdict is Verdict.OK
    assert found(findings, "deletes").verdict is Verdict.UNKNOWN
    assert "session log" not in verdicts(findings)

    manager = f"{EVERYTHING}?(ou=*)?bindname=cn=Directory%20Manager"
    findings = examine(f"{ds389.url}{manager}", password=ds389.root_pw)
    assert found(findings, "deletes").verdict is Verdict.OK
    assert found(findings, "filter").verdict is Verdict.WARNING
    assert "as dn: cn=directory manager" in found(findings, "bind").found


class Busy:
    """Changes an entry of a server all the time."""

    def __init__(self, server: DS389) -> None:
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._change)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _change(self) -> None:
        number = 0
        while not self._over.wait(0.05):
            number += 1
            touch(self._server, b"%d" % number)


@pytest.mark.parametrize("manager", [True, False])
def test_what_the_persist_stage_of_389_ds_sends(manager: bool, ds389: DS389) -> None:
    ds389.reset()
    with ds389.connected() as connection:
        attrs = {**person(3), "userPassword": [b"not for anybody"]}
        connection.add_s(person_dn(3), list(attrs.items()))
    bind, password = ("?bindname=cn=Directory%20Manager", ds389.root_pw) if manager else ("", None)
    where = f"{ds389.url}{EVERYTHING}?(objectClass=*){bind}"
    with Busy(ds389):
        persist = found(examine(where, password=password), "persist stage")
    assert persist.verdict is (Verdict.OK if manager else Verdict.WARNING)
    assert ("trust_persist" in persist.advice.text) is not manager
    persist = found(examine(where, password=password), "persist stage")
    assert persist.verdict is Verdict.UNKNOWN


def test_a_schema_that_nobody_may_read(run_server: Callable[..., Any]) -> None:
    hidden = 'access to dn.base="cn=Subschema" by * none\naccess to * by * read'
    server = run_server(Slapd, sessionlog=100, extra_config=hidden)
    schema = found(examine(f"{server.url}{EVERYTHING}"), "schema")
    assert schema.verdict is Verdict.WARNING
    assert schema.advice.commands == (
        'access to dn.base="cn=Subschema" by anonymous read by * break',
    )


def test_389_ds_as_it_is_installed(run_server: Callable[..., Any]) -> None:
    server = run_server(DS389, anyone_syncs=False)
    findings = examine(f"{server.url}{EVERYTHING}")
    assert failures(findings) == ["refresh"]
    commands = found(findings, "refresh").advice.commands
    assert any("Content Synchronization" in line for line in commands)
