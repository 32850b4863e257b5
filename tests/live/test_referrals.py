# SPDX-License-Identifier: BSD-3-Clause
"""A search base that another server has: slapd and 389-ds say so in different ways."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest
from ldap.controls import RequestControl

from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.doctor import Verdict, examine
from tests.conftest import missing_servers_skip
from tests.mirror import Mirror
from tests.servers import DS389, Server, Slapd
from tests.servers.people import SUFFIX

MANAGE_DSA_IT = RequestControl("2.16.840.1.113730.3.4.2", True)
REFERRAL = f"ou=moved,{SUFFIX}"
THERE = "ldap://there.example.com/ou=new,dc=example,dc=net"


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    root = "referral ldap://root.example.com:1389/"
    with missing_servers_skip(), Slapd(extra_config=root) as server:
        refer(server)
        yield server


def refer(server: Server) -> None:
    with server.connected() as connection:
        classes = [b"referral", b"extensibleObject"]
        connection.add_s(REFERRAL, [("objectClass", classes), ("ref", [THERE.encode()])])


def meet(server: Server, base: str) -> str:
    """Return what a client and the doctor say; both tell the same."""
    url = f"{server.url}/{base}??sub"
    with pytest.raises(ldap.REFERRAL) as raised:
        Syncrepl("", BaseCallback(), SyncreplMode.REFRESH_ONLY, url, store="memory")
    *_, last = examine(url)
    said: str = raised.value.args[0]["info"]
    assert (last.subject, last.verdict, last.found) == ("base", Verdict.FAILURE, said)
    return said


@pytest.mark.parametrize(
    ("base", "where"),
    [
        (REFERRAL, THERE),
        (f"ou=x,{REFERRAL}", THERE.replace("ou=new", "ou=x,ou=new")),
        ("dc=other,dc=org", "ldap://root.example.com:1389/dc=other,dc=org"),
    ],
)
def test_slapd_says_where_the_base_is(slapd: Slapd, base: str, where: str) -> None:
    assert meet(slapd, base) == (
        f"{slapd.url} does not have {base!r}, and refers to {where}: follow it there, with that URL"
    )


@pytest.fixture
def referring(ds389: DS389) -> Iterator[DS389]:
    ds389.reset()
    refer(ds389)
    yield ds389
    with ds389.connected() as connection:
        connection.delete_ext_s(  # type: ignore[attr-defined]
            REFERRAL, serverctrls=[MANAGE_DSA_IT]
        )


def test_389_ds_says_where_the_base_is(referring: DS389) -> None:
    assert f"refers to {THERE}: follow it there" in meet(referring, REFERRAL)


def test_389_ds_may_have_referrals_below_the_base(referring: DS389) -> None:
    url = f"{referring.url}/{SUFFIX}??sub"
    arguments = ("", BaseCallback(), SyncreplMode.REFRESH_ONLY, url)
    with Syncrepl(*arguments, store="memory") as client:
        client.run()
        assert len(client.store.items()) > 1


def test_a_base_that_becomes_a_referral_deletes_nothing(
    run_server: Callable[..., Any], tmp_path: Path
) -> None:
    """389-ds answers with a reference, and ends the refresh as if there had never been more."""
    server = run_server(DS389)
    base = f"ou=here,{SUFFIX}"
    with server.connected() as connection:
        connection.add_s(base, [("objectClass", [b"organizationalUnit"])])
        mirror = Mirror()
        arguments = (f"{tmp_path}/", mirror, SyncreplMode.REFRESH_ONLY, f"{server.url}/{base}??sub")
        with Syncrepl(*arguments) as client:
            client.run()
        connection.delete_s(base)
        classes = [b"referral", b"extensibleObject"]
        connection.add_s(base, [("objectClass", classes), ("ref", [THERE.encode()])])
        with pytest.raises(ldap.REFERRAL):
            Syncrepl(*arguments)
        assert list(mirror.entries) == [base]
