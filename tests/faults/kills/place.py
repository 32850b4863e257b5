# SPDX-License-Identifier: BSD-3-Clause
"""A data path that is followed by one program after another, and what must be true of it."""

from __future__ import annotations

import os
import random
import select
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import ldap

from syncrepl_client.store import open_store
from tests.faults.kills.audit import Audit
from tests.faults.kills.follower import Death, Options, check_inside, entries_of, follow, following
from tests.faults.kills.mirrors import Contents, digest
from tests.faults.kills.writer import MARKER, mark
from tests.mirror import server_content
from tests.patience import HANGS_SECONDS
from tests.servers import DS389, Server
from tests.servers.ds389 import old_names

ROOT = Path(__file__).parents[3]


class Different(AssertionError):
    """Two that must be equal are not."""


def compare(what: str, found: Contents, expected: Contents) -> None:
    """See that both are equal."""
    if found == expected:
        return
    lost = sorted(expected.keys() - found.keys())
    invented = sorted(found.keys() - expected.keys())
    stale = sorted(dn for dn in found.keys() & expected.keys() if found[dn] != expected[dn])
    raise Different(
        f"{what}: {len(lost)} lost {lost[:3]}, {len(invented)} invented {invented[:3]}, "
        f"{len(stale)} stale {stale[:3]}"
    )


def by_place(found: Contents, old: Mapping[str, str]) -> Contents:
    """Give entries the DNs that they have; a client may have either, as the server shows it."""
    return {old.get(dn, dn): digest for dn, digest in found.items()}


def searched(server: Server) -> Contents:
    """What the server's own search finds."""
    connection = ldap.initialize(server.url)
    try:
        found = server_content(connection, server.suffix, ldap.SCOPE_SUBTREE, "(objectClass=*)", [])
    finally:
        connection.unbind_s()
    return {dn: digest(attrs) for dn, attrs in found.items()}


class Place:
    """A data path of its own in a directory."""

    def __init__(self, server: Server, store: str, directory: Path) -> None:
        """Nothing is there yet."""
        self.server = server
        self.store = store
        self.stamps = True
        self._directory = directory
        self.figures: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        if self._directory.exists():
            shutil.rmtree(self._directory)
        self._directory.mkdir(parents=True)
        path = Path(f"{self._directory}/outside")
        self.audit = Audit(path)

    def options(
        self, *, value: str = "", once: bool = False, death: Death | None = None
    ) -> Options:
        """What a follower here is told; it ends when the marker has that *value*."""
        return Options(
            url=f"{self.server.url}/{self.server.suffix}??sub",
            data_path=f"{self._directory}/",
            store=self.store,
            marker=f"{MARKER},{self.server.suffix}" if value else "",
            value=value,
            stamps=self.stamps,
            rereads=isinstance(self.server, DS389),
            once=once,
            death=death,
        )

    def settle(self, chance: random.Random) -> None:
        """Let a follower catch up in peace; then all four must be the same."""
        once = chance.random() < 0.5
        # Two writers commit in another order than they got their CSNs, and then slapd's contextCSN
        # may be older than the last change, which is told of when another one follows.
        value = mark(self.server)
        options = self.options(once=once, value="" if once else value)
        with following(options) as (client, told):
            follow(options, client, told, lambda word: None)
            inside = check_inside(client.store)
            store = {state.dn: state.digest for state in entries_of(client.store).values()}
        self.compare(store, inside)

    def compare(self, store: Contents, inside: Contents | None) -> None:
        """Compare with what the server says now, and read what was written outside."""
        self.audit.read()
        if self.store == "sqlite":
            self.audit.check_log()
        found = searched(self.server)
        old = self._old_names()
        expected = by_place(found, old)
        compare("store", by_place(store, old), expected)
        if inside is not None:
            compare("mirror in the store", by_place(inside, old), expected)
        compare("mirror outside", by_place(self.audit.contents, old), expected)
        self.figures["compared"] += 1
        self.figures["shown with old DNs"] += len(old)
        if by_place(self.audit.naive_contents, old) != expected:
            self.figures["naive mirror differs"] += 1
        self.take_figures()

    def _old_names(self) -> dict[str, str]:
        """What 389-ds shows with DNs that its entries have no more, and those that they have."""
        if not isinstance(self.server, DS389):
            return {}
        with self.server.connected() as connection:
            return old_names(connection, self.server.suffix)

    def compare_at_rest(self) -> None:
        """Compare what a follower left behind when it ended."""
        store = open_store(self.store, self.options().data_path)
        try:
            inside = check_inside(store)
            contents = {state.dn: state.digest for state in entries_of(store).values()}
        finally:
            store.close()
        self.compare(contents, inside)

    def take_figures(self) -> None:
        """Add up what the audit counted."""
        self.figures += self.audit.figures
        self.errors += self.audit.errors
        self.audit.figures.clear()
        self.audit.errors.clear()


class Running:
    """A follower as a process of its own."""

    def __init__(self, options: Options) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.kills.follower", options.encode()],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._said = b""

    def wait_for(self, word: str, seconds: float = HANGS_SECONDS) -> bool:
        """Wait until it says *word*; False if it ended, or didn't in time."""
        deadline = time.monotonic() + seconds
        while word.encode() not in self._said.split():
            if not self._listen(deadline):
                return False
        return True

    def _listen(self, deadline: float) -> bool:
        assert self._process.stdout is not None
        left = max(0.0, deadline - time.monotonic())
        if not select.select([self._process.stdout], [], [], left)[0]:
            return False
        heard = os.read(self._process.stdout.fileno(), 4096)
        self._said += heard
        return bool(heard)

    def wait_for_death(self, seconds: float) -> bool:
        """Wait until it has ended by itself; False if it hasn't in time."""
        deadline = time.monotonic() + seconds
        while self._listen(deadline):
            pass
        return time.monotonic() < deadline

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._process.kill()

    def end(self) -> int:
        """Wait for its end; a program that failed fails the test."""
        _, errors = self._process.communicate(timeout=HANGS_SECONDS)
        if self._process.returncode > 0:
            raise AssertionError(f"the follower failed: {errors.decode()[-1500:]}")
        return self._process.returncode

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()


class Tally:
    """What was tried and what came of it, by kind."""

    def __init__(self) -> None:
        self.rows: dict[str, Counter[str]] = {}
        self.failures: list[str] = []
        self.notes: list[str] = []

    def add(self, kind: str, figures: Mapping[str, int]) -> None:
        """Count."""
        self.rows.setdefault(kind, Counter()).update(figures)

    def fail(self, kind: str, what: str, error: BaseException) -> None:
        """Count a failure, and say it at once."""
        self.add(kind, {"failed": 1})
        self.failures.append(f"{what}: {type(error).__name__}: {error}")
        say(f"FAILED {self.failures[-1]}")

    def note(self, text: str) -> None:
        """Keep, and say, what somebody should know."""
        self.notes.append(text)
        say(text)

    def total(self, name: str) -> int:
        """One figure over all kinds."""
        return sum(row[name] for row in self.rows.values())

    def as_dict(self) -> dict[str, object]:
        """All of it, for JSON."""
        return {
            "rows": {kind: dict(row) for kind, row in sorted(self.rows.items())},
            "failures": self.failures,
            "notes": self.notes,
        }

    def table(self) -> str:
        """All figures, a line for each kind."""
        names = sorted({name for row in self.rows.values() for name in row})
        width = max(map(len, self.rows), default=4)
        lines = [" | ".join(["kind".ljust(width), *names])]
        for kind, row in sorted(self.rows.items()):
            cells = [str(row[name]).rjust(len(name)) for name in names]
            lines.append(" | ".join([kind.ljust(width), *cells]))
        return "\n".join(lines)


def say(text: str) -> None:
    """Print, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
