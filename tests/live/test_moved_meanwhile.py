# SPDX-License-Identifier: BSD-3-Clause
"""What moves during a refresh of slapd's, to where that was already.

The answer is larger than what the sockets hold, and the first callbacks make the changes: slapd
waits in the middle of its walk through the tree, and goes on in the state after them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Callable
from uuid import UUID

import ldap
import pytest
from ldap.ldapobject import LDAPObject

from syncrepl_client import Change, Syncrepl, SyncreplMode, url
from syncrepl_client.network import lookup
from syncrepl_client.network.connector import Connector
from syncrepl_client.network.credentials import Credentials
from syncrepl_client.waiting.waker import Waker
from tests.conftest import missing_servers_skip
from tests.mirror import Mirror, content, server_content
from tests.servers import Slapd

SUFFIX = "dc=example,dc=com"
EMPTY, FIRST, SECOND = (f"ou={each},{SUFFIX}" for each in ("0", "a", "bb"))  # slapd's order
LARGE, SMALL, GONE = 900, 40, 1500


def people() -> Iterator[str]:
    yield f"dn: {SUFFIX}\nobjectClass: domain\ndc: example\n"
    for where in (EMPTY, FIRST, SECOND):
        yield f"dn: {where}\nobjectClass: organizationalUnit\n"
    for number in range(GONE):
        yield f"dn: cn=gone{number},{FIRST}\nobjectClass: person\nsn: x\n"
    for number in range(SMALL):
        yield f"dn: {small(number)}\nobjectClass: person\nsn: x\n"
    for number in range(LARGE):
        large = f"description: {'x' * 20_000}\n"
        yield f"dn: {person(number)}\nobjectClass: person\nsn: x\n{large}"


def person(number: int) -> str:
    return f"cn=large{number},{FIRST}"


def small(number: int) -> str:
    return f"cn=small{number},{SECOND}"


class Meanwhile(Mirror):
    """A mirror that changes the directory after some callbacks."""

    def __init__(self) -> None:
        super().__init__()
        self.change: Callable[[], None] | None = None

    def dispatch(self, change: Change) -> None:
        super().dispatch(change)
        if len(self.changes) == 20 and self.change is not None:
            assert self.refreshes == 0
            self.change()


class Scene:
    """A client, and what happens in the directory while it is in its refresh."""

    def __init__(self, slapd: Slapd, connection: LDAPObject, path: Path) -> None:
        self._connection = connection
        self._url = f"{slapd.url}/{SUFFIX}??sub"
        self._path = f"{path}/"
        self._mirror = Meanwhile()
        self._marks = 0

    def follow(self, meanwhile: Callable[[], None] | None = None) -> list[str]:
        """Follow with another filter, without a cookie; return what is told of small ones."""
        mirror = self._mirror
        mirror.changes.clear()
        mirror.change, mirror.refreshes = meanwhile, 0
        self._marks += 1
        mark = b"%d" % self._marks
        mode = SyncreplMode.REFRESH_AND_PERSIST
        search = f"{self._url}?(|(objectClass=*))" if self._marks % 2 else self._url
        with Syncrepl(
            self._path, mirror, mode, search, max_deletes=None, change_search=True
        ) as client:
            while not client.refreshed:
                assert client.poll(10)
            self._connection.modify_s(SUFFIX, [(ldap.MOD_REPLACE, "description", [mark])])
            while mirror.entries[SUFFIX].get("description") != [mark]:
                assert client.poll(10)
        assert mirror.refreshes == 1
        there = server_content(self._connection, SUFFIX, ldap.SCOPE_SUBTREE, "(objectClass=*)", [])
        assert content(mirror.entries) == there
        told = [each for each in mirror.changes if "small" in f"{each.old_dn}{each.new_dn}"]
        return sorted(each.kind.value for each in told)

    def replace(self, name: str, value: bytes) -> None:
        self._connection.modify_s(name, [(ldap.MOD_REPLACE, "sn", [value])])

    def delete(self, name: str) -> None:
        self._connection.delete_s(name)

    def change_everybody(self) -> None:
        for name in [*map(person, range(LARGE)), *map(small, range(SMALL))]:
            self.replace(name, b"y")

    def rename_container(self) -> None:
        self._connection.rename_s(SECOND, "ou=1")

    def swap_names(self) -> None:
        """The container gets the name of another one, which gets that of the container."""
        self._connection.rename_s(EMPTY, "ou=ccc")
        self._connection.rename_s(SECOND, "ou=0")
        self._connection.rename_s(f"ou=ccc,{SUFFIX}", "ou=bb")

    def move_half(self) -> None:
        for number in range(0, SMALL, 2):
            self._connection.rename_s(small(number), f"cn=small{number}", FIRST)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    ldif = "\n".join(people())
    with (
        missing_servers_skip(),
        Slapd(ldif=ldif, sessionlog=None) as slapd,
        slapd.connected() as connection,
    ):
        for number in range(GONE):  # so that the tree is walked
            connection.delete_s(f"cn=gone{number},{FIRST}")
        yield Scene(slapd, connection, tmp_path)


@pytest.mark.parametrize("change", ["rename_container", "move_half", "swap_names"])
def test_an_initial_refresh_loses_nobody(scene: Scene, change: str) -> None:
    told = scene.follow(getattr(scene, change))
    assert set(told) <= {"add", "rename"}
    assert told.count("add") == SMALL


@pytest.mark.parametrize("change", ["rename_container", "move_half", "swap_names"])
def test_a_reconcile_deletes_nobody(scene: Scene, change: str) -> None:
    scene.follow()
    scene.change_everybody()
    told = scene.follow(getattr(scene, change))
    # The persist stage tells what was moved, with all that changed before.
    number = SMALL // 2 if change == "move_half" else SMALL
    assert told == ["modify"] * number + ["rename"] * number


def test_what_is_gone_is_deleted(scene: Scene) -> None:
    scene.follow()
    scene.change_everybody()
    for number in range(0, SMALL, 2):
        scene.delete(small(number))
    told = scene.follow(scene.rename_container)
    half = SMALL // 2
    assert told == ["delete"] * half + ["modify"] * half + ["rename"] * half


def test_a_search_that_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What was found until then is believed."""
    with missing_servers_skip(), Slapd(sizelimit=1) as slapd:
        search = url.parse(f"{slapd.url}/{SUFFIX}??sub")
        with slapd.connected() as connection, contextlib.closing(Waker()) as waker:
            found = connection.search_s(SUFFIX, ldap.SCOPE_SUBTREE, attrlist=["entryUUID"])
            uuids = [UUID(attrs["entryUUID"][0].decode()).bytes for _, attrs in found]
            session = Connector(search, Credentials.choose(search), waker, False, {}).connect()
            assert len(uuids) > 1
            assert len(lookup.existing(session, uuids)) == 1
            session.close()
    assert [getattr(each, "event", None) for each in caplog.records] == ["unchecked"]
