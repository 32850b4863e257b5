# SPDX-License-Identifier: BSD-3-Clause
"""What a connection is to be like, and what is said where it is not safe."""

from __future__ import annotations

from typing import Any

import ldap
import pytest

from syncrepl_client.network import transport
from syncrepl_client.network.credentials import Credentials
from syncrepl_client.network.transport import (
    effective_options,
    is_local,
    most_telling,
    warn_of_risks,
)
from syncrepl_client.url import parse

SUITE, MINIMUM = ldap.OPT_X_TLS_CIPHER_SUITE, ldap.OPT_X_TLS_PROTOCOL_MIN
TLS_1_0, TLS_1_3 = ldap.OPT_X_TLS_PROTOCOL_TLS1_0, ldap.OPT_X_TLS_PROTOCOL_TLS1_3
CHECKED, SAN = ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_REQUIRE_SAN


def use_tls_package(
    monkeypatch: pytest.MonkeyPatch, package: str, suite: str | None = None
) -> None:
    found = {ldap.OPT_X_TLS_PACKAGE: package, SUITE: suite}
    monkeypatch.setattr(ldap, "get_option", found.__getitem__)


def test_defaults() -> None:
    options = effective_options({})
    assert options[CHECKED] == ldap.OPT_X_TLS_DEMAND
    assert options[ldap.OPT_X_TLS_REQUIRE_SAN] == ldap.OPT_X_TLS_TRY
    assert options[MINIMUM] == ldap.OPT_X_TLS_PROTOCOL_TLS1_2
    assert options[ldap.OPT_X_KEEPALIVE_IDLE] == 30
    assert options[ldap.OPT_TCP_USER_TIMEOUT] == 60_000
    assert options[ldap.OPT_DEREF] == ldap.DEREF_NEVER


def test_options_go_over_the_defaults() -> None:
    mine = {CHECKED: ldap.OPT_X_TLS_NEVER, ldap.OPT_X_KEEPALIVE_IDLE: 0, ldap.OPT_SIZELIMIT: 5}
    options = effective_options(mine)
    assert {option: options[option] for option in mine} == mine
    assert effective_options({})[CHECKED] == ldap.OPT_X_TLS_DEMAND  # nothing stuck


OLD = ":-VERS-TLS1.0:-VERS-TLS1.1"


@pytest.mark.parametrize(
    ("options", "configured", "suite"),
    [
        ({}, None, f"NORMAL:%PROFILE_MEDIUM{OLD}"),
        ({}, "SECURE256", f"SECURE256{OLD}"),
        ({SUITE: "SECURE192"}, "SECURE256", f"SECURE192{OLD}"),
        ({MINIMUM: TLS_1_3}, None, f"NORMAL:%PROFILE_MEDIUM{OLD}:-VERS-TLS1.2"),
        ({MINIMUM: TLS_1_0}, None, None),
        ({MINIMUM: TLS_1_0, SUITE: "LEGACY"}, None, "LEGACY"),
        ({MINIMUM: "new"}, None, f"NORMAL:%PROFILE_MEDIUM{OLD}"),  # set_option() refuses it
        ({SUITE: 3}, None, 3),
    ],
)
def test_gnutls_is_told_in_its_own_words(
    options: dict[int, Any], configured: str | None, suite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tls_package(monkeypatch, "GnuTLS", configured)
    assert effective_options(options).get(SUITE) == suite


def test_openssl_obeys_the_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    use_tls_package(monkeypatch, "OpenSSL")
    assert SUITE not in effective_options({})
    assert effective_options({SUITE: "HIGH"})[SUITE] == "HIGH"


@pytest.mark.parametrize(
    ("server", "local"),
    [
        ("ldapi://", True),
        ("ldapi://%2Frun%2Fldapi", True),
        ("ldap://127.0.0.1", True),
        ("ldap://127.3.2.1:3890", True),
        ("ldap://[::1]:389", True),
        ("ldap://localhost:389", True),
        ("ldap://LOCALHOST", True),
        ("ldap://localhost.example.com", False),
        ("ldap://127.0.0.1.example.com", False),
        ("ldap://192.0.2.1", False),
        ("ldap://[2001:db8::1]", False),
        ("ldap://[::", False),
        ("ldap://0.0.0.0", False),
        ("ldap://:389", False),
    ],
)
def test_is_local(server: str, local: bool) -> None:
    assert is_local(server) is local


SIMPLE = "/dc=x??sub??bindname=cn=a,X-BINDPW=tell-tale"


@pytest.mark.parametrize(
    ("url", "starttls", "options", "warnings"),
    [
        (f"ldap://h{SIMPLE}", False, {}, ["in clear to ldap://h:"]),
        (f"ldap://h{SIMPLE} ldaps://i ldap://j ldapi:// ldap://[::1]", False, {},
         ["in clear to ldap://h ldap://j:"]),
        (f"ldap://h{SIMPLE}", True, {}, []),
        (f"ldaps://h{SIMPLE}", False, {}, []),
        (f"ldap://127.0.0.1{SIMPLE}", False, {}, []),
        (f"ldapi://{SIMPLE}", False, {}, []),
        ("ldap://h/dc=x??sub", False, {}, []),
        ("ldap://h/dc=x??sub??bindname=EXTERNAL", False, {}, []),
        ("ldap://h/dc=x??sub", False, {CHECKED: ldap.OPT_X_TLS_NEVER}, []),
        ("ldap://h/dc=x??sub", True, {CHECKED: ldap.OPT_X_TLS_NEVER}, ["any certificate"]),
        ("ldap://h/dc=x??sub ldaps://i", False, {CHECKED: ldap.OPT_X_TLS_ALLOW}, ["any certif"]),
        ("ldaps://h/dc=x??sub", False, {CHECKED: ldap.OPT_X_TLS_HARD}, []),
        ("ldaps://h/dc=x??sub", False, {CHECKED: ldap.OPT_X_TLS_TRY}, []),
        ("ldaps://h/dc=x??sub", False, {SAN: ldap.OPT_X_TLS_ALLOW}, ["common name"]),
        ("ldap://h/dc=x??sub", True, {SAN: ldap.OPT_X_TLS_NEVER}, ["common name"]),
        ("ldap://h/dc=x??sub", False, {SAN: ldap.OPT_X_TLS_NEVER}, []),
        ("ldaps://h/dc=x??sub", False, {SAN: ldap.OPT_X_TLS_HARD}, []),
        ("ldaps://h/dc=x??sub", False, {SAN: 0, CHECKED: ldap.OPT_X_TLS_NEVER}, ["any certif"]),
        ("ldaps://h/dc=x??sub", False, {MINIMUM: TLS_1_0}, ["before TLS 1.2"]),
        ("ldaps://h/dc=x??sub", False, {MINIMUM: TLS_1_3}, []),
        ("ldap://h/dc=x??sub", False, {MINIMUM: TLS_1_0}, []),
        (f"ldap://h{SIMPLE} ldaps://i", False, {CHECKED: 0, MINIMUM: 0},
         ["any certificate", "before TLS 1.2", "in clear to ldap://h:"]),
    ],
)  # fmt: skip
def test_warnings(
    url: str,
    starttls: bool,
    options: dict[int, Any],
    warnings: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    parsed = parse(url)
    warn_of_risks(parsed, Credentials.choose(parsed), starttls=starttls, options=options)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == len(warnings)
    for message, expected in zip(said, warnings):
        assert expected in message
    assert "tell-tale" not in caplog.text


# --- which error is raised for several servers


@pytest.mark.parametrize(
    ("errors", "chosen"),
    [
        ([ldap.SERVER_DOWN, ldap.TIMEOUT], ldap.TIMEOUT),
        ([ldap.TIMEOUT, ldap.SERVER_DOWN], ldap.SERVER_DOWN),
        ([ldap.BUSY, ldap.SERVER_DOWN, ldap.CONNECT_ERROR], ldap.BUSY),
        ([ldap.BUSY, ldap.UNAVAILABLE, ldap.SERVER_DOWN], ldap.UNAVAILABLE),
        ([ldap.INVALID_CREDENTIALS, ldap.BUSY, ldap.SERVER_DOWN], ldap.INVALID_CREDENTIALS),
    ],
)
def test_the_most_telling_error(errors: list[Any], chosen: type[ldap.LDAPError]) -> None:
    failures = [
        (f"ldap://{number}", kind({"desc": f"d{number}", "info": f"i{number}"}))
        for number, kind in enumerate(errors)
    ]
    error = most_telling(failures)
    assert type(error) is chosen
    said = error.args[0]["info"]
    assert said.startswith(f"none of {len(errors)} servers")
    for number, _ in enumerate(errors):
        assert f"ldap://{number} said: d{number}, i{number}" in said


def test_the_error_of_one_server_stays_as_it_is() -> None:
    error = ldap.BUSY({"desc": "Busy"})
    assert most_telling([("ldap://h", error)]) is error
    assert error.args == ({"desc": "Busy"},)


def test_errors_without_details() -> None:
    error = most_telling([("ldap://a", ldap.BUSY()), ("ldap://b", ldap.BUSY("x"))])
    assert isinstance(error, ldap.BUSY)


def test_hints() -> None:
    details: dict[str, Any] = {"info": "No worthy mechs found"}
    transport.hint_at_mechanism(ldap.AUTH_UNKNOWN(details), "SCRAM-SHA-1", "ldap://h")
    assert details["info"].startswith("No worthy mechs found; libsasl on this machine has no")
    details = {}
    transport.hint_at_mechanism(ldap.AUTH_UNKNOWN(details), "SCRAM-SHA-1-PLUS", "ldap://h")
    assert "channel binding" in details["info"]
    details = {}
    transport.hint_at_mechanism(ldap.AUTH_METHOD_NOT_SUPPORTED(details), "GSSAPI", "ldap://h")
    assert (
        details["info"] == "the server at ldap://h has no SASL mechanism GSSAPI for this connection"
    )
