# SPDX-License-Identifier: BSD-3-Clause
"""389-ds 3.1 on LMDB keeps old DNs below a renamed container: they are not believed.

The story is the same on all versions.  Only the one that has the fault shows the old DNs; what is
told and stored is right on each.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ldap
import pytest
from ldap.ldapobject import LDAPObject

from syncrepl_client import Syncrepl, SyncreplMode
from tests.conftest import missing_servers_skip
from tests.mirror import Mirror
from tests.patience import HANGS_SECONDS
from tests.servers import DS389
from tests.servers.ds389 import true_names

BASE = "ou=tree,dc=example,dc=com"
TOP, RENAMED = f"ou=top,{BASE}", f"ou=renamed,{BASE}"
OLDER = "ou=older,ou=young,ou=inner"  # below TOP: was there before the entries above it


@pytest.fixture(scope="module")
def server() -> Iterator[DS389]:
    with missing_servers_skip(), DS389() as made:
        yield made


@pytest.fixture
def connection(server: DS389) -> Iterator[LDAPObject]:
    server.reset()
    with server.connected() as made:
        for name in (BASE, f"ou=first,{BASE}", f"ou=second,ou=first,{BASE}"):
            add(made, name)
        made.rename_s(f"ou=first,{BASE}", "ou=above")
        for name in (f"ou=older,{BASE}", f"ou=young,ou=above,{BASE}"):
            add(made, name)
        made.rename_s(f"ou=second,ou=above,{BASE}", "ou=top", BASE)
        add(made, f"ou=inner,{TOP}")
        made.rename_s(f"ou=older,{BASE}", "ou=older", f"ou=young,ou=above,{BASE}")
        made.rename_s(f"ou=young,ou=above,{BASE}", "ou=young", f"ou=inner,{TOP}")
        for name in ("cn=one,ou=young,ou=inner", "cn=two,ou=young,ou=inner", f"cn=child,{OLDER}"):
            add(made, f"{name},{TOP}")
        yield made


def add(connection: LDAPObject, name: str) -> None:
    kind = b"organizationalUnit" if name.startswith("ou=") else b"person"
    attrs = [("objectClass", [kind]), *([("sn", [b"x"])] if kind == b"person" else [])]
    connection.add_s(name, attrs)


def shown(connection: LDAPObject) -> set[str]:
    """DNs of all entries as a search has them."""
    found = connection.search_s(BASE, ldap.SCOPE_SUBTREE, attrlist=["1.1"])
    return {name for name, _ in found}


def there(connection: LDAPObject) -> set[str]:
    """DNs of all entries, by where they are."""
    return set(true_names(connection, BASE))


class Following:
    """One state, which clients bring up to date now and then."""

    def __init__(self, server: DS389, path: Path) -> None:
        self.mirror = Mirror()
        self._arguments = (f"{path}/", self.mirror)
        self._url = f"{server.url}/{BASE}??sub"

    def client(self, mode: SyncreplMode = SyncreplMode.REFRESH_ONLY, **more: Any) -> Syncrepl:
        return Syncrepl(*self._arguments, mode, self._url, **more)

    def told(self) -> list[tuple[str, str | None]]:
        """What was told since the last call: kinds, and new DNs."""
        changes = [(each.kind.value, each.new_dn) for each in self.mirror.changes]
        self.mirror.changes.clear()
        return changes


@pytest.fixture
def following(server: DS389, connection: LDAPObject, tmp_path: Path) -> Following:
    made = Following(server, tmp_path)
    with made.client() as client:
        client.run()
    assert set(made.mirror.entries) == there(connection)
    made.told()
    return made


def reconcile(following: Following) -> list[Any]:
    """Search without a cookie; return what verify() then finds."""
    with following.client() as client:
        client.reconcile()
        client.run()
        return client.verify()


def test_a_rename_while_nobody_listens(
    following: Following, connection: LDAPObject, caplog: pytest.LogCaptureFixture
) -> None:
    connection.rename_s(TOP, "ou=renamed")
    old = shown(connection) != there(connection)
    with following.client() as client:  # a resume
        client.run()
    names = there(connection)
    assert set(following.mirror.entries) == names
    assert {kind for kind, _ in following.told()} == {"rename"}
    caplog.set_level(logging.WARNING)
    for _ in range(2):
        assert reconcile(following) == []
        assert set(following.mirror.entries) == names
        assert following.told() == []
    events = [each.__dict__.get("event") for each in caplog.records]
    assert events.count("misnamed") == (4 if old else 0)  # once a refresh, once a comparison


def test_a_client_that_listens(following: Following, connection: LDAPObject) -> None:
    """The persist stage has old DNs or new ones, as it comes."""
    with following.client(SyncreplMode.REFRESH_AND_PERSIST) as client:
        while not client.refreshed:
            client.poll(HANGS_SECONDS)
        connection.rename_s(TOP, "ou=renamed")
        for number, name in enumerate((OLDER, f"cn=child,{OLDER}", "ou=inner"), 1):
            change = [(ldap.MOD_REPLACE, "description", [b"%d" % number])]
            connection.modify_s(f"{name},{RENAMED}", change)
        while following.mirror.entries.get(f"ou=inner,{RENAMED}", {}).get("description") != [b"3"]:
            assert client.poll(HANGS_SECONDS)
        assert following.mirror.entries[f"{OLDER},{RENAMED}"]["description"] == [b"1"]
        assert following.mirror.entries[f"cn=child,{OLDER},{RENAMED}"]["description"] == [b"2"]
    assert set(following.mirror.entries) == there(connection)
    kinds = [kind for kind, _ in following.told()]
    assert set(kinds) == {"rename", "modify"}
    assert kinds.count("modify") == 3
    assert reconcile(following) == []
    assert following.told() == []


def test_who_moves_away_has_moved(following: Following, connection: LDAPObject) -> None:
    """Whether it goes by its own name or along with a container that does."""
    connection.rename_s(TOP, "ou=renamed")
    connection.rename_s(f"cn=one,ou=young,ou=inner,{RENAMED}", "cn=one", BASE)
    connection.rename_s(f"cn=two,ou=young,ou=inner,{RENAMED}", "cn=2", f"ou=above,{BASE}")
    for _ in range(2):
        assert reconcile(following) == []
        assert set(following.mirror.entries) == there(connection)
    moved = {name for kind, name in following.told() if kind == "rename"}
    assert moved >= {f"cn=one,{BASE}", f"cn=2,ou=above,{BASE}", RENAMED, f"{OLDER},{RENAMED}"}


def test_what_was_first_seen_with_an_old_dn(
    server: DS389, connection: LDAPObject, tmp_path: Path
) -> None:
    """Nobody knows better then; it is as the server says, and stays so."""
    connection.rename_s(TOP, "ou=renamed")
    following = Following(server, tmp_path)
    names = shown(connection)
    for _ in range(2):
        assert reconcile(following) == []
        assert set(following.mirror.entries) == names
    assert len(names) == len(there(connection))


def test_a_child_that_is_told_before_its_renamed_parent(
    following: Following, connection: LDAPObject
) -> None:
    """A resume has the changed entries by their first changes: the child's, then the rename."""
    connection.modify_s(f"ou=inner,{TOP}", [(ldap.MOD_REPLACE, "description", [b"1"])])
    connection.rename_s(TOP, "ou=renamed")
    with following.client() as client:
        client.run()
    assert set(following.mirror.entries) == there(connection)
    assert following.mirror.entries[f"ou=inner,{RENAMED}"]["description"] == [b"1"]
    assert reconcile(following) == []
