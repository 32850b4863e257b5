# SPDX-License-Identifier: BSD-3-Clause
"""A directory that is changed all the time, followers, databases, and what befalls them."""

from __future__ import annotations

import random
import signal
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Callable

import ldap
import psycopg

from syncrepl_client.exceptions import SyncreplError
from syncrepl_client.store import read_store
from tests.faults.kills.writer import Writer, mark
from tests.faults.takeovers.checks import CALLS, Call, Found, examine
from tests.faults.takeovers.cluster import Cluster, Node
from tests.faults.takeovers.follower import TABLES, entry
from tests.faults.takeovers.members import Member, Stuck, until
from tests.servers import DS389, Server

FOLLOWERS = 3
PACE_SECONDS = 0.02
"""Between two changes of the directory."""


@dataclass(frozen=True)
class Plan:
    """How often each happens."""

    kills: int = 200
    terminations: int = 50
    stops: int = 50
    crashes: int = 30
    promotions: int = 10
    cuts: int = 30
    holes: int = 20
    lease: float = 3.0

    def of(self, part: float) -> Plan:
        """The same, less often."""
        fields = asdict(self)
        lease = fields.pop("lease")
        return Plan(**{name: round(number * part) for name, number in fields.items()}, lease=lease)


class Scribe(threading.Thread):
    """Changes the directory until it is told to end."""

    def __init__(self, writer: Writer) -> None:
        super().__init__(name="scribe")
        self.writer = writer
        self._ending = threading.Event()
        self.changes = 0

    def run(self) -> None:
        while not self._ending.wait(PACE_SECONDS):
            self.writer.change()
            self.changes += 1

    def end(self) -> None:
        """Return when it has ended."""
        self._ending.set()
        self.join()


class Takeovers:
    """All of it at work."""

    def __init__(
        self, server: Server, cluster: Cluster, directory: Path, lease: float, chance: random.Random
    ) -> None:
        self.server, self.cluster, self.chance = server, cluster, chance
        self.times: dict[str, list[float]] = {}
        self.forgotten = self.calls = 0
        login = cluster.primary.url.partition("://")[2].partition("@")[0]
        url = f"postgresql://{login}@{{}}/postgres?{cluster.query}"
        search = f"{server.url}/{server.suffix}??sub"
        self.members = [
            Member(directory / f"{number}", search, url, cluster.ports, lease)
            for number in range(FOLLOWERS)
        ]
        drawn = random.Random(chance.random())  # by another thread
        self.scribe = Scribe(
            Writer(server, "people", drawn, rename_teams=not isinstance(server, DS389))
        )
        self._stack = ExitStack()

    def __enter__(self) -> Takeovers:
        with ExitStack() as stack:
            with self.cluster.connect() as session:
                session.execute(TABLES)
            self.scribe.writer.connect()
            stack.callback(self.scribe.writer.close)
            for member in self.members:
                stack.enter_context(member)
            self.scribe.start()
            stack.callback(self.scribe.end)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    # --- what there is

    def active(self) -> Member:
        """The follower that has the store; it is waited for."""
        found: list[Member] = []

        def look() -> bool:
            for member in self.members:
                if not member.is_stopped:
                    member.check()
            found[:] = [each for each in self.members if each.active]
            return len(found) == 1

        until(look, "one follower is active")
        return found[0]

    def progress(self) -> None:
        """Wait until something new is committed."""
        before = self._newest()
        until(lambda: self._newest() not in (before, None), "something new is committed")

    def _newest(self) -> int | None:
        try:
            with self.cluster.connect() as session:
                row = session.execute("SELECT max(id) FROM calls").fetchone()
        except psycopg.Error:
            return None
        return row[0] if row else None

    def _taken(self, what: str, since: float, *others: Member) -> None:
        """Wait until a follower that is none of *others* became active; note how long it took."""
        found: list[float] = []

        def look() -> bool:
            for member in self.members:
                if member not in others:
                    member.check()
                    found.extend(each.time for each in member.said("activated", after=since))
            return bool(found)

        until(look, f"another one takes over after {what}")
        self.times.setdefault(what, []).append(min(found) - since)

    def _struck(self, member: Member, number: signal.Signals) -> float | None:
        """Let a follower strike itself in its next callback; return when it did."""
        asked = time.monotonic()
        member.send(number)
        said: list[float] = []

        def look() -> bool:
            said[:] = [each.time for each in member.said("strikes", after=asked)]
            return bool(said) or not member.active

        until(look, "a callback")
        return said[0] if said else None

    # --- what befalls them

    def kill(self) -> None:
        """Kill -9, half of the times inside a callback."""
        member = self.active()
        at: float | None = None
        if self.chance.random() < 0.5:
            at = self._struck(member, signal.SIGUSR2)
        else:
            time.sleep(self.chance.uniform(0, 0.2))
        killed = member.die()
        self._taken("kill -9", at or killed, member)
        member.start()

    def stop(self) -> None:
        """SIGSTOP, half of the times inside a callback; it wakes up when another has taken over."""
        member = self.active()
        at: float | None = None
        if self.chance.random() < 0.5:
            at = self._struck(member, signal.SIGUSR1)
        if at is None:
            at = time.monotonic()
            member.send(signal.SIGSTOP)
        until(lambda: member.is_stopped, "it stops")
        self._taken("SIGSTOP", at, member)
        time.sleep(self.chance.uniform(0, 0.5))
        member.send(signal.SIGCONT)

    def terminate(self) -> None:
        """pg_terminate_backend for all sessions of a follower."""
        pid = self.active().process.pid
        time.sleep(self.chance.uniform(0, 0.2))
        since = time.monotonic()
        with self.cluster.connect() as session:
            session.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name LIKE %s",
                (f"syncrepl_client %/{pid}",),
            )
        self._taken("pg_terminate_backend", since)

    def crash(self) -> None:
        """Crash the primary, and start it again."""
        self.active()
        time.sleep(self.chance.uniform(0, 0.2))
        self.cluster.primary.crash()
        time.sleep(self.chance.uniform(0, 1))
        since = time.monotonic()
        self.cluster.primary.start()
        self._taken("restart of PostgreSQL", since)

    def promote(self) -> None:
        """Crash the primary, and promote the standby; half of the times it lacks some commits."""
        self.active()
        if self.chance.random() < 0.5:
            self.cluster.part()
            self.progress()
        calls, since = self._count(self.cluster.primary), time.monotonic()
        self.cluster.primary.crash()
        self.forgotten += max(0, calls - self._count(self.cluster.standby))
        self.cluster.promote()
        self._taken("promotion", since)
        self.progress()
        self.cluster.rejoin()

    def _count(self, node: Node) -> int:
        ((number,),) = node.execute("SELECT count(*) FROM calls")
        return int(number)

    def cut(self) -> None:
        """Cut off the answer to a COMMIT."""
        member = self.active()
        wire = member.wires[self.cluster.way]
        cuts, since = wire.cuts, time.monotonic()
        wire.cut_next_commit()
        until(lambda: wire.cuts > cuts, "an answer is cut off")
        self._taken("answer cut off", since)

    def swallow(self) -> None:
        """Swallow what the active one says, and what it is told, from now on."""
        member, since = self.active(), time.monotonic()
        for wire in member.wires:
            wire.swallow()
        self._taken("black hole", since)

    # --- the whole

    def run(self, plan: Plan) -> None:
        """Let everything happen, in any order; half of it as soon as somebody has taken over."""
        acts: list[Callable[[], None]] = [self.kill] * plan.kills
        acts += [self.terminate] * plan.terminations + [self.stop] * plan.stops
        acts += [self.crash] * plan.crashes + [self.promote] * plan.promotions
        acts += [self.cut] * plan.cuts + [self.swallow] * plan.holes
        self.chance.shuffle(acts)
        for act in acts:
            self.active()
            if self.chance.random() < 0.5:
                self.progress()
            act()

    def settle(self) -> Found:
        """Wait until all is told; then compare."""
        self.scribe.end()
        value = mark(self.server)
        until(lambda: self._has(value), "the last change is committed")
        with self.cluster.connect() as session:
            calls = [Call(*row) for row in session.execute(CALLS)]
            mirror = [row[0] for row in session.execute("SELECT entry FROM mirror")]
        self.calls = len(calls)
        with self.server.connected() as connection:
            found = connection.search_s(self.server.suffix, ldap.SCOPE_SUBTREE)
        with read_store(self.cluster.primary.socket_url) as reader:
            stored = {entry(dn, attrs) for dn, attrs in reader.items().items()}
        seen = examine(calls, mirror, [str(entry(dn, attrs)) for dn, attrs in found])
        return seen._replace(differ=seen.differ + len(stored ^ set(mirror)))

    def _has(self, value: str) -> bool:
        with self.cluster.connect() as session:
            mirror = session.execute(
                "SELECT entry FROM mirror WHERE entry LIKE %s", (f"%{value}%",)
            )
            return mirror.fetchone() is not None

    def end(self) -> float:
        """Ask all to end; return how long the slowest took."""
        for member in self.members:
            until(lambda m=member: m.said("begun", after=m.begun), "it has begun")  # type: ignore[misc]
        since = time.monotonic()
        for member in self.members:
            member.send(signal.SIGTERM)
        for member in self.members:
            if member.process.wait(60) != 0:
                raise Stuck(f"it ended with {member.process.returncode}: {member.err.read_text()}")
        return time.monotonic() - since


def takeovers(
    server: Server, cluster: Cluster, directory: Path, plan: Plan, seed: int
) -> dict[str, Any]:
    """Run a plan; return what came of it."""
    began = time.monotonic()
    chance = random.Random(seed)
    with Takeovers(server, cluster, directory, plan.lease, chance) as all_of_it:
        try:
            all_of_it.run(plan)
            found = all_of_it.settle()
            seconds = all_of_it.end()
        except (Stuck, AssertionError, SyncreplError) as error:
            raise Stuck(f"{error}\n{_last_words(all_of_it.members)}") from error
    return {
        "plan": asdict(plan),
        **found._asdict(),
        "calls": all_of_it.calls,
        "changes": all_of_it.scribe.changes,
        "forgotten": all_of_it.forgotten,
        "takeovers": {
            what: {"number": len(times), "median": round(median(times), 2),
                   "worst": round(max(times), 2)}
            for what, times in sorted(all_of_it.times.items())
        },
        "overdue": sum(len(each.said("overdue")) for each in all_of_it.members),
        "end seconds": round(seconds, 2),
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip


def _last_words(members: list[Member]) -> str:
    lines = []
    for number, member in enumerate(members):
        words = ", ".join(f"{said.time:.2f} {said.word}" for said in member.said()[-8:])
        lines.append(
            f"{number} ({member.process.poll()}): {words}; {member.err.read_text()[-3000:]}"
        )
    return "\n".join([f"now {time.monotonic():.2f}", *lines])
