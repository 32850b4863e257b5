# SPDX-License-Identifier: BSD-3-Clause
"""What the status page shows of a stream, read from its store."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import NamedTuple, Optional
from uuid import UUID

from ...changelog import Event, Log, Parked, SinkState
from ...changelog.rows import is_left_out
from ...engine.stats import Stats
from ...entries.differences import OPERATIONAL, AttributeChange, AttributeChangeKind
from ...exceptions import StoreError, UsageError
from ...formats import events
from ...formats.jsonlines import json_values
from ...store import DataPath, read_store, store_exists
from ..errors import one_line
from ..output.report import counted
from .samples import Bar

CHANGES = 20
"""The number of last changes, and of parked ones of a sink, that are shown."""
_LINES, _WIDTH = 8, 160
"""The number of lines of a change, and of characters of a value."""


class Line(NamedTuple):
    """A line of a change: ``+``, ``-`` or nothing, and the text."""

    sign: str
    text: str


class ShownChange(NamedTuple):
    """A change in the log."""

    time: datetime
    kind: str
    name: str
    lines: Sequence[Line]


class ShownParked(NamedTuple):
    """A parked change."""

    sink: str
    seq: int
    time: datetime
    name: str
    reason: str
    released: bool


class Shown(NamedTuple):
    """What the store of a stream has; *error* says why it can't be read."""

    sinks: Sequence[SinkState]
    parked: Sequence[ShownParked]
    changes: Sequence[ShownChange]
    has_log: bool
    error: Optional[str] = None


@dataclass(frozen=True)
class View:
    """What is shown of a stream.

    Attributes:
        name: its name.
        search: the URL, without a password.
        stats: the statistics.
        refreshed: whether it was ever in step.
        error: its last error.
        bars: its lag.
        failing: the errors of relays, by sink.
        shown: what its store has.
    """

    name: str
    search: str
    stats: Stats
    refreshed: bool
    error: Optional[str]
    bars: Sequence[Bar]
    failing: "dict[str, Optional[str]]"
    shown: Shown


# --- reading


def read(data_path: DataPath, *, values: bool) -> Shown:
    """Return what the store at *data_path* has; with *values* also those of attributes."""
    try:
        if not store_exists(data_path):  # it was never connected
            return Shown((), (), (), has_log=False)
        with read_store(data_path) as reader:
            sinks = reader.sinks
            try:
                log = reader.changelog
            except UsageError:  # there is none
                return Shown((), (), (), has_log=False)
            parked = [_parked(log, row) for sink in sinks for row in _first(log, sink)]
            changes = [_change(event, values) for event in islice(log.history(), CHANGES)]
            return Shown(sinks, parked, changes, has_log=True)
    except (StoreError, UsageError) as error:
        return Shown((), (), (), has_log=False, error=one_line(error))


def _first(log: Log, sink: SinkState) -> Iterable[Parked]:
    return log.sinks.parked(sink.name)[:CHANGES]


def _parked(log: Log, row: Parked) -> ShownParked:
    uuid = UUID(bytes=row.uuid)
    entry = log.entry(uuid, row.seq)
    name = str(uuid) if entry is None else entry.dn
    time = datetime.fromtimestamp(row.time).astimezone()
    return ShownParked(row.sink, row.seq, time, name, row.reason, row.released)


def _change(event: Event, values: bool) -> ShownChange:
    time = datetime.fromtimestamp(event.time).astimezone()
    change = event.change
    if change is None:
        return ShownChange(time, "log", "the log begins", ())
    names = dict.fromkeys(name for name in (change.old_dn, change.new_dn) if name is not None)
    lines = list(_lines(events.differences(event, OPERATIONAL), values))
    more = len(lines) - _LINES
    if more > 0:
        lines[_LINES:] = [Line(" ", f"and {counted(more, 'more line')}")]
    return ShownChange(time, change.kind.value, " \N{RIGHTWARDS ARROW} ".join(names)
                       or str(change.uuid), lines)  # fmt: skip


def _lines(differences: Iterable[AttributeChange], values: bool) -> Iterator[Line]:
    for each in differences:
        if is_left_out(each):
            yield Line("~", f"{each.name}: changed, its values are not in the log")
        elif values:
            yield from (Line("-", f"{each.name}: {text}") for text in _texts(each, each.removed))
            yield from (Line("+", f"{each.name}: {text}") for text in _texts(each, each.added))
        elif each.kind is AttributeChangeKind.ADDED:
            yield Line("+", f"{each.name}: {counted(len(each.added), 'value')}")
        elif each.kind is AttributeChangeKind.REMOVED:
            yield Line("-", f"{each.name}: {counted(len(each.removed), 'value')}")
        else:
            added, removed = counted(len(each.added), "value"), len(each.removed) or "none"
            yield Line("~", f"{each.name}: {added} added, {removed} removed")


def _texts(change: AttributeChange, values: Sequence[bytes]) -> Iterator[str]:
    for value in json_values(change.name, values[:_LINES]):
        if isinstance(value, str):
            yield value if len(value) <= _WIDTH else f"{value[:_WIDTH]}\N{HORIZONTAL ELLIPSIS}"
        else:
            yield "octets that are not text"
    if len(values) > _LINES:
        yield f"and {counted(len(values) - _LINES, 'more value')}"
