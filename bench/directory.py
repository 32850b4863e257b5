# SPDX-License-Identifier: BSD-3-Clause
"""The directory that is read and changed, and this library's store of it."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ldap

from bench.measure import ROOT, ProgramFailed, Run, measure, program
from tests.servers import Slapd
from tests.servers.people import (
    SUFFIX,
    Attributes,
    base_entries,
    branch_entry,
    ldif,
    person,
    person_dn,
    uid,
)
from tests.servers.slapd import GIBIBYTE

CONTAINERS = 4
"""The suffix, ou=people, ou=groups and ou=movers."""
CONTAINER = 50_000
"""So many people at most are below the container that is renamed."""
BYTES_AN_ENTRY = 8192
WINDOW = 32
"""So many requests of one connection are under way at once."""


def entries(count: int) -> Iterator[tuple[str, Attributes]]:
    """The suffix, its branches, and *count* people, up to half of them in a container."""
    yield from base_entries()
    yield f"ou=movers,{SUFFIX}", branch_entry("movers")
    for number in range(count):
        branch = "people" if number < count - movers(count) else "movers"
        yield f"uid={uid(number)},ou={branch},{SUFFIX}", person(number)


def movers(count: int) -> int:
    """How many of *count* people are in the container that is renamed."""
    return min(CONTAINER, count // 2)


def maxsize(count: int) -> int:
    """Bytes that a slapd's database with *count* people may take."""
    return GIBIBYTE + count * BYTES_AN_ENTRY


@contextmanager
def serve(count: int, directory: Path) -> Iterator[Slapd]:
    """A slapd with *count* people, and without a session log, so that there are present phases."""
    path = directory / "content.ldif"
    with path.open("w", encoding="ascii") as file:
        file.writelines(ldif(entries(count)))
    with Slapd(ldif=path, maxsize=maxsize(count)) as server:
        path.unlink()
        yield server


@dataclass(frozen=True)
class Place:
    """What a scenario works with.

    peers: whether programs are measured that this project doesn't ship.
    tree: the checkout with the library that is measured.
    """

    server: Slapd
    entries: int
    pairs: int
    directory: Path
    peers: bool = True
    tree: Path = ROOT

    @property
    def url(self) -> str:
        """The search that every contestant does: all entries, all user attributes."""
        return f"{self.server.url}/{SUFFIX}?*?sub?(objectClass=*)"

    def empty(self, name: str) -> Path:
        """An empty directory."""
        path = self.directory / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path

    def client(self, store: Path, *options: str) -> list[str]:
        """The command that refreshes *store* with this library."""
        return program("client", f"{store}/", self.url, *options)

    def refresh(self, store: Path, *options: str, deleted: int = 0) -> Run:
        """Measure a refresh of *store*, and see that all is there that should be.

        Raises:
            ProgramFailed: it isn't.
        """
        run = measure(self.client(store, *options), path=self.tree)
        wanted, found = self.entries + CONTAINERS - deleted, count_entries(store)
        if found != wanted:
            raise ProgramFailed(f"the store has {found} entries after the refresh, not {wanted}")
        return run

    def store(self) -> Path:
        """A store that is up to date: the same one each time."""
        path = self.directory / "kept"
        path.mkdir(exist_ok=True)
        self.refresh(path)
        return path

    def copy(self, store: Path, name: str) -> Path:
        """A copy of *store*."""
        path = self.directory / name
        shutil.rmtree(path, ignore_errors=True)
        return Path(shutil.copytree(store, path))


def count_entries(store: Path) -> int:
    """How many entries a store has."""
    ((count,),) = _execute(store, "SELECT count(*) FROM syncrepl_entry")
    return int(count)


def read_cookie(store: Path) -> str:
    """The cookie in a store."""
    ((cookie,),) = _execute(store, "SELECT cookie FROM syncrepl_origin")
    return bytes(cookie).decode()


def forget_cookie(store: Path) -> None:
    """Take the cookie out of a store."""
    _execute(store, "UPDATE syncrepl_origin SET cookie = NULL")


def _execute(store: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(store / "syncrepl.sqlite3")) as connection, connection:
        return connection.execute(sql).fetchall()


def write(server: Slapd, requests: Iterable[tuple[Any, ...]]) -> tuple[float, float]:
    """Send *requests*, many at a time: (method's name, argument...).

    Returns:
        When the first was sent, and when the last was answered.
    """
    with server.connected() as connection:
        pending: list[int] = []
        began = time.monotonic()
        for name, *arguments in requests:
            pending.append(getattr(connection, name)(*arguments))
            if len(pending) >= WINDOW:
                connection.result(pending.pop(0))
        for each in pending:
            connection.result(each)
        return began, time.monotonic()


def describe(dn: str, text: str) -> tuple[Any, ...]:
    """The request that sets a description."""
    return ("modify_ext", dn, [(ldap.MOD_REPLACE, "description", [text.encode()])])


def delete_people(server: Slapd, count: int) -> None:
    """Delete the first people."""
    write(server, (("delete_ext", person_dn(number)) for number in range(count)))


def add_people(server: Slapd, count: int) -> None:
    """Add the first people (again)."""
    people = ((person_dn(number), list(person(number).items())) for number in range(count))
    write(server, (("add_ext", dn, attributes) for dn, attributes in people))
