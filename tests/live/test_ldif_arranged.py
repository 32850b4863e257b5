# SPDX-License-Identifier: BSD-3-Clause
"""What LDIFCallback arranges of one slapd's refreshes, ldapmodify applies to another."""

from __future__ import annotations

import io
import random
from pathlib import Path

import ldap
import pytest
from ldap.ldapobject import LDAPObject

from syncrepl_client import Change, LDIFCallback, Syncrepl
from tests.faults.recorder import REFRESH_ONLY
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.live.test_ldif import PEOPLE, Pair, RunServer, add_person, add_unit, dict_of
from tests.servers.people import SUFFIX

pytestmark = pytest.mark.usefixtures("watchdog")


class Interrupted(LDIFCallback):
    """Stops its client after so many changes, or fails then."""

    def __init__(self, stream: io.StringIO, changes: int = -1, *, fail: bool = False) -> None:
        super().__init__(stream)
        self.client: Syncrepl | None = None
        self.left = changes
        self.fail = fail

    def dispatch(self, change: Change) -> None:
        super().dispatch(change)
        self.left -= 1
        if self.left == 0:
            assert self.client is not None
            self.client.please_stop()
            if self.fail:
                raise InterruptedError


class Arranged(Pair):
    """Two slapds, and a client with a store in a file."""

    def __init__(
        self,
        run_server: RunServer,
        directory: Path,
        base: str = SUFFIX,
        sessionlog: int | None = 1000,
    ) -> None:
        super().__init__(run_server, sessionlog)
        self.data_path = f"{directory}/"
        self.url = f"{self.source.url}/{base}?*,%2B?sub"

    def refresh(self, changes: int = -1, *, fail: bool = False, arrange: bool = True) -> str:
        """Return what is written of a refresh that is interrupted after so many changes."""
        stream = io.StringIO()
        callback = Interrupted(stream, changes, fail=fail)
        data_path = self.data_path if arrange else f"{self.data_path}plain-"
        with Syncrepl(data_path, callback, REFRESH_ONLY, self.url, max_deletes=None) as client:
            callback.client = client
            if arrange:
                callback.arrange(client.store)
            try:
                client.run()
            except InterruptedError:
                assert fail
        return stream.getvalue()

    def catch_up(self, *interruptions: int) -> None:
        """Follow the source, interrupted after so many changes each time, and in the end not."""
        for changes in interruptions:
            self.apply(self.refresh(changes))
            self.apply(self.refresh(changes, fail=True))
        self.apply(self.refresh())
        self.equal()


@pytest.fixture
def pair(run_server: RunServer, tmp_path: Path) -> Arranged:
    return Arranged(run_server, tmp_path)


SUFFIX_RECORD = f"""dn: {SUFFIX}
changetype: add
objectClass: top
objectClass: dcObject
objectClass: organization
dc: example
o: Example
"""


def dns(text: str) -> list[str]:
    return [line[4:] for line in text.splitlines() if line.startswith("dn: ")]


def younger_parent(connection: LDAPObject) -> str:
    """Make ou=b, and ou=a with somebody in it below that; return the DN of this one."""
    ann = add_person(connection, 1, add_unit(connection, "a", SUFFIX))
    upper = add_unit(connection, "b", SUFFIX)
    connection.rename_s(f"ou=a,{SUFFIX}", "ou=a", upper)
    return ann.replace(SUFFIX, upper)


def test_a_parent_is_younger(pair: Arranged) -> None:
    with pair.source.connected() as connection:
        ann = younger_parent(connection)
    order = [f"ou=b,{SUFFIX}", f"ou=a,ou=b,{SUFFIX}", ann]
    plain = dns(pair.refresh(arrange=False))
    assert [name for name in plain if name in order] == [order[1], order[2], order[0]]
    text = pair.refresh()
    assert [name for name in dns(text) if name in order] == order
    pair.apply(text)
    pair.equal()


@pytest.mark.parametrize("changes", [1, 3, 4])
def test_interrupted_before_the_parent(changes: int, pair: Arranged) -> None:
    with pair.source.connected() as connection:
        younger_parent(connection)
    pair.catch_up(changes)


def test_the_base_is_younger_and_not_the_suffix(run_server: RunServer, tmp_path: Path) -> None:
    base = f"ou=b,{SUFFIX}"
    pair = Arranged(run_server, tmp_path, base)
    with pair.source.connected() as connection:
        for number in range(3):
            add_person(connection, number)
        add_unit(connection, "b", SUFFIX)
        connection.rename_s(PEOPLE, "ou=people", base)
        connection.delete_s(f"ou=groups,{SUFFIX}")
    text = pair.refresh()
    assert dns(text)[0] == base
    pair.apply(SUFFIX_RECORD)
    pair.apply(text)
    pair.equal()


def test_people_move_to_a_new_unit(pair: Arranged) -> None:
    """They are told of before it, and renamed all the same: they keep their passwords."""
    with pair.source.connected() as connection:
        for number in range(3):
            add_person(connection, number)
    pair.apply(pair.refresh())
    with pair.target.connected() as connection:
        for number in range(3):
            password = [(ldap.MOD_REPLACE, "userPassword", b"secret")]
            connection.modify_s(f"uid=u000000{number},{PEOPLE}", password)
    with pair.source.connected() as connection:
        new = add_unit(connection, "new", SUFFIX)
        for number in range(3):
            connection.rename_s(f"uid=u000000{number},{PEOPLE}", f"uid=n{number}", new)
    text = pair.refresh()
    assert (text.count("changetype: modrdn"), text.count("changetype: delete")) == (3, 0)
    pair.apply(text)
    there = dict_of(pair.target, "userPassword")
    assert [there[f"uid=n{number},{new}"] for number in range(3)] == 3 * [
        {"userpassword": [b"secret"]}
    ]


def test_moved_to_what_is_new(pair: Arranged) -> None:
    with pair.source.connected() as connection:
        younger_parent(connection)
        for number in range(2, 8):
            add_person(connection, number)
    pair.catch_up()
    with pair.source.connected() as connection:
        new = add_unit(connection, "new", SUFFIX)
        connection.rename_s(f"uid=u0000002,{PEOPLE}", "uid=two", new)
        connection.rename_s(f"ou=b,{SUFFIX}", "ou=c", new)
        connection.rename_s(f"uid=u0000003,{PEOPLE}", "uid=u0000003", f"ou=a,ou=c,{new}")
        connection.rename_s(PEOPLE, "ou=a", new)
        connection.rename_s(f"uid=u0000001,ou=a,ou=c,{new}", "uid=one", SUFFIX)
    pair.catch_up(1, 2, 3)


def swap(connection: LDAPObject, one: str, other: str) -> None:
    for old, rdn, above in (
        (one, "ou=aside", SUFFIX),
        (other, *one.split(",", 1)),
        (f"ou=aside,{SUFFIX}", *other.split(",", 1)),
    ):
        connection.rename_s(old, rdn, above)


def shake(connection: LDAPObject, lots: random.Random, number: int) -> None:
    """Try a change: of units and of people, with few names, so that they collide."""
    found = connection.search_s(SUFFIX, ldap.SCOPE_SUBTREE, attrlist=["1.1"])
    names = [name for name, _ in found]
    units = [name for name in names if not name.startswith("uid=")]
    one, above = lots.choice(names[1:] or names), lots.choice(units)
    what = lots.choice(["unit", "unit", "add", "modify", "rename", "rename", "swap", "delete"])
    if what == "unit":
        add_unit(connection, f"u{lots.randrange(4)}", above)
    elif what == "add":
        add_person(connection, lots.randrange(9), above)
    elif what == "modify":
        connection.modify_s(one, [(ldap.MOD_REPLACE, "description", [b"%d" % number])])
    elif what == "rename":
        attribute = one.partition("=")[0]
        connection.rename_s(one, f"{attribute}=u{lots.randrange(4)}", above)
    elif what == "swap":
        swap(connection, lots.choice(units[1:] or units), lots.choice(units[1:] or units))
    else:
        connection.delete_s(one)


def shaken(connection: LDAPObject, lots: random.Random, count: int) -> None:
    for number in range(count):
        try:
            shake(connection, lots, number)
        except ldap.LDAPError:
            continue  # the lots did not know better


@pytest.mark.parametrize("sessionlog", [1000, None])
@pytest.mark.parametrize("seed", range(2))
def test_whatever_happens(
    seed: int, sessionlog: int | None, run_server: RunServer, tmp_path: Path
) -> None:
    lots = random.Random(seed)
    pair = Arranged(run_server, tmp_path, sessionlog=sessionlog)
    for _ in range(6):
        with pair.source.connected() as connection:
            shaken(connection, lots, 30)
        pair.catch_up(*(lots.randint(1, 6) for _ in range(3)))
