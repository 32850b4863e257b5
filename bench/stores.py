# SPDX-License-Identifier: BSD-3-Clause
"""Measure PostgreSQL beside SQLite, in turn: ``python -m bench.stores --entries 20000``."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Callable

from bench import machine
from bench.directory import describe, movers, serve, write
from bench.measure import Figure, background, measure, program
from bench.scenarios import persist
from tests.servers import Slapd
from tests.servers.people import SUFFIX
from tests.servers.postgresql import PostgreSQL

SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"
MILLISECONDS = 1e3


@dataclass
class Contest:
    """Both stores, of one directory.

    Attributes:
        changes: so many are made one at a time.
        seconds: what each scenario took, by store.
    """

    server: Slapd
    database: PostgreSQL
    directory: Path
    entries: int
    changes: int
    seconds: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{self.server.url}/{SUFFIX}?*?sub?(objectClass=*)"

    def round(self, number: int, *, bursts: bool) -> None:
        """Let both do everything once."""
        self.database.execute("DROP SCHEMA IF EXISTS syncrepl CASCADE")
        stores = {SQLITE: f"{self.directory}/{number}-", POSTGRESQL: self.database.socket_url}
        self._each("refresh", stores, self._refresh)
        for _ in range(5):
            self._each("nothing changed", stores, self._refresh)
        write(self.server, [describe(SUFFIX, f"round {number}")])
        self._each("present phase", stores, self._refresh)
        self._each("container renamed", stores, self._rename)
        self._each("one change", stores, self._one_change)
        if bursts:
            self._each("burst, commits a second", stores, self._burst)

    def _each(self, name: str, stores: dict[str, str], run: Callable[[str], float]) -> None:
        for store, place in stores.items():
            taken = self.seconds.setdefault(name, {}).setdefault(store, [])
            taken.append(run(place))
            print(f"  {name}, {store}: {taken[-1]:.4f}", flush=True)

    def _refresh(self, store: str) -> float:
        """From the start of the program to the end of the refresh."""
        seconds: float = measure(program("client", store, self.url)).said["done"]
        return seconds

    def _follow(self, store: str, changes: int, marks: int) -> Any:
        return background(program("follow", store, self.url, changes, marks))

    def _rename(self, store: str) -> float:
        """There and back, with all that is in it."""
        names = f"ou=movers,{SUFFIX}", f"ou=moved,{SUFFIX}"
        with self._follow(store, 2 * (movers(self.entries) + 1), 0) as follower:
            began = time.monotonic()
            with self.server.connected() as connection:
                for old, new in (names, names[::-1]):
                    connection.rename_s(old, new.partition(",")[0])
            done: float = follower.said()["done"]
        return (done - began) / 2

    def _one_change(self, store: str) -> float:
        """From the answer to the commit, median."""
        word = f"mark {time.monotonic()}"
        with self._follow(store, 0, self.changes) as follower:
            time.sleep(persist.SETTLE_SECONDS)
            answered = persist.one_at_a_time(self.server, self.entries, word, self.changes)
            marks = follower.said()["marks"]
        taken: float = median(marks[name][1] - done for name, done in answered.items())
        return taken

    def _burst(self, store: str) -> float:
        """Changes as fast as slapd takes them."""
        rates = self.seconds.setdefault("burst, writes a second", {})
        with self._follow(store, 0, persist.WRITERS) as follower, ExitStack() as stack:
            turn = len(rates.get(SQLITE, [])) + len(rates.get(POSTGRESQL, []))
            commands = (
                persist.write_burst(self.server, each, persist.WRITERS * turn + each)
                for each in range(persist.WRITERS)
            )
            writers = [stack.enter_context(background(each)) for each in commands]
            for writer in writers:
                writer.go()
            said = [writer.said() for writer in writers]
            committed = follower.said()["done"]
        persist.clean(self.server)
        began, answered = min(each["began"] for each in said), max(each["done"] for each in said)
        kind = POSTGRESQL if store == self.database.socket_url else SQLITE
        rates.setdefault(kind, []).append(persist.BURST / (answered - began))
        rate: float = persist.BURST / (committed - began)
        return rate


def rows(seconds: dict[str, dict[str, list[float]]]) -> Iterator[str]:
    """The table: medians, and how many times as long PostgreSQL takes."""
    yield f"{'':28}{SQLITE:>12}{POSTGRESQL:>12}{'ratio':>8}"
    for name, taken in seconds.items():
        one, other = median(taken[SQLITE]), median(taken[POSTGRESQL])
        ratio = Figure.of([b / a for a, b in zip(taken[SQLITE], taken[POSTGRESQL])])
        spread = f"({ratio.least:.2f} to {ratio.most:.2f})"
        yield f"{name:28}{one:12.4f}{other:12.4f}{ratio.median:8.2f} {spread}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.stores", description=__doc__)
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--changes", type=int, default=persist.CHANGES, help="one at a time")
    parser.add_argument("--no-bursts", action="store_true", help="leave out the burst")
    parser.add_argument("--output", type=Path, help="write the figures to that file, as JSON")
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        PostgreSQL(durable=True) as database,
        serve(chosen.entries, Path(name)) as server,
    ):
        contest = Contest(server, database, Path(name), chosen.entries, chosen.changes)
        for number in range(chosen.rounds):
            print(f"round {number + 1}", flush=True)
            contest.round(number, bursts=not chosen.no_bursts)
    print(*rows(contest.seconds), sep="\n")
    if chosen.output:
        found: dict[str, Any] = {"entries": chosen.entries, "machine": machine.describe()}
        found["seconds"] = contest.seconds
        chosen.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
