# SPDX-License-Identifier: BSD-3-Clause
"""What LDIFCallback writes of one slapd, ldapmodify applies to another: they become equal."""

from __future__ import annotations

import io
import random
import subprocess
from typing import Any, Callable

import ldap
import pytest
from ldap.ldapobject import LDAPObject

from syncrepl_client import LDIFCallback, Syncrepl
from syncrepl_client.store import MemoryStore
from tests.conftest import missing_servers_skip
from tests.faults.recorder import PERSIST
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.mirror import Content, content
from tests.servers import Slapd
from tests.servers.people import SUFFIX, branch_entry, person
from tests.servers.process import find_program

pytestmark = pytest.mark.usefixtures("watchdog")

RunServer = Callable[..., Any]
PEOPLE = f"ou=people,{SUFFIX}"


class Pair:
    """A slapd that is followed, and one without any entry that is to become like it."""

    def __init__(self, run_server: RunServer, sessionlog: int | None = 1000) -> None:
        self.source: Slapd = run_server(Slapd, sessionlog=sessionlog)
        self.target: Slapd = run_server(Slapd, syncprov=False, ldif="\n")
        self.store = MemoryStore()

    def follow(self, work: Callable[[LDAPObject], None]) -> str:
        """Return what is written of a refresh, and then of what *work* does."""
        stream = io.StringIO()
        url = f"{self.source.url}/{SUFFIX}?*,%2B?sub"
        with Syncrepl("", LDIFCallback(stream), PERSIST, url, store=self.store) as client:
            self.settle(client, stream)
            with self.source.connected() as connection:
                work(connection)
            self.settle(client, stream)
        return stream.getvalue()

    def settle(self, client: Syncrepl, stream: io.StringIO) -> None:
        """Poll until the store has what the server has."""
        for _ in range(200):
            client.poll(0.1)
            stored = content(client.store.items())
            seen = {dn: {"entrycsn": attrs["entrycsn"]} for dn, attrs in stored.items()}
            if seen == dict_of(self.source, "entryCSN"):
                return
        pytest.fail(f"the client does not come after:\n{stream.getvalue()}")

    def ldapmodify(self) -> list[str]:
        """Return the command that changes the target."""
        with missing_servers_skip():
            program = find_program("ldapmodify", "ldap-utils")
        bind = ["-x", "-D", self.target.root_dn, "-w", self.target.root_pw]
        return [program, "-H", self.target.url, *bind]

    def apply(self, text: str) -> None:
        """Have ldapmodify do what *text* says."""
        done = subprocess.run(
            self.ldapmodify(),
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{done.stderr}\n{text}"

    def equal(self) -> None:
        """See that both have the same entries, those attributes aside that servers set."""
        assert dict_of(self.target, "*") == dict_of(self.source, "*")


def dict_of(server: Slapd, *attrs: str) -> Content:
    with server.connected() as connection:
        try:
            found = connection.search_s(server.suffix, ldap.SCOPE_SUBTREE, attrlist=[*attrs])
        except ldap.NO_SUCH_OBJECT:
            return {}
    return content(dict(found))


@pytest.fixture
def pair(run_server: RunServer) -> Pair:
    return Pair(run_server)


def add_person(connection: LDAPObject, number: int, above: str = PEOPLE, **more: bytes) -> str:
    attrs = {**person(number), **{name: [value] for name, value in more.items()}}
    name = attrs["uid"][0].decode()
    connection.add_s(f"uid={name},{above}", list(attrs.items()))
    return f"uid={name},{above}"


def add_unit(connection: LDAPObject, name: str, above: str) -> str:
    connection.add_s(f"ou={name},{above}", list(branch_entry(name).items()))
    return f"ou={name},{above}"


def everything(connection: LDAPObject) -> None:
    """Adds, modifications, renames of leaves and of subtrees, deletes."""
    ann, bob, cid, dan = (add_person(connection, number) for number in range(4))
    connection.modify_s(
        ann,
        [
            (ldap.MOD_ADD, "mail", [b"two@example.com", b"three@example.com"]),
            (ldap.MOD_DELETE, "title", None),
            (ldap.MOD_ADD, "jpegPhoto", [b"\xff\xd8\0\n"]),
            (ldap.MOD_REPLACE, "cn;lang-de", ["Änne".encode()]),
            (ldap.MOD_REPLACE, "description", [b" begins with a space", b"\ttab", b"long " * 60]),
        ],
    )
    connection.rename_s(bob, "uid=robert")
    connection.rename_s(cid, "uid=cedric", delold=0)
    connection.rename_s(dan, "cn=Dan\\, the Man+uid=dan", f"ou=groups,{SUFFIX}")
    top = add_unit(connection, "top", SUFFIX)
    inner = add_unit(connection, "Größe", top)
    eve = add_person(connection, 10, inner)
    add_person(connection, 11, top)
    connection.rename_s(top, "ou=Upper", PEOPLE)
    upper = f"ou=Upper,{PEOPLE}"
    connection.rename_s(upper, "ou=upper", delold=0)
    connection.modify_s(eve.replace(top, upper), [(ldap.MOD_REPLACE, "title", [b"Boss"])])
    connection.rename_s(eve.replace(top, upper), "uid=eve", PEOPLE)
    top = add_unit(connection, "top", SUFFIX)
    connection.rename_s(add_person(connection, 12, top), "uid=twelve")
    connection.delete_s(f"uid=robert,{PEOPLE}")


def test_what_happens(pair: Pair) -> None:
    text = pair.follow(everything)
    pair.apply(text)
    pair.equal()
    assert text.count("version: 1\n") == 1
    assert text.count("changetype: modrdn\n") == 7


def some(connection: LDAPObject) -> None:
    """A tree, and who is in it."""
    inner = add_unit(connection, "inner", add_unit(connection, "top", SUFFIX))
    for number in range(6):
        add_person(connection, number, inner)


def meanwhile(connection: LDAPObject) -> None:
    """What can happen to it, parents first."""
    inner = f"ou=inner,ou=top,{SUFFIX}"
    people = [f"uid=u{number:07d},{inner}" for number in range(6)]
    connection.delete_s(people[0])
    connection.modify_s(people[1], [(ldap.MOD_REPLACE, "title", [b"Boss"])])
    connection.rename_s(people[2], "uid=new", PEOPLE)
    connection.rename_s(inner, "ou=outer", SUFFIX)
    outer = f"ou=outer,{SUFFIX}"
    connection.rename_s(people[3].replace(inner, outer), "uid=newer")
    add_person(connection, 7, outer)
    connection.delete_s(f"ou=top,{SUFFIX}")


def test_what_happened_meanwhile(pair: Pair) -> None:
    first = pair.follow(some)
    with pair.source.connected() as connection:
        meanwhile(connection)
    pair.apply(first)
    pair.apply(pair.follow(lambda _: None))
    pair.equal()


def test_an_empty_directory_is_made(pair: Pair) -> None:
    pair.apply(pair.follow(lambda _: None))
    pair.equal()


def moved(dns: list[str], old: str, new: str) -> list[str]:
    return [dn.removesuffix(old) + new if dn.endswith(old) else dn for dn in dns]


def churn(lots: random.Random) -> Callable[[LDAPObject], None]:
    """Sixty attempts at a change, in a tree."""

    def work(connection: LDAPObject) -> None:
        units, leaves = [f"ou=people,{SUFFIX}", f"ou=groups,{SUFFIX}"], list[str]()
        for number in range(60):
            what = lots.choice(["unit", "add", "add", "modify", "rename", "rename", "delete"])
            try:
                if what == "unit":
                    units.append(add_unit(connection, f"u{lots.randrange(6)}", lots.choice(units)))
                elif what == "add":
                    leaves.append(add_person(connection, lots.randrange(20), lots.choice(units)))
                elif what == "modify":
                    title = f"T{number}".encode()
                    connection.modify_s(lots.choice(leaves), [(ldap.MOD_REPLACE, "title", title)])
                elif what == "rename":
                    old = lots.choice([*leaves, *units[2:]])
                    rdn = f"{old[: old.index('=')]}=r{lots.randrange(6)}"
                    above = lots.choice([None, *units])
                    connection.rename_s(old, rdn, above, delold=lots.randrange(2))
                    new = f"{rdn},{above or old.partition(',')[2]}"
                    units, leaves = moved(units, old, new), moved(leaves, old, new)
                elif what == "delete":
                    connection.delete_s(lots.choice([*leaves, *units[2:]]))
            except (ldap.LDAPError, IndexError):
                continue  # the lots did not know better

    return work


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens(seed: int, pair: Pair) -> None:
    text = pair.follow(churn(random.Random(seed)))
    pair.apply(text)
    pair.equal()
