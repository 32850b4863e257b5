# SPDX-License-Identifier: BSD-3-Clause
"""A real slapd with back_ldap before a real 389-ds: its root DSE, the other's cookies."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ldap
import pytest

from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.doctor import Verdict
from syncrepl_client.doctor import examination as doctor
from tests.conftest import missing_servers_skip
from tests.mirror import Mirror, content, server_content
from tests.servers import DS389, Slapd

BASE = "ou=people,dc=behind,dc=com"
SHOWN = "(!(employeeType=hidden))"


def person(number: int) -> tuple[str, list[tuple[str, list[bytes]]]]:
    attrs = [("objectClass", [b"inetOrgPerson"]), ("cn", [b"%d" % number]), ("sn", [b"x"])]
    return f"cn={number},{BASE}", attrs


@pytest.fixture(scope="module")
def behind() -> Iterator[DS389]:
    with missing_servers_skip(), DS389(suffix="dc=behind,dc=com") as server:
        yield server


@pytest.fixture
def proxy(behind: DS389) -> Iterator[Slapd]:
    behind.reset()
    with behind.connected() as connection:
        for number in range(3):
            connection.add_s(*person(number))
    database = f'database ldap\nsuffix "{behind.suffix}"\nuri {behind.url}'
    with (
        missing_servers_skip(),
        Slapd(extra_config="moduleload back_ldap", extra_database=database) as server,
    ):
        yield server


def hide(server: DS389, number: int) -> None:
    with server.connected() as connection:
        connection.modify_s(person(number)[0], [(ldap.MOD_REPLACE, "employeeType", [b"hidden"])])


def follow(proxy: Slapd, path: Path, mirror: Mirror, filter: str = SHOWN, **more: Any) -> Syncrepl:
    mode = more.pop("mode", SyncreplMode.REFRESH_ONLY)
    return Syncrepl(f"{path}/", mirror, mode, f"{proxy.url}/{BASE}??sub?{filter}", **more)


def seen(server: DS389, filter: str = SHOWN) -> Any:
    with server.connected() as connection:
        return server_content(connection, BASE, ldap.SCOPE_SUBTREE, filter, [])


def test_who_leaves_the_filter_while_nobody_listens(
    behind: DS389, proxy: Slapd, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """389-ds does not tell of it on a resume, so there must be none."""
    mirror = Mirror()
    with follow(proxy, tmp_path, mirror) as client:
        client.run()
        assert content(client.store.items()) == seen(behind)
        assert client.store.origin.dialect == "389-ds"
    hide(behind, 1)
    caplog.set_level(logging.INFO)
    with follow(proxy, tmp_path, mirror) as client:
        client.run()
        assert content(client.store.items()) == content(mirror.entries) == seen(behind)
        assert client.verify() == []
    assert "the stored cookie is not used: there is a proxy before 389-ds" in caplog.text


def test_a_restart_behind_the_proxy_can_not_be_seen(
    behind: DS389, proxy: Slapd, tmp_path: Path
) -> None:
    mirror = Mirror()
    with follow(proxy, tmp_path, mirror, "(objectClass=*)") as client:
        client.run()
    with behind.connected() as connection:
        connection.delete_s(person(2)[0])
    behind.restart()
    with follow(proxy, tmp_path, mirror, "(objectClass=*)") as client:
        client.run()
        expected = seen(behind, "(objectClass=*)")
        assert content(client.store.items()) == content(mirror.entries) == expected


def test_the_persist_stage_through_the_proxy(behind: DS389, proxy: Slapd, tmp_path: Path) -> None:
    mirror = Mirror()
    with follow(proxy, tmp_path, mirror, mode=SyncreplMode.REFRESH_AND_PERSIST) as client:
        while not client.refreshed:
            client.poll(10)
        hide(behind, 0)
        with behind.connected() as connection:
            connection.add_s(*person(7))
        while person(7)[0] not in mirror.entries:
            assert client.poll(10)
        assert content(client.store.items()) == content(mirror.entries) == seen(behind)
        assert (client.store.origin.cookie or b"").startswith(b"localhost:")


def test_access_rules_in_the_persist_stage_through_the_proxy(
    behind: DS389, proxy: Slapd, tmp_path: Path
) -> None:
    """389-ds heeds none there; what it sends is read again, through the proxy as well."""
    mirror = Mirror()
    with follow(proxy, tmp_path, mirror, mode=SyncreplMode.REFRESH_AND_PERSIST) as client:
        while not client.refreshed:
            client.poll(10)
        name, attrs = person(8)
        with behind.connected() as connection:
            connection.add_s(name, [*attrs, ("userPassword", [b"not for anybody"])])
        while name not in mirror.entries:
            assert client.poll(10)
        assert "userpassword" not in content(mirror.entries)[name]


def test_the_doctor_sees_through_it(proxy: Slapd) -> None:
    found = {each.subject: each for each in doctor.examine(f"{proxy.url}/{BASE}??sub")}
    assert found["proxy"].verdict is Verdict.WARNING
    assert "session log" not in found
