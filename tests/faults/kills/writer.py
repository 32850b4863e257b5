# SPDX-License-Identifier: BSD-3-Clause
"""Those who change the directory: each change carries its tick (see :mod:`.mirrors`)."""

from __future__ import annotations

import itertools
import random
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import ldap
from ldap.ldapobject import LDAPObject

from tests.servers import Server
from tests.servers.people import person, person_dn
from tests.workload import parent, rdn

ticks = itertools.count(1)
MARKER = "cn=marker"
MARKS = 1_000_000_000
LETTERS = (("",), ("",), ("ß", "ss"), ("\u03c3", "\u03c2"), ("é",))
"""What is in names; two together make names that servers keep apart, and others might not."""
REFUSED = (ldap.NO_SUCH_OBJECT, ldap.ALREADY_EXISTS, ldap.NOT_ALLOWED_ON_NONLEAF, ldap.OTHER)


class Writer:
    """Adds, changes, renames and deletes people and teams that are its own.

    No DN is ever used twice, so that nothing is in the way of anything; the entries that
    collide are the workload's (``tests.workload``).
    """

    def __init__(
        self, server: Server, name: str, chance: random.Random, *, rename_teams: bool = True
    ) -> None:
        """Nothing is connected before :meth:`connect`."""
        self._server = server
        self._chance = chance
        self.base = f"ou={name},{server.suffix}"
        self._people: list[str] = []
        self._teams: list[str] = []
        self.connection: LDAPObject | None = None
        self._operations = [self.add] * 5 + [self.modify] * 5 + [self.rename] * 3
        self._operations += [self.delete] * 5 + [self.add_team, self.move, self.move]
        self._operations += [self.rename_team] * rename_teams

    def connect(self) -> None:
        """Connect, make the base where it is missing, and see what there is."""
        self.close()
        self.connection = self._server.connect()
        with suppress(ldap.ALREADY_EXISTS):
            self._ldap.add_s(self.base, [("objectClass", [b"organizationalUnit"])])
        self.look()

    def look(self) -> None:
        """See what there is: after a crash nobody knows whether the last change was made."""
        found = self._ldap.search_s(self.base, ldap.SCOPE_SUBTREE, attrlist=["1.1"])
        names = [dn for dn, _ in found if dn != self.base]
        self._teams = [dn for dn in names if dn.startswith("ou=")]
        self._people = [dn for dn in names if not dn.startswith("ou=")]

    @property
    def _ldap(self) -> LDAPObject:
        assert self.connection is not None
        return self.connection

    def close(self) -> None:
        """Disconnect."""
        if self.connection is not None:
            connection, self.connection = self.connection, None
            with suppress(ldap.LDAPError):  # the server may be gone
                connection.unbind_s()

    def change(self, count: int = 1) -> None:
        """Change something, so many times."""
        for _ in range(count):
            try:
                self._chance.choice(self._operations)()
            except REFUSED:
                self.look()

    def add(self) -> None:
        """Add a person to a team or beside it, or two."""
        tick, place = next(ticks), self._place()
        for letters in self._chance.choice(LETTERS):
            dn = f"cn=p{letters}{tick}r{tick},{place}"
            self._ldap.add_s(
                dn, [("objectClass", [b"inetOrgPerson"]), ("sn", [b"x"]), version(next(ticks))]
            )
            self._people.append(dn)

    def add_team(self) -> None:
        """Add a container, or two."""
        tick = next(ticks)
        for letters in self._chance.choice(LETTERS):
            dn = f"ou=t{letters}{tick}r{tick},{self.base}"
            self._ldap.add_s(dn, [("objectClass", [b"organizationalUnit"])])
            self._teams.append(dn)

    def modify(self) -> None:
        """Change an attribute."""
        name, value = version(next(ticks))
        self._ldap.modify_s(self._person(), [(ldap.MOD_REPLACE, name, value)])

    def delete(self) -> None:
        """Delete a person."""
        dn = self._person()
        self._ldap.delete_s(dn)
        self._people.remove(dn)

    def rename(self) -> None:
        """Give a person another name."""
        self._rename(self._person(), None)

    def move(self) -> None:
        """Give a person another place (and name)."""
        self._rename(self._person(), self._place())

    def _rename(self, dn: str, superior: str | None) -> None:
        new_rdn = renamed(dn, next(ticks))
        self._ldap.rename_s(dn, new_rdn, superior)
        self._people.remove(dn)
        self._people.append(f"{new_rdn},{superior or parent(dn)}")

    def rename_team(self) -> None:
        """Rename a container, and with it all below it."""
        if not self._teams:
            return
        dn = self._chance.choice(self._teams)
        new_rdn = renamed(dn, next(ticks))
        self._ldap.rename_s(dn, new_rdn)
        new = f"{new_rdn},{self.base}"
        self._teams = [new if each == dn else each for each in self._teams]
        self._people = [
            each[: -len(dn)] + new if each.endswith(f",{dn}") else each for each in self._people
        ]

    def _place(self) -> str:
        return self._chance.choice([self.base, *self._teams])

    def _person(self) -> str:
        if not self._people:
            raise ldap.NO_SUCH_OBJECT
        return self._chance.choice(self._people)


def renamed(dn: str, tick: int) -> str:
    """The RDN that an entry gets at that tick."""
    return f"{re.sub('r[0-9]+$', '', rdn(dn))}r{tick}"


def version(tick: int) -> tuple[str, list[bytes]]:
    """The attribute that carries a tick."""
    return "description", [b"v%d" % tick]


def next_mark() -> str:
    """The next value of the marker; greater than all ticks, so that it may be kept ready."""
    return f"v{MARKS + next(ticks)}"


def mark(server: Server, value: str | None = None) -> str:
    """Change the marker, which is told after all that happened before; return its value."""
    value = value or next_mark()
    dn = f"{MARKER},{server.suffix}"
    attribute = ("description", [value.encode()])
    with server.connected() as connection:
        try:
            connection.modify_s(dn, [(ldap.MOD_REPLACE, *attribute)])
        except ldap.NO_SUCH_OBJECT:
            connection.add_s(dn, [("objectClass", [b"applicationProcess"]), attribute])
    return value


def load(server: Server, people: int) -> None:
    """Add people to ou=people, whom nobody changes ever after: any change of them is invented."""
    with server.connected() as connection:
        for number in range(people):
            with suppress(ldap.ALREADY_EXISTS):
                connection.add_s(person_dn(number, server.suffix), list(person(number).items()))


class Storm:
    """Writers at work, each in a thread, as fast as the server takes it."""

    def __init__(self, writers: list[Writer]) -> None:
        self._writers = writers
        self._stop = threading.Event()
        self.changes = 0

    @contextmanager
    def blowing(self) -> Iterator[None]:
        """Write for the length of a with block; a server that goes away ends it early."""
        threads = [threading.Thread(target=self._work, args=(each,)) for each in self._writers]
        self._stop.clear()
        with ExitStack() as stack:
            for thread in threads:
                thread.start()
                stack.callback(thread.join)
            stack.callback(self._stop.set)
            yield

    def _work(self, writer: Writer) -> None:
        while not self._stop.is_set():
            try:
                writer.change()
                self.changes += 1
            except ldap.LDAPError:
                return
