# SPDX-License-Identifier: BSD-3-Clause
"""The command, beside ldapsearch: both write all entries, to /dev/null."""

from __future__ import annotations

import sys
from functools import partial
from typing import Callable

from bench import peers
from bench.directory import Place
from bench.measure import Run, alternate, measure
from bench.scenarios.outcome import LDAPSEARCH, Outcome

MEMORY_LIMIT = 100_000
"""With more entries than that, ``watch``, which keeps them in memory, is not measured."""
COMMAND = [sys.executable, "-m", "syncrepl_client"]


def dump(place: Place) -> Outcome:
    """The entries of a store that is up to date."""
    dumped = [*COMMAND, "dump", "--data", f"{place.store()}/", "--format"]
    return _beside_ldapsearch(place, {form: [*dumped, form] for form in ("ldif", "json")})


def watch(place: Place) -> Outcome:
    """The entries of the directory, from an initial refresh without a file."""
    if place.entries > MEMORY_LIMIT:
        return Outcome()
    watched = [*COMMAND, "watch", place.url, "--once"]
    return _beside_ldapsearch(
        place,
        {
            "ldif": [*watched, "--format", "ldif"],
            "json": [*watched, "--format", "json"],
            "brief": [*watched, "--brief"],
            "text": watched,
        },
    )


def _beside_ldapsearch(place: Place, commands: dict[str, list[str]]) -> Outcome:
    contestants = {LDAPSEARCH: peers.ldapsearch_ldif(place.server), **commands}
    runs: dict[str, Callable[[], Run]] = {
        name: partial(measure, command) for name, command in contestants.items()
    }
    outcome = Outcome(alternate(place.pairs, runs))
    for name in commands:
        outcome.compare(name, name, LDAPSEARCH)
    return outcome
