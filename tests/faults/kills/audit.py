# SPDX-License-Identifier: BSD-3-Clause
"""Read what a follower wrote outside: each step is legal, each start is where a commit was."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.faults.kills.mirrors import Contents, Illegal, Line, State

Entries = dict[str, State]


class Audit:
    """The story of one data path, read on and on.

    Attributes:
        figures: how many changes were told, came again, were dropped by a crash ...
        errors: what clients ended with, by name.
    """

    def __init__(self, path: Path) -> None:
        """Begin with nothing."""
        self._path = path
        self._offset = 0
        self._entries: Entries = {}
        self._places: dict[str, str] = {}
        self._marked: list[Entries] = [{}, {}]  # before the last commit, and after it
        self._uncommitted: list[Line] = []
        self._repeatable: set[Line] = set()
        self._committing: list[Line] = []  # with the last commit, if that was one
        self._doubtful: list[Line] = []  # a start does not show whether it was
        self._committed: list[Line] = []
        self._logged: list[tuple[str, Line | None]] = []
        self._stamps: dict[str, int] = {}
        self._naive: Contents = {}
        self.figures: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()

    @property
    def contents(self) -> Contents:
        """The mirror that goes back to the last commit at each start."""
        return {state.dn: state.digest for state in self._entries.values()}

    @property
    def naive_contents(self) -> Contents:
        """A mirror that takes each change as an order and never goes back."""
        return dict(self._naive)

    def read(self) -> None:
        """Read what is new; only whole lines are."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for raw in file:
                if not raw.endswith(b"\n"):
                    raise Illegal("the file outside has half a line")
                self._offset += len(raw)
                self._take(json.loads(raw))

    def _take(self, what: Mapping[str, Any]) -> None:
        if "opened" in what:
            self._opened({uuid: State(*state) for uuid, state in what["opened"].items()})
        elif "told" in what:
            self._told(_line(what["told"]))
        elif "logged" in what:
            for seq, name, raw in what["logged"]:
                self._logs(seq, name, raw and _line(raw))
        elif "error" in what:
            self.errors[what["error"]] += 1
        else:
            self.figures["commits"] += 1
            self._settle()
            self._committing, self._uncommitted = self._uncommitted, []
            self._marked = [self._marked[1], dict(self._entries)]

    def _opened(self, entries: Entries) -> None:
        """A start: from the last commit, or the one before it where that was cut short."""
        self.figures["starts"] += 1
        self.figures["told, not committed"] += len(self._uncommitted)
        if entries not in self._marked:
            raise Illegal(f"the store is not at a commit: {self._differences(entries)}")
        if entries == self._marked[0] != self._marked[1]:
            self.figures["commits undone"] += 1
            self._committing = []
        if self._marked[0] == self._marked[1]:
            self._doubtful, self._committing = self._committing, []
        self._settle()
        self._entries = dict(entries)
        self._places = {state.dn: uuid for uuid, state in entries.items()}
        self._marked = [entries, entries]
        self._repeatable |= {line._replace(phase="") for line in self._uncommitted}
        self._uncommitted = []

    def _settle(self) -> None:
        """The last commit was one."""
        self._committed += self._committing
        self._committing = []

    def _logs(self, seq: int, name: str, line: Line | None) -> None:
        """A row of the log; the first says that it begins, the others are what was committed."""
        if seq <= len(self._logged):
            if self._logged[seq - 1] != (name, line):
                raise Illegal(f"the log says otherwise than before: row {seq}, {line}")
            self.figures["log rows read again"] += 1
            return
        self._settle()
        if line is not None and line in self._doubtful[:1] and seq - 2 == len(self._committed):
            self._committed += self._doubtful
        self._doubtful = []
        self.figures["log rows"] += 1
        committed = None if seq == 1 else self._committed[seq - 2 : seq - 1]
        if seq != len(self._logged) + 1 or committed != (None if line is None else [line]):
            raise Illegal(f"the log: row {seq}, {line} where {committed} was committed")
        self._logged.append((name, line))

    def check_log(self) -> None:
        """See that nothing that was committed is missing in the log."""
        self._settle()
        if self._logged and len(self._logged) != len(self._committed) + 1:
            missing = self._committed[len(self._logged) - 1 :]
            raise Illegal(f"{len(missing)} changes are not in the log: {missing[:3]}")

    def _differences(self, entries: Entries) -> str:
        parts = []
        for name, marked in zip(("before", "after"), self._marked):
            keys = {key for key in {*entries, *marked} if entries.get(key) != marked.get(key)}
            parts.append(f"{len(keys)} from the one {name} the last commit")
        return ", ".join(parts)

    def _told(self, line: Line) -> None:
        self.figures["told"] += 1
        told = line._replace(phase="")
        if told in self._repeatable:
            self.figures["repeated"] += 1
            self._repeatable.discard(told)
        self._check(line)
        older = line.new is not None and line.stamp < self._stamps.get(line.uuid, 0)
        self.figures["older states"] += older
        self._stamps[line.uuid] = line.stamp
        self._uncommitted.append(line)
        if line.old is not None:
            del self._places[line.old.dn]
            del self._entries[line.uuid]
            self._naive.pop(line.old.dn, None)
        if line.new is not None:
            self._places[line.new.dn] = line.uuid
            self._entries[line.uuid] = line.new
            self._naive[line.new.dn] = line.new.digest

    def _check(self, line: Line) -> None:
        if self._entries.get(line.uuid) != line.old:
            raise Illegal(f"outside: {line} where there was {self._entries.get(line.uuid)}")
        if line.new is not None and self._places.get(line.new.dn, line.uuid) != line.uuid:
            raise Illegal(f"outside: {line} to where there is one")
        if line.old == line.new:
            raise Illegal(f"outside: {line} is none")


def _line(raw: list[Any]) -> Line:
    kind, uuid, old, new, stamp, phase = raw
    return Line(kind, uuid, old and State(*old), new and State(*new), stamp, phase)
