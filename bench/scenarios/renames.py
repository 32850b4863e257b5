# SPDX-License-Identifier: BSD-3-Clause
"""Renames: of a container with all that is below it, and of single entries."""

from __future__ import annotations

import time
from typing import Any

import ldap

from bench.directory import Place, movers, write
from bench.measure import background, program
from bench.scenarios.outcome import Outcome
from tests.servers.people import SUFFIX, person_dn, uid

LEAVES = 10_000
BRANCH = f"ou=people,{SUFFIX}"


def renames(place: Place) -> Outcome:
    """A container with up to 50,000 entries; 10,000 single entries beside as many changes."""
    outcome = Outcome()
    _container(place, outcome)
    _leaves(place, outcome)
    return outcome


def _container(place: Place, outcome: Outcome) -> None:
    """From the answer to the rename to the commit of all that it renames."""
    below, delays = movers(place.entries), []
    for _ in range(place.pairs):
        with background(_follow(place, below + 1)) as follower:
            with place.server.connected() as connection:
                connection.rename_s(f"ou=movers,{SUFFIX}", "ou=moved")
                answered = time.monotonic()
            delays.append(follower.said()["done"] - answered)
        with place.server.connected() as connection:
            connection.rename_s(f"ou=moved,{SUFFIX}", "ou=movers")
    outcome.note("container", delays)


def _leaves(place: Place, outcome: Outcome) -> None:
    count = min(LEAVES, place.entries // 2)
    wall, cpu = [], []
    for turn in range(place.pairs):
        text = b"turn %d" % turn
        changes = [
            ("modify_ext", person_dn(number), [(ldap.MOD_REPLACE, "description", [text])])
            for number in range(count)
        ]
        there = [("rename", person_dn(number), f"uid=r{number}") for number in range(count)]
        back = [
            ("rename", f"uid=r{number},{BRANCH}", f"uid={uid(number)}") for number in range(count)
        ]
        changed, renamed = _cost(place, changes), _cost(place, there)
        write(place.server, back)
        wall.append(renamed[0] / changed[0])
        cpu.append(renamed[1] / changed[1])
    outcome.note("leaf wall", wall)
    outcome.note("leaf cpu", cpu)


def _cost(place: Place, requests: list[tuple[Any, ...]]) -> tuple[float, float]:
    """Seconds from the first request to the last commit, and the client's CPU time."""
    with background(_follow(place, len(requests))) as follower:
        began, _ = write(place.server, requests)
        said = follower.said()
    return said["done"] - began, said["client_cpu"]


def _follow(place: Place, changes: int) -> list[str]:
    return program("follow", f"{place.store()}/", place.url, changes, 0)
