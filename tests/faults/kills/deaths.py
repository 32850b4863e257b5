# SPDX-License-Identifier: BSD-3-Clause
"""Servers that end under a follower: crash, restart, long silence, another content, a backup."""

from __future__ import annotations

import itertools
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Callable

import ldap

from tests.faults.kills.clients import SERVERS, STORES, Plan, running_server
from tests.faults.kills.place import Different, Place, Running, Tally
from tests.faults.kills.writer import Storm, Writer, mark, next_mark
from tests.servers import DS389, Server, Slapd
from tests.servers.people import base_ldif

STAGES = ("refresh", "persist")
MARKER_SECONDS = 10.0  # after that another one is set, in case the first was lost


class Ender:
    """Ends a server while somebody follows it.

    Attributes:
        kinds: what can be done to it.
    """

    def __init__(
        self, server: Server, directory: Path, chance: random.Random, tally: Tally
    ) -> None:
        self.server = server
        self.chance = chance
        self.tally = tally
        self.places = {store: Place(server, store, directory / store) for store in STORES}
        self.writers = [Writer(server, name, chance) for name in ("one", "two")]
        self._backup = directory / "backup"
        self.kinds: dict[str, Callable[[], None]] = {
            "killed": self._crash,
            "stopped and started": self.server.restart,
            "stopped for long": self._silence,
            "restored from a backup": self._restore,
        }
        if isinstance(server, Slapd):
            self.kinds["replaced by an empty one"] = self._replace

    def run(self, kind: str, stage: str, store: str) -> None:
        """End the server in that stage; what the follower has then is what the server says."""
        place = self.places[store]
        place.stamps = kind not in ("restored from a backup", "replaced by an empty one")
        for writer in self.writers:
            writer.connect()
            writer.change(60)
        self._prepare(kind, stage, place)
        value = next_mark()
        with Running(place.options(value=value)) as follower:
            try:
                self._strike(kind, stage, follower)
                self._catch_up(place, follower, kind, value)
            finally:
                self._take_figures(place, f"server {kind}, {stage}")
        if not place.stamps:
            self._put_right(kind)

    def _prepare(self, kind: str, stage: str, place: Place) -> None:
        if not place.stamps or (stage == "refresh" and self.chance.random() < 0.5):
            place.reset()
        if kind == "restored from a backup":
            place.settle(self.chance)
            self._copy_aside()
        for writer in self.writers:
            writer.connect()
            writer.change(100)
        if not place.stamps:
            place.settle(self.chance)

    def _strike(self, kind: str, stage: str, follower: Running) -> None:
        with ExitStack() as stack:
            if stage == "refresh":
                follower.wait_for("begin")
                time.sleep(self.chance.uniform(0, 0.35))
            else:
                follower.wait_for("refreshed")
                stack.enter_context(Storm(self.writers).blowing())
                time.sleep(self.chance.uniform(0.1, 0.6))
            self.kinds[kind]()

    def _catch_up(self, place: Place, follower: Running, kind: str, value: str) -> None:
        restored = kind == "restored from a backup"
        time.sleep(self.chance.uniform(0, 1.5 if restored else 0.3))
        mark(self.server, value)
        while not follower.wait_for_death(MARKER_SECONDS):
            # 389-ds drops what is changed just when a search goes from refresh to persist.
            place.figures["marker lost"] += 1
            mark(self.server)
            mark(self.server, value)
            if place.figures["marker lost"] > 3:
                break
        follower.end()
        try:
            place.compare_at_rest()
        except Different as difference:
            if not restored:
                raise
            self._mend(place, difference)

    def _mend(self, place: Place, difference: Different) -> None:
        """No client can see that a server was put back in time once it was written to again.

        A new data path is what helps.
        """
        self.tally.note(f"{place.store}, server restored and written to: {difference}")
        place.take_figures()
        place.figures["differs until the store is made anew"] += 1
        place.reset()
        place.settle(self.chance)

    def _take_figures(self, place: Place, kind: str) -> None:
        place.take_figures()
        figures = {"deaths": 1, **place.figures}
        figures.update({f"error {name}": count for name, count in place.errors.items()})
        self.tally.add(kind, figures)
        place.figures.clear()
        place.errors.clear()

    # what can happen to a server

    def _crash(self) -> None:
        self.server.kill()
        time.sleep(self.chance.uniform(0, 0.3))
        self.server.start()

    def _silence(self) -> None:
        self.server.stop()
        time.sleep(self.chance.uniform(2, 4))
        self.server.start()

    def _replace(self) -> None:
        assert isinstance(self.server, Slapd)
        with other_ldif(self.server, base_ldif(self.server.suffix)):
            self.server.wipe()

    def _restore(self) -> None:
        self.server.stop()
        for name in database_directories(self.server):
            shutil.rmtree(self.server.directory / name)
            shutil.copytree(self._backup / name, self.server.directory / name)
        self.server.start()

    def _copy_aside(self) -> None:
        if self._backup.exists():
            shutil.rmtree(self._backup)
        self.server.stop()
        for name in database_directories(self.server):
            shutil.copytree(self.server.directory / name, self._backup / name)
        self.server.start()

    def _put_right(self, kind: str) -> None:
        """The server's past is another one now: the followers begin anew."""
        if kind == "replaced by an empty one" and isinstance(self.server, Slapd):
            self.server.wipe()
        for place in self.places.values():
            place.reset()

    def fail(self) -> None:
        """Begin anew after a failure."""
        if not self.server.running:
            self.server.start()
        for place in self.places.values():
            place.reset()


@contextmanager
def other_ldif(server: Slapd, ldif: str) -> Iterator[None]:
    """Another first content, for the length of a with block."""
    before = server._ldif
    server._ldif = ldif
    try:
        yield
    finally:
        server._ldif = before


def database_directories(server: Server) -> tuple[str, ...]:
    """Where a server keeps its entries."""
    return ("db", "home") if isinstance(server, DS389) else ("data",)


def kill_servers(plan: Plan, tally: Tally) -> None:
    """End servers, spread over all ways; 389-ds takes long to start: half as many of these."""
    chance = random.Random(plan.seed)
    for name in plan.only:
        share = plan.servers / len(plan.only)
        if len(plan.only) == len(SERVERS):
            share = plan.servers * (0.2 if name == "389-ds" else 0.4)
        with running_server(name, plan.people, checkpoints=True) as server:
            ender = Ender(server, plan.directory / f"deaths {name}", chance, tally)
            ways = list(itertools.product(ender.kinds, STAGES, plan.stores))
            chance.shuffle(ways)
            for number in range(max(1, round(share))):
                _end_one(ender, name, ways[number % len(ways)], tally)


def _end_one(ender: Ender, name: str, plan: tuple[str, str, str], tally: Tally) -> None:
    kind, stage, store = plan
    try:
        ender.run(kind, stage, store)
    except (Exception, ldap.LDAPError) as error:  # noqa: BLE001 - whatever it is, it failed
        tally.fail(f"server {kind}, {stage}", f"{name} {plan}", error)
        ender.fail()
    finally:
        for writer in ender.writers:
            writer.close()
