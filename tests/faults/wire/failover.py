# SPDX-License-Identifier: BSD-3-Clause
"""Two servers that replicate each other, and a client that goes from one to the other."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import ldap

from syncrepl_client import Syncrepl
from tests.faults.kills.follower import following
from tests.faults.kills.place import Place, Tally, compare, searched
from tests.faults.kills.writer import Writer
from tests.faults.wire.proxy import Proxy
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd
from tests.servers.people import people_ldif

PEOPLE = 300


class Provider(Slapd):
    """One of several slapds that write to each other."""

    def __init__(self, number: int, ldif: str, *, sessionlog: int | None) -> None:
        super().__init__(server_id=number, ldif=ldif, sessionlog=sessionlog)

    def replicate(self, other: Provider) -> None:
        """Take over what the *other* has; before the start."""
        self._extra_database = "\n".join(
            [
                f"syncrepl rid=001 provider={other.url} type=refreshAndPersist",
                f'  bindmethod=simple binddn="{other.root_dn}" credentials={other.root_pw}',
                f'  searchbase="{self.suffix}" retry="1 +"',
                "multiprovider on",
                "syncprov-checkpoint 1 1",
            ]
        )

    def context(self) -> set[bytes]:
        """Its contextCSN values: one for each server that ever wrote."""
        with self.connected() as connection:
            found = connection.search_s(self.suffix, ldap.SCOPE_BASE, attrlist=["contextCSN"])
        return set(found[0][1].get("contextCSN", [])) if found else set()


@contextmanager
def pair(*, sessionlog: int | None) -> Iterator[tuple[Provider, Provider]]:
    """Two of them, with the same content.

    Containers must not be renamed in them: where a refresh has a child before its renamed parent,
    slapd 2.5 makes a glue entry with the new name, and can't rename the parent to it ever after.
    """
    one = Provider(1, people_ldif(PEOPLE), sessionlog=sessionlog)
    two = Provider(2, "", sessionlog=sessionlog)
    one.replicate(two)
    two.replicate(one)
    with one, two:
        wait_until_same(one, two)
        yield one, two


def wait_until_same(one: Provider, two: Provider) -> None:
    """Wait until both have all that either was told."""
    deadline = time.monotonic() + HANGS_SECONDS
    while True:
        try:
            if one.context() == two.context() and searched(one) == searched(two):
                return
        except ldap.LDAPError:  # the second has nothing yet
            pass
        if time.monotonic() > deadline:
            raise AssertionError("the servers do not come together")
        time.sleep(0.05)


class Failover:
    """A data path that is followed on one server, then on the other, and so on."""

    def __init__(
        self, servers: tuple[Provider, Provider], directory: Path, chance: random.Random
    ) -> None:
        self._servers = servers
        self._chance = chance
        self.place = Place(servers[0], "sqlite", directory)
        self._writers = [
            Writer(server, name, chance, rename_teams=False)
            for server, name in zip(servers, ("one", "two"))
        ]
        self._proxies: list[Proxy] = []

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Writers and proxies work for the length of a with block."""
        with ExitStack() as stack:
            for server in self._servers:
                self._proxies.append(stack.enter_context(Proxy(server.port)))
            for writer in self._writers:
                stack.callback(writer.close)
                writer.connect()
                writer.change(20)
            wait_until_same(*self._servers)
            self.follow(0, persist=False)
            yield

    def round(self, number: int, how: str) -> int:
        """Change things on both, follow one of them; return how many entries came.

        how: ``in step``: the servers are the same before the client comes; ``not in step``:
        perhaps not; ``crash``: the other one was killed while the client followed it.
        """
        which = number % 2
        if how == "crash":
            self._crash(1 - which)
        for server, writer in zip(self._servers, self._writers):
            if server.running:
                writer.change(self._chance.randint(5, 15))
        if how == "in step":
            wait_until_same(*self._servers)
        return self.follow(which, persist=number % 4 < 2)

    def _crash(self, which: int) -> None:
        with suppress(ldap.SERVER_DOWN), self._following(which, once=False) as client:
            while client.poll(0.1) and not client.refreshed:
                pass
            self._writers[which].change(10)
            client.poll(0.1)
            wait_until_same(*self._servers)  # else what was told is taken back, after a while
            self._writers[which].close()
            self._servers[which].kill()
            while client.poll(1):
                pass
        self.place.figures["crashes"] += 1

    @contextmanager
    def _following(self, which: int, *, once: bool) -> Iterator[Syncrepl]:
        self.place.server = server = self._servers[which]
        options = self.place.options(once=once)
        url = options.url.replace(server.url, self._proxies[which].url)
        with following(dataclasses.replace(options, url=url)) as (client, _):
            yield client

    def follow(self, which: int, *, persist: bool) -> int:
        """Follow one server until the client has all that it has; compare; count entries."""
        with self._following(which, once=not persist) as client:
            while client.poll(0.2) and not client.refreshed:
                pass
            came = self._proxies[which].entries
            if persist:
                self._persist(client)
        self._start_again()
        self.place.settle(self._chance)
        return came

    def _persist(self, client: Syncrepl) -> None:
        """Those who run are written to while the client follows one of them."""
        for server, writer in zip(self._servers, self._writers):
            if server.running:
                writer.change(self._chance.randint(5, 15))
        deadline = time.monotonic() + 0.6
        while time.monotonic() < deadline:
            client.poll(0.1)

    def _start_again(self) -> None:
        for server, writer in zip(self._servers, self._writers):
            if not server.running:
                server.start()
                writer.connect()
        wait_until_same(*self._servers)

    def check_both(self) -> None:
        """What the client has is what each server has."""
        for server in self._servers:
            compare("mirror outside", self.place.audit.contents, searched(server))

    def fail(self) -> None:
        """Begin anew after a failure."""
        self._start_again()
        self.place.reset()
        self.follow(0, persist=False)


HOW = ("in step", "not in step", "in step", "in step", "crash")


def fail_over(rounds: int, seed: int, directory: Path, tally: Tally) -> None:
    """Go from one server to the other, so many times, with a session log and without."""
    chance = random.Random(seed)
    for log in (10_000, None):
        row = f"failover, {'no ' if log is None else ''}session log"
        with pair(sessionlog=log) as servers:
            failover = Failover(servers, directory / row, chance)
            with failover.ready():
                for number in range(1, rounds // 2 + 1):
                    _round(failover, number, row, tally)


def _round(failover: Failover, number: int, row: str, tally: Tally) -> None:
    how = HOW[number % len(HOW)]
    row = f"{row}, {how}"
    failover.place.figures.clear()
    try:
        came = failover.round(number, how)
        figures = {"entries received": came, "complete reloads": int(came >= PEOPLE)}
        tally.add(row, {"rounds": 1, **figures})
        failover.check_both()
    except Exception as error:  # noqa: BLE001 - whatever it is, this one failed
        tally.fail(row, f"round {number}", error)
        failover.fail()
    finally:
        failover.place.take_figures()
        tally.add(row, failover.place.figures)
