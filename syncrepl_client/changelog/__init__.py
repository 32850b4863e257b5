# SPDX-License-Identifier: BSD-3-Clause
"""The log of changes: a table of committed changes, in order, in the database of the store.

It is written in the transaction of the changes.  Read it for the history of entries, to undo
changes, or to pass changes on to other systems (sinks).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .log import Entry, Event, Log
    from .policy import Changelog, Keep
    from .sinks import Parked, Sinks, SinkState, SnapshotState

__all__ = [
    "Changelog",
    "Entry",
    "Event",
    "Keep",
    "Log",
    "Parked",
    "SinkState",
    "Sinks",
    "SnapshotState",
]

_WHERE = {
    "Changelog": "policy",
    "Entry": "log",
    "Event": "log",
    "Keep": "policy",
    "Log": "log",
    "Parked": "sinks",
    "SinkState": "sinks",
    "Sinks": "sinks",
    "SnapshotState": "sinks",
}
"""What keeps a log does not read it: what few programs need is imported when it is asked for."""


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f".{_WHERE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
