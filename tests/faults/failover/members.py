# SPDX-License-Identifier: BSD-3-Clause
"""Several members as processes: started, killed, stopped, and what they committed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import ldap
import psycopg

from tests.cli.commands import ROOT
from tests.faults.failover.member import TABLES, state
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd
from tests.servers.people import SUFFIX, person_dn


def wait_until(condition: Callable[[], object]) -> None:
    """Return when *condition* holds; fail where it never does."""
    deadline = time.monotonic() + HANGS_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Member:
    """A process.

    Attributes:
        lines: what it has said.
    """

    def __init__(self, *arguments: str) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.failover.member", *arguments],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.lines.extend(map(str.strip, iter(self._process.stdout.readline, "")))

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)
        if number is signal.SIGSTOP:  # it takes its time
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        """End it; return how it ended."""
        self._process.send_signal(number)
        self._process.send_signal(signal.SIGCONT)
        code = self._process.wait(HANGS_SECONDS)
        self._reader.join()
        self._process.stdout.close()  # type: ignore[union-attr]
        return code

    def waits_for(self, line: str, times: int = 1) -> None:
        """Return when it has said *line*."""
        wait_until(lambda: self.lines.count(line) >= times)

    @property
    def is_active(self) -> bool:
        told = [line.split()[0] for line in self.lines if "activated" in line]
        return told[-1:] == ["activated"]


class Members:
    """Those that share one store; a context manager that kills them."""

    def __init__(self, server: Slapd, database: str, lease: float) -> None:
        self.server = server
        self.database = database
        self.url = f"{server.url}/{SUFFIX}?*?sub"
        self.all: list[Member] = []
        self._lease = lease
        with psycopg.connect(database) as connection:
            connection.execute(TABLES)

    def __enter__(self) -> Members:
        return self

    def __exit__(self, *error: object) -> None:
        for member in self.all:
            member.end()

    def start(self, number: int = 1) -> Sequence[Member]:
        """Start some more; return them."""
        started = [Member(self.url, self.database, str(self._lease)) for _ in range(number)]
        self.all.extend(started)
        return started

    def active(self, *others: Member) -> Member:
        """Return the one that follows, when one does that is not one of *others*."""
        found: list[Member] = []

        def look() -> bool:
            found[:] = [each for each in self.all if each.is_active and each not in others]
            return bool(found)

        wait_until(look)
        return found[0]

    def end(self, member: Member, number: signal.Signals = signal.SIGKILL) -> int:
        self.all.remove(member)
        return member.end(number)

    def change(self, number: int, description: str) -> None:
        """Change a person in the directory."""
        with self.server.connected() as connection:
            change = [(ldap.MOD_REPLACE, "description", [description.encode()])]
            connection.modify_s(person_dn(number), change)

    def fetch(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database) as connection:
            return connection.execute(sql).fetchall()

    def has(self, number: int, description: str) -> bool:
        """Say whether the mirror has that description of a person."""
        wanted = person_dn(number), [description]
        found = (json.loads(entry) for (entry,) in self.fetch("SELECT entry FROM mirror"))
        return any((dn, attrs.get("description")) == wanted for dn, attrs in found)

    def told(self) -> list[tuple[str, str | None, str | None, int]]:
        return self.fetch("SELECT uuid::text, old, new, pid FROM told ORDER BY id")

    def check(self) -> None:
        """See that the chain of each entry is whole, and the mirror equals the directory."""
        states: dict[str, str | None] = {}
        for uuid, old, new, _ in self.told():
            assert states.get(uuid) == old, f"{uuid}: the chain is broken"
            states[uuid] = new
        mirror = {entry for (entry,) in self.fetch("SELECT entry FROM mirror")}
        assert mirror == {new for new in states.values() if new is not None}
        with self.server.connected() as connection:
            found = connection.search_s(SUFFIX, ldap.SCOPE_SUBTREE)
        assert mirror == {state(dn, attrs) for dn, attrs in found}
