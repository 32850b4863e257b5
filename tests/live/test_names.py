# SPDX-License-Identifier: BSD-3-Clause
"""Names that are alike: which of them a server takes for one, and that all others are followed."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from typing import Callable

import ldap
import pytest
from ldap.dn import escape_dn_chars
from ldap.ldapobject import LDAPObject

from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.entries import dn
from tests.conftest import missing_servers_skip
from tests.mirror import Mirror, content, server_content
from tests.servers import DS389, Server, Slapd
from tests.workload import EXACT_NAME

STORES = pytest.mark.parametrize("store", ["sqlite", "shelve"])
LETTERS = [chr(point) for point in range(0x20, 0x10000) if not 0xD800 <= point < 0xE000]
"""Of the Basic Multilingual Plane."""


@pytest.fixture(scope="module")
def exact_slapd() -> Iterator[Slapd]:
    """An OpenLDAP server that knows ``exactName``; it remembers all deletes."""
    with missing_servers_skip(), Slapd(sessionlog=99999, extra_config=EXACT_NAME) as server:
        yield server


class Directory:
    """What is below ou=people; DNs are relative to that."""

    def __init__(self, server: Server, stack: ExitStack) -> None:
        self.is_slapd = isinstance(server, Slapd)
        self.base = f"ou=people,{server.suffix}"
        self.url = f"{server.url}/{self.base}??sub?(objectClass=*)"
        self.connection: LDAPObject = stack.enter_context(server.connected())
        self.anonymous = ldap.initialize(server.url)
        stack.callback(self.anonymous.unbind_s)

    def add(self, *names: str) -> list[str]:
        """Add people, many at once; return the names that the server takes for new ones."""
        added = []
        for start in range(0, len(names), AT_ONCE):
            some = names[start : start + AT_ONCE]
            sent = [self.connection.add(self.dn(name), PERSON) for name in some]
            added += [name for name, number in zip(some, sent) if self._added(number)]
        return added

    def _added(self, number: int) -> bool:
        try:
            self.connection.result(number)
        except ldap.ALREADY_EXISTS:
            return False
        return True

    def add_container(self, name: str, people: Iterable[str]) -> None:
        self.connection.add_s(self.dn(name), CONTAINER)
        self.add(*(f"cn={each},{name}" for each in people))

    def rename(self, name: str, new_rdn: str, new_parent: str | None = None) -> None:
        above = None if new_parent is None else self.dn(new_parent)
        self.connection.rename_s(self.dn(name), new_rdn, above)

    def delete(self, *names: str) -> None:
        for name in names:
            self.connection.delete_s(self.dn(name))

    def dn(self, name: str) -> str:
        return f"{name},{self.base}"

    def content(self) -> dict[str, dict[str, list[bytes]]]:
        return server_content(self.anonymous, self.base, ldap.SCOPE_SUBTREE, "(objectClass=*)", [])


AT_ONCE = 500
"""So many requests wait at once: slapd hangs up on who has more than a thousand."""
PERSON = [("objectClass", [b"inetOrgPerson", b"extensibleObject"]), ("cn", [b"x"]), ("sn", [b"x"])]
CONTAINER = [("objectClass", [b"organizationalUnit", b"extensibleObject"]), ("ou", [b"x"])]


@pytest.fixture(params=[Slapd, DS389])
def directory(request: pytest.FixtureRequest) -> Iterator[Directory]:
    with ExitStack() as stack:
        if request.param is Slapd:
            server = request.getfixturevalue("exact_slapd")
            server.wipe()
        else:
            server = request.getfixturevalue("ds389")
            server.reset()
        yield Directory(server, stack)


class Follower:
    """A client that comes and goes, and what its callback was told."""

    def __init__(self, directory: Directory, store: str, path: Path) -> None:
        self.directory = directory
        self.store = store
        self.path = f"{path}/"
        self.mirror = Mirror()
        self.marks = 0

    def refresh(self, change: Callable[[], object]) -> list[str]:
        """Change the directory while no client looks, then refresh; return what was told."""
        change()
        self.mirror.changes.clear()
        with self._client(SyncreplMode.REFRESH_ONLY) as client:
            client.run()
            self._check(client)
        return self._told()

    def reload(self) -> list[str]:
        """Search without a cookie; return what was told."""
        self.mirror.changes.clear()
        with self._client(SyncreplMode.REFRESH_ONLY) as client:
            client.reconcile()
            client.run()
            self._check(client)
            assert client.verify() == []
        return self._told()

    def persist(self, *changes: Callable[[], object]) -> Iterator[list[str]]:
        """Change the directory while a client looks; yield what was told of each change."""
        with self._client(SyncreplMode.REFRESH_AND_PERSIST) as client:
            while not client.refreshed:
                assert client.poll(20)
            for change in changes:
                self.mirror.changes.clear()
                change()
                self._catch_up(client)
                yield self._told()

    def _client(self, mode: SyncreplMode) -> Syncrepl:
        return Syncrepl(self.path, self.mirror, mode, self.directory.url, store=self.store)

    def _catch_up(self, client: Syncrepl) -> None:
        """Change the base, which is told after all that happened before."""
        self.marks += 1
        base, mark = self.directory.base, b"%d" % self.marks
        self.directory.connection.modify_s(base, [(ldap.MOD_REPLACE, "description", [mark])])
        while self.mirror.entries[base].get("description") != [mark] or not client.refreshed:
            assert client.poll(20)
        client.poll(0)
        self._check(client)

    def _check(self, client: Syncrepl) -> None:
        expected = self.directory.content()
        items = client.store.items()
        assert content(items) == expected
        assert content(self.mirror.entries) == expected

    def _told(self) -> list[str]:
        told = [each for each in self.mirror.changes if each.new_dn != self.directory.base]
        return sorted(
            " ".join((each.kind.value, *(self._short(name) for name in (each.old_dn, each.new_dn))))
            for each in told
        )

    def _short(self, name: str | None) -> str:
        return "-" if name is None else name.replace(f",{self.directory.base}", "")


# --- one name


def folded() -> Iterator[tuple[str, str]]:
    """Two spellings of a name for each thing that a key folds."""
    for letter in LETTERS:
        for other in {letter.lower(), letter.casefold(), unicodedata.normalize("NFKC", letter)}:
            pair = f"cn={escape_dn_chars(letter)}z", f"cn={escape_dn_chars(other)}z"
            if letter != other and dn.key(pair[0]) == dn.key(pair[1]):
                yield pair
    yield from (
        ("CN=a", "cn = A "), ("cn=a  b", "cn=a b"), ("cn=a\\2cb", "cn=a\\,b"),
        ("cn=a\\3Db", "cn=a\\=b"), ("cn=\\20a", "cn=\\ a"), ("cn=\\61", "cn=a"),
        ("cn=a\\5Cb", "cn=a\\\\b"), ("cn=a\\2bb", "cn=a\\+b"), ("cn=\\23a", "cn=\\#a"),
        ("cn=a#b", "cn=a\\#b"), ("cn=a+sn=b", "SN=B + CN=A"), ("cn=\\c3\\89", "cn=é"),
    )  # fmt: skip
    yield from ((f"{name}=aB", f"{name}=Ab") for name in sorted(dn._CASELESS))


def test_what_a_key_folds_every_server_folds(directory: Directory) -> None:
    pairs = list(folded())
    assert len(pairs) > 540
    assert all(dn.key(one) == dn.key(other) for one, other in pairs)
    numbered = [f"{name}+roomNumber={number}" for number, pair in enumerate(pairs) for name in pair]
    added = {name.partition("+roomNumber=")[2]: name for name in directory.add(*numbered)}
    both = [name for name in numbered if name not in added.values()]
    assert len(both) == len(added) == len(pairs)


# --- many names


def alike() -> Iterator[list[str]]:
    """Letters, and other text, that NFKC and casefold() make the same of."""
    groups: dict[str, list[str]] = {}
    for letter in LETTERS:
        text = unicodedata.normalize("NFKC", letter).casefold()
        groups.setdefault(text, [text] if text else []).append(letter)
    for group in groups.values():
        different = list(dict.fromkeys(group))
        if len(different) > 1:
            yield different


def batches(size: int) -> Iterator[list[str]]:
    """Names that have letters of so many groups each, and differ in nothing else."""
    groups = list(alike())
    for start in range(0, len(groups), size):
        some = groups[start : start + size]
        texts = zip_longest(*some)
        names = [
            "".join(letter or group[0] for letter, group in zip(letters, some)) for letters in texts
        ]
        yield [f"cn={start} {escape_dn_chars(name)}z" for name in names]


@STORES
def test_every_letter(directory: Directory, store: str, tmp_path: Path) -> None:
    """One name of each kind is there; the others come while a client looks, or between two."""
    names = list(batches(1 if directory.is_slapd else 30))
    half = len(names) // 2
    there = [some[0] for some in names]
    come = [[name for some in part for name in some[1:]] for part in (names[:half], names[half:])]
    came: list[list[str]] = []
    follower = Follower(directory, store, tmp_path)
    assert len(follower.refresh(lambda: directory.add(*there))) == len(there)
    (told,) = follower.persist(lambda: came.append(directory.add(*come[0])))
    told_later = follower.refresh(lambda: came.append(directory.add(*come[1])))
    for words, new in ((told, came[0]), (told_later, came[1])):
        assert {word.split()[0] for word in words} == {"add"}
        assert len(words) == len(new) > 100
    assert follower.reload() == []


# --- names that servers keep apart

BESIDE = [("cn=Weiss", "cn=Weiß"), ("cn=\u03c3a\u03c3", "cn=\u03c3a\u03c2"), ("cn=Ș", "cn=ș"),
          ("cn=é", "cn=e\u0301"), ("cn=a b", "cn=a\u00a0b"), ("cn=a\\3Db", "cn=a=b"),
          ("cn=\\20a", "cn=a"), ("labeledURI=http://h/A", "labeledURI=http://h/a"),
          ("telephoneNumber=1a", "telephoneNumber=1A"), ("userPassword=A", "userPassword=a"),
          ("exactName=A", "exactName=a")]  # fmt: skip
PEOPLE = [str(number) for number in range(50)]


def containers(directory: Directory) -> list[tuple[str, str]]:
    """Names that every server keeps apart, and names with one key or with other escapes."""
    own = ("exactName=Box", "exactName=box") if directory.is_slapd else ("ou=a\\3Db", "ou=a=b")
    return [("ou=Strasse", "ou=Straße"), own]


@STORES
def test_one_beside_the_other(directory: Directory, store: str, tmp_path: Path) -> None:
    known = [each for each in BESIDE if directory.is_slapd or each != BESIDE[-1]]
    first, second = zip(*known)
    follower = Follower(directory, store, tmp_path)
    follower.refresh(lambda: directory.add(*first))
    came: list[str] = []
    (told,) = follower.persist(lambda: came.extend(directory.add(*second)))
    assert told == sorted(f"add - {name}" for name in came)
    assert len(came) == (6 if directory.is_slapd else 7)
    told = follower.refresh(lambda: directory.delete(*first))
    assert told == sorted(f"delete {name} -" for name in first)
    told = follower.refresh(lambda: came.extend(directory.add(*first)))
    assert told == sorted(f"add - {name}" for name in first)
    gone = [name for name in came if name in second]
    (told,) = follower.persist(lambda: directory.delete(*gone))
    assert told == sorted(f"delete {name} -" for name in gone)
    assert follower.reload() == []


def subtree(kind: str, *names: str) -> list[str]:
    """What is told of a container, and of what is in it."""
    old, new = names
    below = [
        tuple(f"cn={each},{name}" if name != "-" else "-" for name in names) for each in PEOPLE
    ]
    return sorted(" ".join((kind, *each)) for each in [(old, new), *below])


@STORES
@pytest.mark.parametrize("number", [0, 1])
def test_containers(directory: Directory, store: str, number: int, tmp_path: Path) -> None:
    one, other = containers(directory)[number]
    follower = Follower(directory, store, tmp_path)
    told = follower.refresh(lambda: directory.add_container(one, PEOPLE))
    assert set(subtree("add", "-", one)) <= set(told)
    persisted = follower.persist(
        lambda: directory.add_container(other, PEOPLE),
        lambda: directory.rename(other, "ou=moved"),
        lambda: directory.rename("ou=moved", other),
        lambda: directory.rename(one, "ou=moved"),
        lambda: directory.rename("ou=moved", one),
        lambda: directory.rename(f"cn=7,{one}", "cn=seven", other),
        lambda: directory.rename(f"cn=seven,{other}", "cn=7", one),
    )
    assert list(persisted) == [
        subtree("add", "-", other),
        subtree("rename", other, "ou=moved"),
        subtree("rename", "ou=moved", other),
        subtree("rename", one, "ou=moved"),
        subtree("rename", "ou=moved", one),
        [f"rename cn=7,{one} cn=seven,{other}"],
        [f"rename cn=seven,{other} cn=7,{one}"],
    ]
    assert follower.reload() == []
    told = follower.refresh(lambda: directory.rename(other, "ou=moved"))
    assert told == subtree("rename", other, "ou=moved")
    told = follower.refresh(lambda: directory.add_container(other, PEOPLE))
    assert told == subtree("add", "-", other)
    gone = [*(f"cn={each},{one}" for each in PEOPLE), one]
    told = follower.refresh(lambda: directory.delete(*gone))
    assert told == subtree("delete", one, "-")
    assert follower.reload() == []


@STORES
def test_namesakes_in_a_first_refresh(directory: Directory, store: str, tmp_path: Path) -> None:
    """Two containers swap their names between two clients, with all that is in them."""
    pairs = containers(directory)
    for one, other in pairs:
        directory.add_container(one, PEOPLE[:20])  # fewer than the deletion guard looks at
        directory.add_container(other, PEOPLE[:10])
    follower = Follower(directory, store, tmp_path)
    assert len(follower.refresh(lambda: None)) == 32 * len(pairs)
    assert follower.reload() == []

    def swap() -> None:
        for one, other in pairs:
            directory.rename(one, "ou=swap")
            directory.rename(other, one)
            directory.rename("ou=swap", other)

    told = follower.refresh(swap)
    assert {word.split()[0] for word in told} <= {"rename", "delete", "add"}
    assert follower.reload() == []
