# SPDX-License-Identifier: BSD-3-Clause
"""What a follower makes of the changes it is told: tables in the store, and a file outside.

Every change that a test makes on a server takes the next number of one count, its tick, and
writes it into what it changes: ``v17`` as description, ``r17`` at the end of an RDN.  The
greatest tick in an entry is its stamp.  So a change that is told twice, in the wrong order or
for nothing has a stamp that is not greater than the one before, and is seen at once.  (But what
is only carried along, because somebody above it was renamed, keeps its stamp.)
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from syncrepl_client import Change, ChangeKind
from syncrepl_client.entries.attributes import Attributes

Contents = dict[str, str]
"""DN to digest of the attributes."""

_IN_RDN = re.compile(r"[^,]*r(\d+),")
_IN_DESCRIPTION = re.compile(rb"v(\d+)")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS mirror (
    dn TEXT PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, digest TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS lineage (
    uuid TEXT PRIMARY KEY, stamp INTEGER NOT NULL, gone INTEGER NOT NULL
)
"""


class Illegal(AssertionError):
    """No directory could have changed like that."""


class State(NamedTuple):
    """One entry."""

    dn: str
    digest: str


class Line(NamedTuple):
    """One change, as it is written to the file outside."""

    kind: str
    uuid: str
    old: State | None
    new: State | None
    stamp: int
    phase: str

    @property
    def carried(self) -> bool:
        """Whether the part of the DN that is not its own changed."""
        return None not in (self.old, self.new) and _above(self.old) != _above(self.new)


def _above(state: State | None) -> str:
    return "" if state is None else state.dn.partition(",")[2]


def digest(attrs: Mapping[str, list[bytes]]) -> str:
    """A few characters that differ where attributes do."""
    canonical = sorted((name.lower(), sorted(values)) for name, values in attrs.items())
    return hashlib.sha1(repr(canonical).encode(), usedforsecurity=False).hexdigest()[:16]


def stamp(dn: str, attrs: Mapping[str, list[bytes]]) -> int:
    """The tick of the last change that was made to an entry."""
    in_rdn = _IN_RDN.match(dn)
    ticks = [int(in_rdn[1])] if in_rdn else []
    for name, values in attrs.items():
        if name.lower() == "description":
            ticks += [int(found[1]) for found in map(_IN_DESCRIPTION.fullmatch, values) if found]
    return max(ticks, default=0)


def line_of(change: Change) -> Line:
    """A change in short."""
    old = _state(change.old_dn, change.old_attrs)
    new = _state(change.new_dn, change.new_attrs)
    dn = change.new_dn or change.old_dn or ""
    number = stamp(dn, change.new_attrs or change.old_attrs or {})
    return Line(change.kind.value, str(change.uuid), old, new, number, change.phase.name)


def _state(dn: str | None, attrs: Attributes | None) -> State | None:
    return None if dn is None else State(dn, digest(attrs or {}))


class Inside:
    """A mirror in tables of its own in the store, so each change is in it exactly once."""

    def __init__(self, connection: sqlite3.Connection, *, stamps: bool, rereads: bool) -> None:
        """Nothing is written before the first change.

        stamps: see that they rise; rereads: what is told in the persist stage was read again.
        """
        self._connection = connection
        self._stamps = stamps
        self._rereads = rereads
        self._made = False

    def apply(self, line: Line) -> None:
        """Take over a change, or refuse what can't be."""
        if not self._made:
            for statement in _SCHEMA.split(";"):
                self._connection.execute(statement)
            self._made = True
        if line.old is not None:
            self._leave(line, line.old)
        if line.new is not None:
            self._enter(line, line.new)
        self._check_lineage(line)

    def _leave(self, line: Line, old: State) -> None:
        gone = self._connection.execute(
            "DELETE FROM mirror WHERE dn = ? AND uuid = ? AND digest = ?",
            (old.dn, line.uuid, old.digest),
        )
        if gone.rowcount != 1:
            raise Illegal(f"inside: {line} of an entry that is not there, or not so")

    def _enter(self, line: Line, new: State) -> None:
        try:
            self._connection.execute(
                "INSERT INTO mirror VALUES (?, ?, ?)", (new.dn, line.uuid, new.digest)
            )
        except sqlite3.IntegrityError as error:
            raise Illegal(f"inside: {line} to where there is one") from error

    def _check_lineage(self, line: Line) -> None:
        if not self._stamps:
            return
        row = self._connection.execute(
            "SELECT stamp, gone FROM lineage WHERE uuid = ?", (line.uuid,)
        ).fetchone()
        added = line.kind == ChangeKind.ADD.value
        if row is not None and row[1] and added and line.phase == "PERSIST":
            # The refresh looked for the entry when it was gone already, the persist stage begins
            # at the cookie: slapd tells of the last changes before the delete, and that again.
            row = None
        if (row is not None) == added:
            raise Illegal(f"inside: {line} after {row}")
        if row is not None:
            before, gone = row
            read_again = self._rereads and line.phase == "PERSIST"
            may_stay = line.kind == ChangeKind.DELETE.value or line.carried or read_again
            older = line.stamp < before and line.phase != "PERSIST"  # slapd may tell one there
            if gone or older or (line.stamp == before and not may_stay):
                raise Illegal(f"inside: {line} after {row}")
        self._connection.execute(
            "INSERT OR REPLACE INTO lineage VALUES (?, ?, ?)",
            (line.uuid, line.stamp, line.new is None),
        )


def inside_contents(connection: sqlite3.Connection) -> Contents:
    """What the mirror in the store holds."""
    try:
        return dict(connection.execute("SELECT dn, digest FROM mirror"))
    except sqlite3.OperationalError:  # nothing was ever told
        return {}


class Outside:
    """A file that is appended to while callbacks run: it has what was never committed, too."""

    def __init__(self, path: Path) -> None:
        """Go on at the end."""
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def opened(self, entries: Mapping[str, State]) -> None:
        """Note what the store held, by UUID, when a client began."""
        self._write({"opened": entries})

    def told(self, line: Line) -> None:
        """Note a change."""
        self._write({"told": line})

    def committing(self) -> None:
        """Note that a commit comes next."""
        self._write({"committing": True})

    def logged(self, rows: Iterable[tuple[int, str, Line | None]]) -> None:
        """Note rows of the log of changes: number, identifier, change."""
        self._write({"logged": list(rows)})

    def error(self, text: str) -> None:
        """Note why a client ended."""
        self._write({"error": text})

    def _write(self, what: object) -> None:
        os.write(self._descriptor, json.dumps(what).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
