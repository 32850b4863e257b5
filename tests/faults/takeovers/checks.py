# SPDX-License-Identifier: BSD-3-Clause
"""What the tables have to say in the end."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

CALLS = """
SELECT uuid::text, old, new, timeline, term FROM calls
ORDER BY pg_xact_commit_timestamp(xmin), id
"""
"""The calls in the order in which they were committed."""


class Call(NamedTuple):
    """A committed call: an entry before and after, and whose it was."""

    uuid: str
    old: str | None
    new: str | None
    timeline: int
    term: int


class Found(NamedTuple):
    """What is wrong.

    Attributes:
        broken: calls that do not begin where the one before of the same entry has ended.
        repeated: calls that say what an earlier one has said.
        replaced: calls that were committed after one of a later term.
        differ: entries that are not in both the mirror and the directory.
    """

    broken: int
    repeated: int
    replaced: int
    differ: int


def examine(calls: Sequence[Call], mirror: Collection[str], directory: Collection[str]) -> Found:
    """Compare what was committed with itself and with the directory."""
    states: dict[str, str | None] = {}
    told: set[tuple[str, str | None]] = set()
    broken = repeated = replaced = 0
    last = (0, 0)
    for call in calls:
        broken += states.get(call.uuid) != call.old or call.old == call.new
        repeated += (call.uuid, call.new) in told
        tenure = call.timeline, call.term
        replaced += tenure < last
        last = max(last, tenure)
        states[call.uuid] = call.new
        told.add((call.uuid, call.new))
    chained = {state for state in states.values() if state is not None}
    differ = len(set(mirror) ^ set(directory)) + len(set(mirror) ^ chained)
    return Found(broken, repeated, replaced, differ)
