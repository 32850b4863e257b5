# SPDX-License-Identifier: BSD-3-Clause
"""Entries that leave the search base along with an entry that they were moved below.

A resume of 389-ds names the entry that was moved out, and not those that came below it before.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ldap
import pytest
from ldap.ldapobject import LDAPObject

from syncrepl_client import Syncrepl, SyncreplMode
from tests.mirror import Mirror, content, server_content
from tests.servers import DS389

SUBTREE = ldap.SCOPE_SUBTREE
SUFFIX = "dc=example,dc=com"
BASE, OUTSIDE = f"ou=inside,{SUFFIX}", f"ou=outside,{SUFFIX}"


@pytest.fixture
def connection(ds389: DS389) -> Iterator[LDAPObject]:
    ds389.reset()
    with ds389.connected() as made:
        for name in (BASE, OUTSIDE, f"ou=known,{BASE}", f"cn=a,{BASE}", f"cn=b,{BASE}"):
            kind = b"organizationalUnit" if name.startswith("ou=") else b"organizationalRole"
            made.add_s(name, [("objectClass", [kind])])
        yield made


class Follower:
    """One state, which clients bring up to date now and then."""

    def __init__(self, ds389: DS389, path: Path) -> None:
        self.mirror = Mirror()
        self._arguments = f"{path}/", self.mirror, SyncreplMode.REFRESH_ONLY
        self._url = f"{ds389.url}/{BASE}??sub"

    def run(self) -> None:
        with Syncrepl(*self._arguments, self._url) as client:
            client.run()


@pytest.mark.parametrize("container", ["known", "new"])
def test_a_container_takes_along_what_was_moved_into_it(
    ds389: DS389, connection: LDAPObject, tmp_path: Path, container: str
) -> None:
    follower = Follower(ds389, tmp_path)
    follower.run()
    if container == "new":
        connection.add_s(f"ou=new,{BASE}", [("objectClass", [b"organizationalUnit"])])
    connection.rename_s(f"cn=a,{BASE}", "cn=a", f"ou={container},{BASE}")
    connection.rename_s(f"ou={container},{BASE}", "ou=out", OUTSIDE)
    follower.run()
    expected = server_content(connection, BASE, SUBTREE, "(objectClass=*)", [])
    assert content(follower.mirror.entries) == expected
