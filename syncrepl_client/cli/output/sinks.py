# SPDX-License-Identifier: BSD-3-Clause
"""The sinks of a store in words, as JSON, and for Nagios."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from ...changelog import SinkState
from ...formats.jsonlines import rfc3339
from .nagios import Number, State, Thresholds, span
from .report import counted


class Limits(NamedTuple):
    """Above which age in seconds, and above how many parked changes, a sink is not well."""

    age: Thresholds
    parked: Thresholds


def is_well(sink: SinkState) -> bool:
    """Return True if the sink neither refused nor lost a change."""
    return not (sink.parked or sink.lost)


def style(sink: SinkState) -> str:
    """Return the style of its name."""
    return "red" if sink.lost else "yellow" if sink.parked else "green"


def words(sink: SinkState) -> str:
    """Describe how far the sink is."""
    parts = [_progress(sink), f"{counted(sink.parked, 'change')} parked"]
    if sink.lost:
        parts.append(f"{counted(sink.lost, 'change')} lost")
    if sink.snapshot is not None:
        parts.append(f"snapshot under way ({counted(sink.snapshot.sent, 'entry', 'entries')} sent)")
    return ", ".join([*parts, f"position {sink.position:,}"])


def _progress(sink: SinkState) -> str:
    if not sink.behind:
        return "up to date"
    age = "" if sink.age is None else f", the first is {round(sink.age):,} s old"
    return f"{counted(sink.behind, 'change')} behind{age}"


def members(sink: SinkState) -> "dict[str, Any]":
    """Return the sink as an object for ``json.dumps``."""
    wanted = sink.snapshot
    snapshot = None if wanted is None else {"id": wanted.id.hex(), "sent": wanted.sent}
    return {**sink._asdict(), "moved": utc(sink.moved), "snapshot": snapshot}


def utc(seconds: float) -> str:
    """Return Unix time as a timestamp of RFC 3339."""
    return rfc3339(datetime.fromtimestamp(seconds, timezone.utc))


# --- Nagios


def judge(sinks: Iterable[SinkState], limits: Limits) -> "list[tuple[State, str]]":
    """Return a state and its text for each sink that is not well."""
    found = (_judge(sink, limits) for sink in sinks)
    return [each for each in found if each[0] is not State.OK]


def _judge(sink: SinkState, limits: Limits) -> "tuple[State, str]":
    age = _above(sink.age or 0.0, limits.age)
    parked = _above(sink.parked, limits.parked)
    said = []
    if sink.lost:
        said.append(f"has lost {counted(sink.lost, 'change')}")
    if age is not State.OK:
        said.append(f"is {span(sink.age or 0.0)} behind")
    if parked is not State.OK:
        said.append(f"has parked {counted(sink.parked, 'change')}")
    state = State.CRITICAL if sink.lost else max(age, parked)
    return state, f"the sink {sink.name} {' and '.join(said)}"


def _above(value: float, thresholds: Thresholds) -> State:
    if value > thresholds.critical:
        return State.CRITICAL
    return State.WARNING if value > thresholds.warning else State.OK


def numbers(sinks: Iterable[SinkState], limits: Limits) -> Sequence[Number]:
    """Return the performance data of the sinks."""
    return [
        number
        for sink in sinks
        for number in (
            (f"{sink.name}_lag", sink.age or 0.0, "s", limits.age),
            (f"{sink.name}_parked", float(sink.parked), "", limits.parked),
            (f"{sink.name}_lost", float(sink.lost), "", None),
        )
    ]
