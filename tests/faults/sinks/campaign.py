# SPDX-License-Identifier: BSD-3-Clause
"""Changes go from a directory through a log and a relay to a sink, and whoever works is killed."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable, NamedTuple

import ldap

from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.exceptions import StoreError, UsageError
from syncrepl_client.store import open_changelog, read_store
from tests.cli.commands import Running, running
from tests.faults.sinks.buses import Bus
from tests.faults.sinks.checks import Wrong
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd
from tests.servers.people import person, person_dn

ENTRIES = 60
ATTRIBUTES = ("objectClass", "uid", "cn", "title", "member")
NAME = "campaign"
KIBIBYTE = 1024


class Plan(NamedTuple):
    """How much happens, and how often each is killed."""

    events: int
    relay_kills: int
    follower_kills: int
    restarts: int
    away: int = 0


class Report(NamedTuple):
    """What came of it."""

    events: int
    received: int
    repeats: int
    seconds: float
    away: dict[str, Any]


class Campaign:
    """The processes, and who changes the directory."""

    def __init__(self, server: Slapd, bus: Bus, place: Path, chance: random.Random) -> None:
        self._server, self._bus, self._place, self._chance = server, bus, place, chance
        self._group = f"cn=staff,ou=groups,{server.suffix}"
        self._there: set[int] = set()
        self._tick = 0
        self._stack = ExitStack()
        (place / "state").mkdir()

    def __enter__(self) -> Campaign:
        self._ldap = self._stack.enter_context(self._server.connected())
        self._ldap.add_s(self._group, [
            ("objectClass", b"groupOfNames"), ("cn", b"staff"), ("member", self._members())
        ])  # fmt: skip
        self._commands = self._stack.enter_context(ExitStack())
        self.follower = self._start("follower")
        self._until(self._has_log)
        self._log = self._stack.enter_context(open_changelog(f"{self._place}/state/"))
        self.relay = self._start("relay")
        self._until(lambda: NAME in self._log.sinks)
        return self

    def __exit__(self, *_: object) -> None:
        self._commands.close()
        self._stack.close()

    # --- who works

    def _start(self, what: str) -> Running:
        place = self._place / f"{what}-{time.monotonic_ns()}"
        place.mkdir()
        state = ["--data", f"{self._place}/state/"]
        if what == "follower":
            arguments = ["watch", "--brief", "--log", "30d", "--max-deletes", "none", *state,
                         "-H", self._server.url, "-b", self._server.suffix, "(objectClass=*)",
                         *ATTRIBUTES]  # fmt: skip
            env = {}
        else:
            arguments = ["relay", "--name", NAME, "--from-start", "--sink", self._bus.url, *state]
            env = self._bus.env
        return self._commands.enter_context(running(place, *arguments, env=env))

    def kill_follower(self) -> None:
        _kill(self.follower)
        self.write(5)
        self.follower = self._start("follower")

    def kill_relay(self) -> None:
        _kill(self.relay)
        self.relay = self._start("relay")

    # --- what happens

    def write(self, number: int) -> None:
        """Change the directory so many times."""
        for _ in range(number):
            self._tick += 1
            each = self._chance.randrange(self._chance.choice((3, ENTRIES)))  # some change often
            if each not in self._there:
                self._put(each)
            elif self._chance.random() < 0.03:
                self._ldap.delete_s(person_dn(each, self._server.suffix))
                self._there.remove(each)
            elif self._chance.random() < 0.05:
                self._ldap.modify_s(self._group, [(ldap.MOD_REPLACE, "member", self._members())])
            else:
                self._put(each)

    def _put(self, each: int, more: str = "0") -> bytes:
        """Add a person, or change it; return its title, which grows from change to change."""
        dn, title = person_dn(each, self._server.suffix), f"{self._tick} {more}".encode()
        if each in self._there:
            self._ldap.modify_s(dn, [(ldap.MOD_REPLACE, "title", title)])
        else:
            self._ldap.add_s(dn, list({**person(each), "title": [title]}.items()))
            self._there.add(each)
        return title

    def _members(self) -> list[bytes]:
        """The DNs of some who are there, and of one who never was."""
        some = self._chance.sample(sorted(self._there), min(len(self._there), 5))
        return [person_dn(each, self._server.suffix).encode() for each in (*some, 10**6)]

    def run(self, plan: Plan) -> None:
        """Go on until the log has all events, and kill whoever works on the way."""
        acts: list[Callable[[], None]] = [self.kill_relay] * plan.relay_kills
        acts += [self.kill_follower] * plan.follower_kills
        acts += [self._bus.interrupt] * plan.restarts
        self._chance.shuffle(acts)
        a_part = plan.events // (len(acts) + 1) + 1
        for act in acts:
            self.write(a_part)
            goal = self.position + self._chance.randrange(1, a_part)
            self._until(lambda goal=goal: self.position >= min(goal, self.newest))  # type: ignore[misc]
            act()
        while self.newest < plan.events:
            self.write(plan.events - self.newest)
            self.catch_up(relay=False)

    def catch_up(self, *, relay: bool = True) -> None:
        """Wait until the follower, and the relay, have all there is."""
        self._ldap.modify_s(self._group, [(ldap.MOD_REPLACE, "member", self._members())])
        marker = self._put(ENTRIES, f"{time.monotonic_ns()}")
        self._until(lambda: self._is_marked(person_dn(ENTRIES, self._server.suffix), marker))
        if relay:
            self._until(lambda: self.position >= self.newest)

    def be_away(self, changes: int) -> dict[str, Any]:
        """Take the sink away for so many changes; return what the processes held."""
        self._bus.stop()
        self.catch_up(relay=False)
        before = [_memory(self.follower), _memory(self.relay)]
        started = time.monotonic()
        for _ in range(10):
            self.write(changes // 10)
            self.catch_up(relay=False)
        followed = time.monotonic()
        behind = self._log.sinks[NAME].behind
        during = [_memory(self.follower), _memory(self.relay)]
        self._bus.start()
        self.catch_up()
        after = [_memory(self.follower), _memory(self.relay)]
        names = ("follower", "relay")
        return {
            "behind": behind,
            "follower seconds": round(followed - started, 1),
            "catch-up seconds": round(time.monotonic() - followed, 1),
            "memory, MiB, before, away, after": {
                name: [round(sample[number] / KIBIBYTE, 1) for sample in (before, during, after)]
                for number, name in enumerate(names)
            },
        }

    # --- what there is

    @property
    def position(self) -> int:
        return self._log.sinks[NAME].position

    @property
    def newest(self) -> int:
        return self._log.newest

    def check(self) -> tuple[int, int, int]:
        """Compare what came with the log; return events, arrivals and repeats."""
        expected: dict[str, list[str]] = defaultdict(list)
        position = 0
        while events := self._log.events(position):
            position = events[-1].seq
            for event in events:
                if event.change is not None:
                    expected[str(event.change.uuid)].append(event.id.hex())
        if parked := self._log.sinks.parked(NAME):
            raise Wrong(f"{len(parked)} parked: {parked[0].reason}")
        received, repeats = self._bus.check(expected, self._entries())
        return sum(map(len, expected.values())), received, repeats

    def _entries(self) -> dict[str, Attributes]:
        """What the directory has, by DN, with the operational attributes."""
        found = self._ldap.search_s(self._server.suffix, ldap.SCOPE_SUBTREE, attrlist=["*", "+"])
        return dict(found)

    def _is_marked(self, dn: str, marker: bytes) -> bool:
        with read_store(f"{self._place}/state/") as reader:
            return reader.items().get(dn, {}).get("title") == [marker]

    def _has_log(self) -> bool:
        try:
            with open_changelog(f"{self._place}/state/") as log:
                return log.newest > 0
        except (StoreError, UsageError):
            return False

    def _until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + HANGS_SECONDS
        while not done():
            for command in (getattr(self, "follower", None), getattr(self, "relay", None)):
                if command is not None and command.process.poll() is not None:
                    raise Wrong(f"it has ended: {command.err}")
            if time.monotonic() > deadline:
                raise Wrong("it does not get on")
            time.sleep(0.02)


def _kill(command: Running) -> None:
    command.process.send_signal(signal.SIGKILL)
    command.process.wait()


def _memory(command: Running) -> int:
    """The resident memory of a process in KiB."""
    status = Path(f"/proc/{command.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1])


def campaign(kind_bus: Bus, place: Path, plan: Plan, seed: int) -> Report:
    """Run a plan, and see that all came."""
    started = time.monotonic()
    away: dict[str, Any] = {}
    with (
        Slapd(sessionlog=100_000) as server,
        Campaign(server, kind_bus, place, random.Random(seed)) as running_campaign,
    ):
        running_campaign.run(plan)
        running_campaign.catch_up()
        if plan.away:
            away = running_campaign.be_away(min(plan.away, kind_bus.most_away))
        events, received, repeats = running_campaign.check()
    return Report(events, received, repeats, round(time.monotonic() - started, 1), away)


def as_json(kind: str, plan: Plan, report: Report) -> str:
    return json.dumps({"kind": kind, **plan._asdict(), **report._asdict()})
