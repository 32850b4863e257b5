# SPDX-License-Identifier: BSD-3-Clause
"""What a password policy says at the bind: slapd's overlay ppolicy."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import ldap
import pytest

from syncrepl_client import Syncrepl, doctor
from syncrepl_client.engine.retry import retriable
from tests.conftest import missing_servers_skip
from tests.faults.recorder import REFRESH_ONLY, Recorder
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.servers import Slapd
from tests.servers.people import person, person_dn

pytestmark = pytest.mark.usefixtures("watchdog")

PASSWORD = "user-secret"
POLICY = "cn=policy,dc=example,dc=com"
LONG_AGO = b"20200101000000Z"


@pytest.fixture(scope="module")
def server() -> Iterator[Slapd]:
    overlay = f"overlay ppolicy\nppolicy_default {POLICY}\nppolicy_use_lockout"
    with (
        missing_servers_skip(),
        Slapd(extra_config="moduleload ppolicy", extra_database=overlay) as slapd,
        slapd.connected() as connection,
    ):
        policy = {
            "objectClass": [b"device", b"pwdPolicy"],
            "cn": [b"policy"],
            "pwdAttribute": [b"userPassword"],
            "pwdMaxFailure": [b"3"],
            "pwdLockout": [b"TRUE"],
            "pwdMaxAge": [b"864000"],
            "pwdExpireWarning": [b"864000"],
        }
        connection.add_s(POLICY, list(policy.items()))
        yield slapd


def user(server: Slapd, number: int, **policy: bytes) -> str:
    """Add a person with a password, as the policy's attributes say."""
    with server.connected() as connection:
        attrs = {**person(number), "userPassword": [PASSWORD.encode()]}
        connection.add_s(person_dn(number), list(attrs.items()))
        changes = [(ldap.MOD_REPLACE, name, [value]) for name, value in policy.items()]
        if changes:
            connection.modify_ext_s(  # type: ignore[attr-defined]
                person_dn(number), changes, serverctrls=[RELAX]
            )
    return person_dn(number)


RELAX = ldap.controls.RequestControl("1.3.6.1.4.1.4203.666.5.12", True)


def follow(server: Slapd, who: str, path: Path, *servers: str, **options: Any) -> Syncrepl:
    urls = [f"{server.url}/ou=people,{server.suffix}??sub?(uid=nobody)", *servers]
    options = {"password": PASSWORD, **options}
    return Syncrepl(path, Recorder(), REFRESH_ONLY, urls, bind_dn=who, **options)


def test_expired(server: Slapd, tmp_path: Path) -> None:
    who = user(server, 201, pwdChangedTime=LONG_AGO)
    with pytest.raises(ldap.INVALID_CREDENTIALS, match=f"password of {who} has expired") as caught:
        follow(server, who, tmp_path)
    assert not retriable(caught.value)
    url = f"{server.url}/{server.suffix}??sub??bindname={who.replace(',', '%2C')}"
    [*_, last] = doctor.examine(url, password=PASSWORD)
    assert (last.verdict, last.subject) == (doctor.Verdict.FAILURE, "bind")
    assert "has expired" in last.found


def test_locked_and_no_other_server_is_tried(server: Slapd, tmp_path: Path) -> None:
    who = user(server, 202)
    for _ in range(3):
        with pytest.raises(ldap.INVALID_CREDENTIALS):
            follow(server, who, tmp_path, password="wrong")
    with server.connected() as connection:
        before = failures(connection, who)
    again = f"ldap://localhost:{server.url.rpartition(':')[2]}"
    with pytest.raises(ldap.INVALID_CREDENTIALS, match=f"the account {who} is locked") as caught:
        follow(server, who, tmp_path, again)
    assert "none of 2 servers" not in str(caught.value)
    with server.connected() as connection:
        assert failures(connection, who) == before


def failures(connection: Any, who: str) -> list[bytes]:
    [(_, attrs)] = connection.search_s(who, ldap.SCOPE_BASE, attrlist=["pwdFailureTime"])
    values: list[bytes] = attrs.get("pwdFailureTime", [])
    return values


def test_to_be_changed(server: Slapd, tmp_path: Path) -> None:
    with server.connected() as connection:
        connection.modify_s(POLICY, [(ldap.MOD_REPLACE, "pwdMustChange", [b"TRUE"])])
    who = user(server, 203, pwdReset=b"TRUE")
    with pytest.raises(ldap.INSUFFICIENT_ACCESS, match="must be changed"):
        follow(server, who, tmp_path)


def test_soon_to_expire(server: Slapd, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    yesterday = datetime.now(timezone.utc) - timedelta(days=1)
    who = user(server, 204, pwdChangedTime=yesterday.strftime("%Y%m%d%H%M%SZ").encode())
    with caplog.at_level(logging.WARNING, "syncrepl_client"):
        follow(server, who, tmp_path).unbind()
    [record] = [each for each in caplog.records if each.event == "password-expires"]  # type: ignore[attr-defined]
    assert f"the password of {who} expires in " in record.getMessage()
    assert PASSWORD not in caplog.text
    url = f"{server.url}/{server.suffix}??sub??bindname={who.replace(',', '%2C')}"
    found = list(doctor.examine(url, password=PASSWORD))
    assert [each.verdict for each in found if "expires in" in each.found] == [
        doctor.Verdict.WARNING
    ]


def test_grace(server: Slapd, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with server.connected() as connection:
        connection.modify_s(POLICY, [(ldap.MOD_REPLACE, "pwdGraceAuthnLimit", [b"2"])])
    who = user(server, 205, pwdChangedTime=LONG_AGO)
    try:
        with caplog.at_level(logging.WARNING, "syncrepl_client"):
            follow(server, who, tmp_path).unbind()
    finally:
        with server.connected() as connection:
            connection.modify_s(POLICY, [(ldap.MOD_DELETE, "pwdGraceAuthnLimit", None)])
    assert "1 more binds with it are allowed" in caplog.text
