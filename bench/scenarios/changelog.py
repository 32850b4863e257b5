# SPDX-License-Identifier: BSD-3-Clause
"""A log of changes: what it costs beside the same without one."""

from __future__ import annotations

from pathlib import Path

from bench.directory import Place, describe, write
from bench.measure import Run, alternate, background, measure, program, ratio
from bench.scenarios.outcome import Outcome
from tests.servers.people import person_dn

CHANGES = 10_000
WITHOUT, SNAPSHOT, EACH = "without a log", "with a log", "with a log of each entry"


def changelog(place: Place) -> Outcome:
    """The first refresh, logged as one row or entry by entry; then changes one by one."""
    outcome = Outcome(
        alternate(
            place.pairs,
            {
                WITHOUT: lambda: _refresh(place),
                SNAPSHOT: lambda: _refresh(place, "snapshot"),
                EACH: lambda: _refresh(place, "each"),
            },
        )
    )
    outcome.compare("refresh", SNAPSHOT, WITHOUT)
    outcome.compare("each", EACH, WITHOUT)
    runs = outcome.runs
    outcome.figures["each cpu"] = ratio(runs[EACH], runs[WITHOUT], lambda run: run.cpu)
    plain, logged = place.copy(place.store(), "plain"), place.copy(place.store(), "logged")
    figures = []
    for turn in range(place.pairs):
        plainly = _cost(place, plain, f"plain {turn}")
        figures.append(_cost(place, logged, f"logged {turn}", "log") / plainly)
    outcome.note("cpu", figures)
    return outcome


def _refresh(place: Place, *options: str) -> Run:
    return measure(place.client(place.empty("first"), *options))


def _cost(place: Place, store: Path, text: str, *options: str) -> float:
    """CPU time of a client for so many changes of descriptions, to that *text*."""
    requests = [
        describe(person_dn(number), text) for number in range(min(CHANGES, place.entries // 2))
    ]
    follow = program("follow", f"{store}/", place.url, len(requests), 0, *options)
    with background(follow) as follower:
        write(place.server, requests)
        return float(follower.said()["client_cpu"])
