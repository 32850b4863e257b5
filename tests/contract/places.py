# SPDX-License-Identifier: BSD-3-Clause
"""Where stores live in these tests, and what is put into them."""

from __future__ import annotations

import dbm
import os
import secrets
import signal
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Callable

import pytest

from syncrepl_client.entries import attributes, dn
from syncrepl_client.protocol.view import Record
from syncrepl_client.store import DataPath, MemoryStore, Origin, Store, location, open_store
from tests.servers.postgresql import PostgreSQL

KINDS = ("sqlite", "shelve", "memory", "postgresql")
LOCAL_KINDS = ("sqlite", "shelve", "memory")
LASTING_KINDS = ("sqlite", "shelve", "postgresql")
FILE_KINDS = ("sqlite", "shelve")


class Place:
    """A directory in which a store of one kind is opened, closed, and opened again."""

    def __init__(self, kind: str, directory: Path) -> None:
        self.kind = kind
        self.directory = directory
        self.prefix = f"{directory}{os.sep}"
        self.where: DataPath = self.prefix
        self.path = directory / f"syncrepl.{'sqlite3' if kind == 'sqlite' else 'shelve'}"
        self._kept: Store | str = MemoryStore() if kind == "memory" else kind
        self._opened: list[Store] = []

    def open(self) -> Store:
        """Open the store; the one in memory is the same each time."""
        store = open_store(self._kept, self.where)
        self._opened.append(store)
        return store

    def create(self, *records: Record, cookie: bytes | None = None) -> Store:
        """Open the store, make it, and fill it."""
        store = self.open()
        store.create()
        fill(store, *records, cookie=cookie)
        return store

    def make(self, *records: Record, cookie: bytes | None = b"c") -> None:
        """Leave a store there, closed."""
        self.create(*records, cookie=cookie).close()

    def close(self) -> None:
        while self._opened:
            self._opened.pop().close()

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Everything in the directory: mode, and content or target."""
        found = {}
        for path in sorted(self.directory.rglob("*")):
            content = b""
            if path.is_symlink():
                content = os.fsencode(path.readlink())
            elif path.is_file():
                content = path.read_bytes()
            found[str(path.relative_to(self.directory))] = path.lstat().st_mode, content
        return found


class Schema(Place):
    """A schema of its own in a PostgreSQL database."""

    def __init__(self, server: PostgreSQL, directory: Path) -> None:
        super().__init__("postgresql", directory)
        self.server = server
        self.name = f"store_{secrets.token_hex(8)}"
        self.where = location.PostgreSQL(server.socket_url, schema=self.name)

    def close(self) -> None:
        super().close()
        self.server.execute(f"DROP SCHEMA IF EXISTS {self.name} CASCADE")

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Everything in the schema, and the schema itself: an ID, and a description."""
        found = self.server.execute(
            "SELECT nspname, pg_namespace.oid::bigint, relname || ' ' || relkind::text "
            "FROM pg_namespace LEFT JOIN pg_class ON relnamespace = pg_namespace.oid "
            "WHERE nspname = %s",
            self.name,
        )
        return {f"{name} {what}": (number, b"") for name, number, what in found}


def make_place(request: pytest.FixtureRequest, kind: str, directory: Path) -> Place:
    """Return a place for a store of that kind."""
    if kind == "postgresql":
        return Schema(request.getfixturevalue("postgresql"), directory)
    return Place(kind, directory)


def uid(number: int) -> bytes:
    return number.to_bytes(16, "big")


def record(number: int, name: str | None = None, **attrs: str) -> Record:
    """Make an entry; its DN is ``cn=NUMBER,dc=x`` if *name* is None."""
    name = f"cn={number},dc=x" if name is None else name
    values = {key: [value.encode()] for key, value in attrs.items()}
    return Record(uid(number), dn.key(name), name, attributes.encode(values))


def displaced(number: int, name: str, owner: int = 0) -> Record:
    plain = record(number, name)
    return plain._replace(key=dn.displaced(uid(owner), plain.key, plain.uuid))


def reference(number: int) -> Record:
    blob = attributes.encode({"ref": [b"ldap://h/"]})
    return Record(uid(number), dn.reference(uid(number)), "", blob)


def origin(cookie: bytes | None) -> Origin:
    url = "ldap://h/dc=x??sub?(objectClass=*)"
    return Origin(
        cookie, "other", url, "dn:cn=é,dc=x", "20261123", 1763935225.1234567, "{}", "1 of 2"
    )


def fill(store: Store, *records: Record, cookie: bytes | None = None) -> None:
    store.begin()
    for each in records:
        store.put(each)
    store.commit(None if cookie is None else origin(cookie))


class Refused(Exception):
    """What a callback raises."""


def in_savepoint(store: Store, *acts: Callable[[], object], refuse: bool = True) -> None:
    """Do that in a savepoint, and raise Refused in it, if that is asked for."""
    with store.savepoint():
        for act in acts:
            act()
        if refuse:
            raise Refused


def consistent(store: Store) -> None:
    """See that whatever way an entry is looked up by, it is the same one."""
    store.seen.clear()
    every = sorted(store.seen.to_delete(unseen=True), key=lambda each: each.key)
    live = [each for each in every if dn.is_live(each.key)]
    assert list(store.live()) == live
    assert len(store) == len(live)
    for each in every:
        assert store.get(each.uuid) == store.at(each.key) == each
        assert list(store.below(each.key)) == [
            other for other in every if other.key.startswith(each.key) and other != each
        ]
    assert store.has_displaced() is any(dn.is_displaced(each.key) for each in every)


def in_child(act: Callable[[], None]) -> int:
    """Run *act* in a child process that has no store open yet; return how it ended."""
    child = os.fork()
    if child == 0:
        try:
            act()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def shelf_format_1(path: Path, records: Iterable[Record], kept: Origin) -> None:
    """Write a shelf as it was written before there was a journal."""
    below: Counter[bytes] = Counter()
    with dbm.open(str(path), "c", 0o600) as file:
        file[b"oversion"] = b"1"
        for name, value in zip((b"ocookie", b"odialect", b"ourl"), kept):
            assert isinstance(value, (bytes, str))
            file[name] = value
        for each in records:
            name = each.dn.encode()
            sizes = len(each.key).to_bytes(4, "big") + len(name).to_bytes(4, "big")
            file[b"e" + each.uuid] = sizes + each.key + name + each.attrs
            file[b"k" + each.key] = each.uuid
            key = each.key
            while key:
                key = dn.parent(key)
                below[key] += 1
        for key, count in below.items():
            file[b"b" + key] = b"%d" % count
