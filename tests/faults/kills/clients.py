# SPDX-License-Identifier: BSD-3-Clause
"""Clients that are killed: in every stage, at random instants, in callbacks, around commits."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.faults.kills.follower import Death
from tests.faults.kills.place import Place, Running, Tally
from tests.faults.kills.writer import Storm, Writer, load
from tests.servers import DS389, Server, Slapd
from tests.servers.people import people_ldif

STORES = ("sqlite", "shelve")
ACTIVITIES = ("initial", "resume", "storm")
DEATHS = ("instant", "callback", "commit", "around commit")
SERVERS = ("slapd", "slapd without log", "389-ds")
STORM_SECONDS = 4.0


class Case(NamedTuple):
    """One way to die."""

    server: str
    store: str
    activity: str
    death: str

    @property
    def kind(self) -> str:
        return f"{self.activity}, {self.death}"


def cases(server: str, stores: Iterable[str]) -> list[Case]:
    """All of them on one server."""
    return [Case(*each) for each in itertools.product([server], stores, ACTIVITIES, DEATHS)]


@contextmanager
def running_server(name: str, people: int, *, checkpoints: bool = False) -> Iterator[Server]:
    """A server of that name, with so many people.

    checkpoints: write the contextCSN with each change. Otherwise a crash puts it back, and with a
    session log deletes are lost then: see test_kills.py. But a checkpoint takes its time between
    the new contextCSN and the entry in the session log, and who begins just then, and is killed
    between his refresh and the first change, is never told of a delete.
    """
    if name == "389-ds":
        with DS389() as ds389:
            load(ds389, people)
            yield ds389
    else:
        log = 100_000 if name == "slapd" else None
        extra = "syncprov-checkpoint 1 1" if checkpoints else ""
        with Slapd(sessionlog=log, ldif=people_ldif(people), extra_database=extra) as slapd:
            yield slapd


class Killer:
    """Kills followers of one server."""

    def __init__(self, server: Server, people: int, directory: Path, chance: random.Random) -> None:
        self.server = server
        self.chance = chance
        self.people = people
        self.places = {store: Place(server, store, directory / store) for store in STORES}
        self.writers = [Writer(server, name, chance) for name in ("one", "two")]
        self._seconds: dict[tuple[str, str], float] = {}

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Writers are connected for the length of a with block."""
        with ExitStack() as stack:
            for writer in self.writers:
                writer.connect()
                stack.callback(writer.close)
            yield

    def run(self, case: Case, tally: Tally) -> None:
        """Kill a follower once, and with luck again when it starts anew; then settle."""
        place = self.places[case.store]
        if case.activity == "initial":
            place.reset()
        kills = 0
        try:
            death: str | None = case.death
            while death is not None:
                self._kill(place, case.activity, death)
                kills += 1
                death = self.chance.choice(DEATHS) if self.chance.random() < 0.3 else None
            place.settle(self.chance)
        finally:
            place.take_figures()
            tally.add(f"{case.kind} ({case.store})", {"kills": kills, **place.figures})
            place.figures.clear()

    def fail(self, case: Case) -> None:
        """Begin anew after a failure."""
        self.places[case.store].reset()
        for writer in self.writers:
            writer.look()

    def _kill(self, place: Place, activity: str, death: str) -> None:
        window = self._window(place, activity) if death == "instant" else 0
        changes = self.chance.randint(50, 400) if activity == "resume" else 0
        self._write(changes)
        options = place.options(death=self._death(activity, death, changes))
        with Running(options) as follower, ExitStack() as stack:
            if activity == "storm":
                stack.enter_context(Storm(self.writers).blowing())
                if death == "instant":
                    follower.wait_for("refreshed")
                    time.sleep(self.chance.uniform(0, 0.8))
            elif death == "instant":
                follower.wait_for("begin")
                time.sleep(self.chance.uniform(0, window))
            if death == "instant" or not self._died(follower, activity):
                place.figures[f"{death}: killed from outside"] += death != "instant"
                follower.kill()
            follower.end()

    def _write(self, changes: int) -> None:
        for writer in self.writers:
            writer.change(changes // 2)

    def _died(self, follower: Running, activity: str) -> bool:
        """Whether it died by itself, in the time that it has for that."""
        if activity == "storm":
            return follower.wait_for_death(STORM_SECONDS)
        if follower.wait_for("refreshed"):
            return follower.wait_for_death(0.4)
        return True

    def _death(self, activity: str, death: str, changes: int) -> Death | None:
        if death == "instant":
            return None
        most = {"initial": self.people, "resume": max(1, changes // 2), "storm": 150}[activity]
        if death != "callback":
            most = {"initial": 3, "resume": 1, "storm": 4}[activity]
        number = self.chance.randint(1, most)
        where = death
        if death == "callback" and self.chance.random() < 0.5:
            where = "before the store's mirror"
        microseconds = int(10 ** self.chance.uniform(1, 4.3))
        return Death(where, number, microseconds, after_refresh=activity == "storm")

    def _window(self, place: Place, activity: str) -> float:
        """How long a follower takes for that, at most: measured once."""
        known = self._seconds.get((place.store, activity))
        if known is None:
            started = time.monotonic()
            place.settle(random.Random(0))
            known = (time.monotonic() - started) * 0.8 + 0.05
            self._seconds[place.store, activity] = known
            if activity == "initial":
                place.reset()
            else:
                self._write(200)
        return known


class Plan(NamedTuple):
    """What to do: so many times, on servers with so many people."""

    clients: int
    servers: int
    seed: int
    people: int
    directory: Path
    only: tuple[str, ...] = SERVERS
    stores: tuple[str, ...] = STORES


def kill_clients(plan: Plan, tally: Tally) -> None:
    """Kill followers, spread over all ways to die.

    Seeds draw what happens; when it happens is the machine's affair.
    """
    chance = random.Random(plan.seed)
    for name in plan.only:
        with running_server(name, plan.people) as server:
            killer = Killer(server, plan.people, plan.directory / name, chance)
            with killer.ready():
                _kill_on(killer, name, plan, tally)


def _kill_on(killer: Killer, name: str, plan: Plan, tally: Tally) -> None:
    enough = tally.total("kills") - (-plan.clients // len(plan.only))
    drawn: list[Case] = []
    while tally.total("kills") < enough:
        if not drawn:
            drawn = cases(name, plan.stores)
            killer.chance.shuffle(drawn)
        case = drawn.pop()
        try:
            killer.run(case, tally)
        except Exception as error:  # noqa: BLE001 - whatever it is, this one failed
            tally.fail(f"{case.kind} ({case.store})", str(case), error)
            killer.fail(case)
