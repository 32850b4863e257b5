# SPDX-License-Identifier: BSD-3-Clause
"""Random changes to a real directory, and a client that is stopped and started at random.

After every refresh, and whenever the client is idle, three things are equal: the server's own
search, the store, and a mirror made from the callbacks.  A seed repeats what happened:

    python -m tests.workload --slapd 1 --first 17
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from typing import Callable

import ldap
from ldap.dn import escape_dn_chars
from ldap.ldapobject import LDAPObject

from syncrepl_client import Change, Syncrepl, SyncreplMode
from tests.mirror import Content, Mirror, content, server_content
from tests.patience import HANGS_SECONDS
from tests.servers import DS389, Server, Slapd
from tests.servers.ds389 import old_names

NAMES = ["ann", "ANN", "bob", "Cy", "d'Arc", "Éva", "fay, jr", "g+h", " i", "a=b", "Weiss", "Weiß"]
EXACT_NAME = """
attributetype ( 1.1.1.1 NAME 'exactName' EQUALITY caseExactMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
objectclass ( 1.1.1.2 NAME 'exactlyNamed' SUP top AUXILIARY MAY exactName )
"""
"""Schema for slapd: an attribute that heeds case, which the library doesn't know."""
ATTRIBUTES: list[list[str]] = [[], ["*"], ["cn", "description", "employeeType"]]
FILTERS = ["(objectClass=*)", "(!(employeeType=hidden))"]
MARKER = "cn=marker"


class Crash(Exception):
    """A callback that fails."""


class CrashingMirror(Mirror):
    """Fails now and then, in the middle of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.crash_after: int | None = None

    def dispatch(self, change: Change) -> None:
        if self.crash_after is not None:
            self.crash_after -= 1
            if self.crash_after < 0:
                self.crash_after = None
                raise Crash
        super().dispatch(change)

    def disconnected(self, error: Exception) -> None:
        self.roll_back()  # a server that does not answer in time


class Directory:
    """A subtree of the server, with few names, so that they collide."""

    def __init__(self, connection: LDAPObject, base: str, chance: random.Random) -> None:
        self.connection = connection
        self.exact = knows(connection, "exactName") and chance.random() < 0.5
        self.base = base
        self.chance = chance
        self.marks = 0
        self.outside = f"ou=outside {rdn(base)[3:]},{parent(base)}"
        for dn in (base, self.outside):
            connection.add_s(dn, [("objectClass", [b"organizationalUnit"])])
        connection.add_s(f"{MARKER},{base}", person("marker"))

    def entries(self, filter: str) -> list[str]:
        found = self.connection.search_s(self.base, ldap.SCOPE_SUBTREE, filter, ["1.1"])
        return sorted(dn for dn, _ in found if dn != self.base and not dn.startswith(MARKER))

    def mark(self) -> bytes:
        """Change the marker, which is told after all that happened before."""
        self.marks += 1
        value = b"%d" % self.marks
        self.connection.modify_s(
            f"{MARKER},{self.base}", [(ldap.MOD_REPLACE, "description", [value])]
        )
        return value

    def change(self) -> None:
        """Do one thing; what the server refuses (names taken, not empty) is no change."""
        operations: list[Callable[[], None]] = [
            self.add, self.add, self.add, self.add_container, self.modify, self.hide,
            self.delete, self.rename, self.move, self.move_container, self.rename_container,
            self.swap_people, self.swap_containers, self.readd, self.move_out, self.move_in,
        ]  # fmt: skip
        try:
            self.chance.choice(operations)()
        except (
            ldap.ALREADY_EXISTS,
            ldap.NOT_ALLOWED_ON_NONLEAF,
            ldap.NO_SUCH_OBJECT,
            ldap.UNWILLING_TO_PERFORM,
            ldap.OTHER,
            ldap.OPERATIONS_ERROR,  # 389-ds 3.1 on LMDB, below an entry with an old DN
        ):
            return

    def _container(self) -> str:
        return self.chance.choice([self.base, *self.entries("(objectClass=organizationalUnit)")])

    def _person(self) -> str:
        people = self.entries("(objectClass=person)")
        if not people:
            raise ldap.NO_SUCH_OBJECT
        return self.chance.choice(people)

    def _rdn(self, kind: str) -> str:
        if self.exact and self.chance.random() < 0.7:
            kind = "exactName"
        return f"{kind}={escape_dn_chars(self.chance.choice(NAMES))}"

    def add(self) -> None:
        self._add(f"{self._rdn('cn')},{self._container()}", person("x"))

    def add_container(self) -> None:
        dn = f"{self._rdn('ou')},{self._container()}"
        self._add(dn, [("objectClass", [b"organizationalUnit"]), ("ou", [b"x"])])

    def _add(self, dn: str, attrs: list[tuple[str, list[bytes]]]) -> None:
        if self.exact:
            attrs[0][1].append(b"exactlyNamed")
        self.connection.add_s(dn, attrs)

    def modify(self) -> None:
        value = b"%d" % self.chance.randrange(1000)
        self.connection.modify_s(self._person(), [(ldap.MOD_REPLACE, "description", [value])])

    def hide(self) -> None:
        value = self.chance.choice([b"hidden", b"shown"])
        self.connection.modify_s(self._person(), [(ldap.MOD_REPLACE, "employeeType", [value])])

    def delete(self) -> None:
        self.connection.delete_s(self.chance.choice(self.entries("(objectClass=*)") or [""]))

    def rename(self) -> None:
        self.connection.rename_s(self._person(), self._rdn("cn"))

    def move(self) -> None:
        dn = self._person()
        self.connection.rename_s(dn, rdn(dn), self._container())

    def move_out(self) -> None:
        dn = self.chance.choice([self._person(), self._container()])
        if dn != self.base:
            self.connection.rename_s(dn, rdn(dn), self.outside)

    def move_in(self) -> None:
        """Bring a person back; what comes in below a container is not told by any server."""
        found = self.connection.search_s(self.outside, ldap.SCOPE_ONELEVEL, "(objectClass=person)")
        if found:
            dn = self.chance.choice(sorted(dn for dn, _ in found))
            self.connection.rename_s(dn, rdn(dn), self._container())

    def rename_container(self) -> None:
        dn = self._container()
        if dn != self.base:
            self.connection.rename_s(dn, self._rdn("ou"))

    def move_container(self) -> None:
        dn = self._container()
        if dn != self.base:
            self.connection.rename_s(dn, rdn(dn), self._container())

    def swap_people(self) -> None:
        self._swap(self._person(), self._person())

    def swap_containers(self) -> None:
        self._swap(self._container(), self._container())

    def _swap(self, one: str, other: str) -> None:
        if one.endswith(other) or other.endswith(one):
            return
        unit = "(objectClass=organizationalUnit)"
        kind = "ou" if self.connection.search_s(one, ldap.SCOPE_BASE, unit) else "cn"
        self.connection.rename_s(one, f"{kind}=swap", self.base)
        self.connection.rename_s(other, rdn(one), parent(one))
        self.connection.rename_s(f"{kind}=swap,{self.base}", rdn(other), parent(other))

    def readd(self) -> None:
        dn = self._person()
        ((_, attrs),) = self.connection.search_s(dn, ldap.SCOPE_BASE)
        self.connection.delete_s(dn)
        self.connection.add_s(dn, list(attrs.items()))


def person(name: str) -> list[tuple[str, list[bytes]]]:
    return [
        ("objectClass", [b"inetOrgPerson"]),
        ("cn", [name.encode()]),
        ("sn", [b"x"]),
    ]


def knows(connection: LDAPObject, attribute: str) -> bool:
    """Whether the server's schema has that attribute."""
    ((_, root),) = connection.search_s("", ldap.SCOPE_BASE, attrlist=["subschemaSubentry"])
    where = root["subschemaSubentry"][0].decode()
    ((_, schema),) = connection.search_s(where, ldap.SCOPE_BASE, attrlist=["attributeTypes"])
    return any(f"'{attribute}'".encode() in each for each in schema["attributeTypes"])


def rdn(dn: str) -> str:
    found = re.match(r"(?:\\.|[^,\\])+", dn)
    assert found is not None
    return found.group()


def parent(dn: str) -> str:
    return dn[len(rdn(dn)) + 1 :]


class Workload:
    """One seed's story."""

    def __init__(self, server: Server, seed: int, data_path: str) -> None:
        self.chance = random.Random(seed)
        self.data_path = data_path
        self.base = f"ou=seed{seed}-{time.time_ns()},{server.suffix}"
        self.filter = self.chance.choice(FILTERS)
        self.attributes = self.chance.choice(ATTRIBUTES)
        self.store = self.chance.choice(["sqlite", "sqlite", "shelve"])
        self.url = f"{server.url}/{self.base}?{','.join(self.attributes)}?sub?{self.filter}"
        self.mirror = CrashingMirror()
        self.server = server

    def run(self, rounds: int = 12) -> None:
        with ExitStack() as stack:
            self.connection = stack.enter_context(self.server.connected())
            self.anonymous = ldap.initialize(self.server.url)
            stack.callback(self.anonymous.unbind_s)
            self.directory = Directory(self.connection, self.base, self.chance)
            for _ in range(rounds):
                self._change(10)
                mode = self.chance.choice(list(SyncreplMode))
                with Syncrepl(
                    self.data_path, self.mirror, mode, self.url, store=self.store
                ) as client:
                    if mode is SyncreplMode.REFRESH_ONLY:
                        self._refresh(client)
                    else:
                        self._persist(client)
                self.mirror.crash_after = None

    def _change(self, most: int) -> None:
        for _ in range(self.chance.randint(0, most)):
            self.directory.change()

    def _maybe_crash(self) -> None:
        if self.chance.random() < 0.3:
            self.mirror.crash_after = self.chance.randint(0, 8)

    def _poll(self, client: Syncrepl, timeout: float) -> bool:
        try:
            return client.poll(timeout)
        except Crash:
            self.mirror.roll_back()
            return True

    def _refresh(self, client: Syncrepl) -> None:
        self._maybe_crash()
        if self.chance.random() < 0.2:
            client.please_stop()
        refreshes = self.mirror.refreshes
        while self._poll(client, HANGS_SECONDS):
            pass
        if self.mirror.refreshes > refreshes:
            self._check(client)

    def _persist(self, client: Syncrepl) -> None:
        for _ in range(self.chance.randint(1, 4)):
            self._maybe_crash()
            self._change(5)
            if self.chance.random() < 0.5:
                self._poll(client, 0)
            self._change(5)
            if self.chance.random() < 0.2:
                return
            self._catch_up(client)
            self._check(client)

    def _catch_up(self, client: Syncrepl) -> None:
        value = self.directory.mark()
        marker = f"{MARKER},{self.base}"
        deadline = time.monotonic() + HANGS_SECONDS
        while self.mirror.entries.get(marker, {}).get("description") != [value]:
            assert time.monotonic() < deadline, "the client does not catch up"
            assert self._poll(client, 1)
        # Whatever is left to do when idle (a search that starts over) is done by now, too.
        while not client.refreshed:
            assert time.monotonic() < deadline, "the client does not settle"
            assert self._poll(client, 0.05)

    def _check(self, client: Syncrepl) -> None:
        server = server_content(
            self.anonymous, self.base, ldap.SCOPE_SUBTREE, self.filter, self.attributes
        )
        for what, entries in (("store", client.store.items()), ("mirror", self.mirror.entries)):
            assert_equal(what, self._by_place(content(entries)), self._by_place(server))

    def _by_place(self, entries: Content) -> Content:
        """Give entries the DNs that they have, where 389-ds shows old ones.

        A client may have it either way, as it knew the entry before or did not.
        """
        if not isinstance(self.server, DS389):
            return entries
        old = old_names(self.connection, self.base)
        return {old.get(dn, dn): attrs for dn, attrs in entries.items()}


def assert_equal(what: str, found: Content, expected: Content) -> None:
    """Say what differs, and not more."""
    if found == expected:
        return
    missing = sorted(expected.keys() - found.keys())
    extra = sorted(found.keys() - expected.keys())
    other = [dn for dn in found.keys() & expected.keys() if found[dn] != expected[dn]]
    details = [(dn, found[dn], expected[dn]) for dn in other[:2]]
    raise AssertionError(f"{what}: missing {missing}, extra {extra}, different {details}")


def run_seed(server: Server, seed: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        Workload(server, seed, f"{directory}/").run()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--slapd", type=int, default=0, help="seeds on slapd, with and without log")
    parser.add_argument("--ds389", type=int, default=0, help="seeds on 389-ds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    kinds: list[tuple[str, Callable[[], Server], range]] = []
    half = (options.slapd + 1) // 2
    first = options.first
    with_log = partial(Slapd, sessionlog=100, extra_config=EXACT_NAME)
    without_log = partial(Slapd, extra_config=EXACT_NAME)
    kinds.append(("slapd", with_log, range(first, first + half)))
    rest = range(first + half, first + options.slapd)
    kinds.append(("slapd without session log", without_log, rest))
    kinds.append(("389-ds", DS389, range(first, first + options.ds389)))
    failures = 0
    for name, make, seeds in kinds:
        if not seeds:
            continue
        with make() as server:
            for seed in seeds:
                try:
                    run_seed(server, seed)
                    print(f"{name}: seed {seed} passed", flush=True)
                except Exception as error:  # noqa: BLE001 - whatever it is, the seed failed
                    failures += 1
                    print(
                        f"{name}: seed {seed} FAILED: {type(error).__name__}: {error}", flush=True
                    )
    print(f"{failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
