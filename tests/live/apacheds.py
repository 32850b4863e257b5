# SPDX-License-Identifier: BSD-3-Clause
"""ApacheDS is refused, and still deserves it: ``make test-apacheds``.

The name of this file keeps it out of what is run without being named: CI has no ApacheDS.
"""

from __future__ import annotations

from collections.abc import Iterator

import ldap
import pytest
from ldap.controls import RequestControl
from ldap.ldapobject import LDAPObject

from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.doctor import Verdict
from syncrepl_client.doctor import examination as doctor
from syncrepl_client.exceptions import SyncUnsupported
from syncrepl_client.protocol import wire
from tests.conftest import missing_servers_skip
from tests.servers.apacheds import ApacheDS

BASE = "ou=branch,dc=example,dc=com"


@pytest.fixture(scope="module")
def server() -> Iterator[ApacheDS]:
    with missing_servers_skip(), ApacheDS() as made:
        yield made


def url(server: ApacheDS) -> str:
    return (
        f"{server.url}/{BASE}??sub?(objectClass=*)?bindname=uid=admin%2Cou=system,X-BINDPW=secret"
    )


def test_the_client_refuses_it(server: ApacheDS) -> None:
    with pytest.raises(SyncUnsupported, match="is ApacheDS, and can't be followed: after a delete"):
        Syncrepl("", BaseCallback(), SyncreplMode.REFRESH_ONLY, url(server), store="memory")


def test_the_doctor_says_so(server: ApacheDS) -> None:
    *_, last = doctor.examine(url(server))
    assert (last.subject, last.verdict) == ("server", Verdict.FAILURE)
    assert last.found.startswith("ApacheDS, which can't be followed: ")


def refresh(connection: LDAPObject) -> set[str]:
    """Return the DNs that a search without a cookie finds."""
    request = wire.sync_request(SyncreplMode.REFRESH_ONLY, None)
    control = RequestControl(wire.SYNC_REQUEST, True, request)
    message = connection.search_ext(BASE, ldap.SCOPE_SUBTREE, serverctrls=[control])
    return {dn for dn, *_ in connection.result(message)[1] or ()}


def test_why_it_is_refused(server: ApacheDS) -> None:
    """When this fails, ApacheDS has been mended: see protocol/foreign.py."""
    names = [f"cn={number},{BASE}" for number in range(5)]
    with server.connected() as connection:
        connection.add_s(BASE, [("objectClass", [b"organizationalUnit"]), ("ou", [b"branch"])])
        for number, name in enumerate(names):
            attrs = [("objectClass", [b"person"]), ("cn", [b"%d" % number]), ("sn", [b"x"])]
            connection.add_s(name, attrs)
        assert refresh(connection) == {*names, BASE}
        connection.delete_s(names[0])
        assert refresh(connection) < {*names[1:], BASE}
