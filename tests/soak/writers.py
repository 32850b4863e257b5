# SPDX-License-Identifier: BSD-3-Clause
"""Processes that change a directory as fast as the server takes it."""

from __future__ import annotations

import multiprocessing
import random
import time
from multiprocessing.process import BaseProcess
from typing import Any

import ldap

from tests.servers import Slapd
from tests.servers.people import person

PEOPLE = 400
"""Entries of each writer's own."""
WINDOW = 32
"""So many requests of a writer are under way at once; each is about another entry."""
LEAD = 5000
"""So many changes the writers may be ahead of the client: slapd holds those in its memory."""

_context = multiprocessing.get_context("spawn")


class Progress:
    """What the processes tell each other."""

    def __init__(self, writers: int) -> None:
        self.written = [_context.Value("q", 0) for _ in range(writers)]
        self.seen = _context.Value("q", 0, lock=False)

    @property
    def total(self) -> int:
        return sum(each.value for each in self.written)


class Writer:
    """Adds, modifies, renames and deletes entries in turn, never one that is being changed."""

    def __init__(self, connection: Any, number: int, base: str, chance: random.Random):
        self.connection = connection
        self.number = number
        self.base = base
        self.chance = chance
        self.names: list[str | None] = [None] * PEOPLE
        self.count = 0
        self.pending: list[int] = []

    def step(self) -> None:
        """Send one change; wait for the oldest where many are under way."""
        index = self.count % PEOPLE
        self.count += 1
        self.pending.append(self._send(index))
        if len(self.pending) >= WINDOW:
            self.connection.result3(self.pending.pop(0))

    def finish(self) -> None:
        while self.pending:
            self.connection.result3(self.pending.pop(0))

    def _dn(self, name: str) -> str:
        return f"uid={name},ou=people,{self.base}"

    def _send(self, index: int) -> int:
        name = self.names[index]
        if name is None:
            return self._add(index)
        lot = self.chance.random()
        if lot < 0.05:
            self.names[index] = None
            return int(self.connection.delete_ext(self._dn(name)))
        if lot < 0.1:
            new = self.names[index] = self._new_name(index)
            return int(self.connection.rename(self._dn(name), f"uid={new}", None, 1))
        value = b"change %d " % self.count + b"x" * self.chance.randrange(200)
        change = [(ldap.MOD_REPLACE, "description", [value])]
        return int(self.connection.modify_ext(self._dn(name), change))

    def _new_name(self, index: int) -> str:
        return f"w{self.number}-{index}-{self.count}"

    def _add(self, index: int) -> int:
        name = self.names[index] = self._new_name(index)
        attrs = {**person(self.count), "uid": [name.encode()]}
        return int(self.connection.add_ext(self._dn(name), list(attrs.items())))


def write(
    url: str, bind: tuple[str, str], base: str, number: int, changes: int, progress: Any
) -> None:
    """Make so many changes; runs in a process of its own."""
    connection: Any = ldap.initialize(url)
    connection.simple_bind_s(*bind)
    writer = Writer(connection, number, base, random.Random(number))
    for count in range(1, changes + 1):
        writer.step()
        if count % 100 == 0:
            progress.written[number].value = count
            while progress.total - progress.seen.value > LEAD:
                time.sleep(0.01)
    writer.finish()
    progress.written[number].value = changes
    connection.unbind_s()


def start(server: Slapd, writers: int, changes: int) -> tuple[Progress, list[BaseProcess]]:
    """Start the processes that together make so many changes."""
    progress = Progress(writers)
    processes: list[BaseProcess] = []
    for number in range(writers):
        share = changes // writers + (number < changes % writers)
        bind = (server.root_dn, server.root_pw)
        arguments = (server.url, bind, server.suffix, number, share, progress)
        process = _context.Process(target=write, args=arguments, daemon=True)
        process.start()
        processes.append(process)
    return progress, processes
