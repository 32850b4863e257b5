# SPDX-License-Identifier: BSD-3-Clause
"""One client that follows a busy server, and what it holds of the machine meanwhile."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Callable

import ldap

from syncrepl_client import Change, Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.entries import attributes
from syncrepl_client.store import SQLiteStore
from tests.mirror import Content, content, server_content
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd
from tests.soak import writers

MEBIBYTE = 1 << 20
RSS_SLACK = 8 * MEBIBYTE
"""The resident set may be that much more at the end than after the warm-up."""
WAL_LIMIT = 32 * MEBIBYTE
WARM_UP = 0.1
MARKER = "last of all"


class SoakFailed(AssertionError):
    """Something grew, got lost, or stood still."""


@dataclass(frozen=True)
class Sample:
    """What the process holds at one moment."""

    seconds: float
    changes: int
    rss: int
    descriptors: int
    threads: int
    wal: int
    behind: int


@dataclass(frozen=True)
class Report:
    """How it went."""

    changes: int
    seconds: float
    rate: float
    entries: int
    samples: list[Sample]


class MirrorTable(BaseCallback):
    """Keeps entries by DN in a table of the store's own file, and nothing in memory."""

    def __init__(self) -> None:
        self.store: SQLiteStore | None = None
        self.changes = 0
        self.marked = False

    def attach(self, store: SQLiteStore) -> None:
        self.store = store
        store.connection.execute("CREATE TABLE mirror (dn TEXT PRIMARY KEY, attrs BLOB)")

    def dispatch(self, change: Change) -> None:
        assert self.store is not None
        execute = self.store.connection.execute
        if change.old_dn is not None:
            gone = execute("DELETE FROM mirror WHERE dn = ?", (change.old_dn,)).rowcount
            if gone != 1:
                raise SoakFailed(f"{change} of what the mirror does not have")
        if change.new_dn is not None and change.new_attrs is not None:
            row = (change.new_dn, attributes.encode(change.new_attrs))
            execute("INSERT INTO mirror VALUES (?, ?)", row)
            if change.new_attrs.get("description") == [MARKER.encode()]:
                self.marked = True
        self.changes += 1

    def content(self) -> Content:
        assert self.store is not None
        rows = self.store.connection.execute("SELECT dn, attrs FROM mirror")
        return content({dn: attributes.decode(attrs) for dn, attrs in rows})


class Soak:
    """A server, its writers, and the client under test in this process."""

    def __init__(self, server: Slapd, directory: Path, changes: int, interval: int) -> None:
        self.server = server
        self.directory = directory
        self.changes = changes
        self.interval = interval
        self.samples: list[Sample] = []
        self.mirror = MirrorTable()

    def run(self, count: int, say: Callable[[Sample], None]) -> Report:
        url = f"{self.server.url}/{self.server.suffix}??sub?(objectClass=*)"
        mode = SyncreplMode.REFRESH_AND_PERSIST
        with Syncrepl(f"{self.directory}{os.sep}", self.mirror, mode, url) as client:
            assert isinstance(client.store, SQLiteStore)
            self.mirror.attach(client.store)
            while not client.refreshed:
                client.poll(10)
            self.mirror.changes = 0
            began = time.monotonic()
            self._follow(client, count, began, say)
            seconds = time.monotonic() - began
            entries = self._compare(client)
        rate = self.mirror.changes / seconds
        return Report(self.mirror.changes, seconds, rate, entries, self.samples)

    def _follow(
        self, client: Syncrepl, count: int, began: float, say: Callable[[Sample], None]
    ) -> None:
        progress, processes = writers.start(self.server, count, self.changes)
        heard, marking, due = time.monotonic(), False, self.interval
        try:
            while not self.mirror.marked:
                before = self.mirror.changes
                client.poll(1)
                progress.seen.value = self.mirror.changes
                if self.mirror.changes != before:
                    heard = time.monotonic()
                elif time.monotonic() - heard > HANGS_SECONDS:
                    raise SoakFailed(f"no change for {HANGS_SECONDS} s")
                if self.mirror.changes >= due:
                    due += self.interval
                    self._sample(began, progress.total, say)
                if not marking and self._all_written(processes):
                    marking = True
                    self._mark()
            self._sample(began, progress.total, say)
        finally:
            for process in processes:
                process.kill()
                process.join()
                process.close()

    @staticmethod
    def _all_written(processes: list[BaseProcess]) -> bool:
        ended = [process.exitcode for process in processes]
        if any(ended):
            raise SoakFailed(f"a writer failed: {ended}")
        return None not in ended

    def _mark(self) -> None:
        with self.server.connected() as connection:
            change = [(ldap.MOD_REPLACE, "description", [MARKER.encode()])]
            connection.modify_s(f"ou=people,{self.server.suffix}", change)

    def _sample(self, began: float, written: int, say: Callable[[Sample], None]) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        wal = self.directory / "syncrepl.sqlite3-wal"
        sample = Sample(
            seconds=round(time.monotonic() - began, 1),
            changes=self.mirror.changes,
            rss=pages * os.sysconf("SC_PAGESIZE"),
            descriptors=len(os.listdir("/proc/self/fd")),
            threads=threading.active_count(),
            wal=wal.stat().st_size if wal.exists() else 0,
            behind=max(0, written - self.mirror.changes),
        )
        self.samples.append(sample)
        say(sample)

    def _compare(self, client: Syncrepl) -> int:
        with self.server.connected() as connection:
            there = server_content(
                connection, self.server.suffix, ldap.SCOPE_SUBTREE, "(objectClass=*)", []
            )
        for name, here in (
            ("store", content(client.store.items())),
            ("mirror", self.mirror.content()),
        ):
            if here != there:
                differing = [dn for dn in {**here, **there} if here.get(dn) != there.get(dn)]
                raise SoakFailed(f"the {name} differs from the server at {sorted(differing)[:5]}")
        return len(there)


def check_flat(report: Report) -> None:
    """See that nothing grew after the warm-up.

    Raises:
        SoakFailed: something did.
    """
    warm = [each for each in report.samples if each.changes >= WARM_UP * report.changes]
    first, last = warm[0], warm[-1]
    if last.rss > first.rss + RSS_SLACK:
        raise SoakFailed(f"resident memory grew from {first.rss} to {last.rss} bytes")
    for name in ("descriptors", "threads"):
        if getattr(last, name) > getattr(first, name):
            raise SoakFailed(f"{name} grew from {getattr(first, name)} to {getattr(last, name)}")
    if max(each.wal for each in warm) > WAL_LIMIT:
        raise SoakFailed("SQLite's -wal file grew: checkpoints don't come through")


def soak(changes: int, count: int, interval: int, say: Callable[[Sample], None]) -> Report:
    """Start a server, make so many changes with *count* writers, follow them, compare."""
    with tempfile.TemporaryDirectory(prefix="soak-") as name, Slapd(sessionlog=1000) as server:
        return Soak(server, Path(name), changes, interval).run(count, say)


def as_dict(report: Report) -> dict[str, object]:
    return {**asdict(report), "seconds": round(report.seconds, 1), "rate": round(report.rate, 1)}
