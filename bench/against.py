# SPDX-License-Identifier: BSD-3-Clause
"""This library beside an earlier commit of it: ``python -m bench --against COMMIT``.

Both run in turn, on the same server, with the dependencies that are installed here.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Callable

from bench.directory import Place, delete_people, forget_cookie
from bench.measure import Run, alternate, background, program, ratio
from bench.scenarios.outcome import OURS, Outcome
from bench.scenarios.persist import CHANGES, SETTLE_SECONDS, one_at_a_time
from bench.scenarios.refresh import DELETES

EARLIER = "earlier"


def compare(place: Place, tree: Path) -> dict[str, Outcome]:
    """Measure the library here and that in *tree*, by the name of what is measured."""
    earlier = replace(place, tree=tree, directory=place.directory / EARLIER)
    earlier.directory.mkdir()
    places = {EARLIER: earlier, OURS: place}

    def beside(run: Callable[[Place], Run]) -> Outcome:
        contestants = {name: partial(run, each) for name, each in places.items()}
        return _ratios(alternate(place.pairs, contestants), EARLIER)

    outcomes = {
        "initial refresh": beside(lambda each: each.refresh(each.empty("first"))),
        "initial refresh, two attributes read": beside(
            lambda each: each.refresh(each.empty("first"), "read")
        ),
        "again without a cookie": beside(_reload),
        "changes one at a time": beside(_change),
    }
    for each in places.values():
        each.copy(each.store(), "stale")
    delete_people(place.server, deletes := min(DELETES, place.entries // 10))
    outcomes["present phase"] = beside(
        lambda each: each.refresh(each.copy(each.directory / "stale", "present"), deleted=deletes)
    )
    return outcomes


def _ratios(runs: dict[str, list[Run]], other: str) -> Outcome:
    outcome = Outcome(runs)
    outcome.figures["cpu"] = ratio(runs[OURS], runs[other], lambda run: run.cpu)
    outcome.figures["wall"] = ratio(runs[OURS], runs[other])
    return outcome


def _reload(place: Place) -> Run:
    store = place.store()
    forget_cookie(store)
    return place.refresh(store)


def _change(place: Place) -> Run:
    """The CPU time of the persist stage alone."""
    command = program("follow", f"{place.store()}/", place.url, 0, CHANGES)
    with background(command, path=place.tree) as follower:
        time.sleep(SETTLE_SECONDS)
        began = time.monotonic()
        one_at_a_time(place.server, place.entries, f"mark {began}")
        return Run(time.monotonic() - began, float(follower.said()["client_cpu"]))
