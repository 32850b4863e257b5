# SPDX-License-Identifier: BSD-3-Clause
"""What should take next to no time: a resume, a walk over the store, an import."""

from __future__ import annotations

import sys

from bench.directory import Place
from bench.measure import Run, alternate, measure, program, ratio
from bench.scenarios.outcome import OURS, Outcome

BASELINE = "Python, bind, root DSE"
IMPORTS = 15


def resume(place: Place) -> Outcome:
    """Nothing changed: from the start of the process to the end of the refresh."""
    store = place.store()
    contestants = {
        BASELINE: lambda: measure(program("root_dse", place.server.url)),
        OURS: lambda: place.refresh(store),
    }
    outcome = Outcome(alternate(place.pairs, contestants))
    outcome.figures["ratio"] = ratio(outcome.runs[OURS], outcome.runs[BASELINE], _done)
    return outcome


def _done(run: Run) -> float:
    return float(run.said["done"])


def items(place: Place) -> Outcome:
    """A walk over what refresh_done is given."""
    store = place.store()
    outcome = Outcome(alternate(place.pairs, {OURS: lambda: measure(place.client(store, "walk"))}))
    outcome.note("seconds", [run.said["walk"] for run in outcome.runs[OURS]])
    return outcome


def imports(place: Place) -> Outcome:
    """Importing the library, beside importing ldap."""
    outcome = Outcome(
        alternate(
            IMPORTS,
            {
                "import ldap": lambda: measure([sys.executable, "-c", "import ldap"]),
                OURS: lambda: measure(
                    [sys.executable, "-c", "from syncrepl_client import Syncrepl"]
                ),
            },
        )
    )
    outcome.compare("ratio", OURS, "import ldap")
    return outcome
