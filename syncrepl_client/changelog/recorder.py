# SPDX-License-Identifier: BSD-3-Clause
"""Writes the log, in the transaction of the changes, and trims it."""

import logging
import os
import time
from enum import Enum
from typing import Callable, Optional

from ..changes import Change
from .policy import Changelog, Keep
from .rows import Row, row_of, snapshot_row
from .sinks import holding
from .tables import Mark, Tables, settings_of

logger = logging.getLogger(__name__)

_TRIM_EVERY = 256
"""The number of rows after which old rows are removed ..."""
_TRIM_MANY = 1024
"""... and the maximum number to remove at once."""
_RANDOM, _DRAWN = 16, 64
"""Bytes of an identifier, and how many identifiers are read from the system at once."""


class _State(Enum):
    """Whether changes are logged."""

    UNKNOWN = "the store was not asked yet"
    WAITING = "from the end of the first refresh on"
    ON = "yes"
    OFF = "no"


class Recorder:
    """Logs the changes of a store.

    All methods except :meth:`prepare` and :meth:`rolled_back` are called in the open transaction.
    """

    def __init__(
        self, tables: Tables, changelog: Optional[Changelog], complete: Callable[[], bool]
    ) -> None:
        """Initialize from the tables of the store.

        Args:
            tables: the tables.
            changelog: the settings; None for the stored ones, or no log if there are none.
            complete: returns True if a refresh of the store was ever completed.
        """
        self._tables = tables
        self._given = changelog
        self._complete = complete
        self._state = _State.UNKNOWN
        self._changelog = Changelog()
        self._written = _TRIM_EVERY
        self._drawn: list[bytes] = []

    def prepare(self) -> None:
        """Make the tables and store the settings, if settings were given."""
        if self._given is None:
            return
        tables, settings = self._tables, self._given.encode()
        if not tables.exist or tables.settings() != settings:
            with tables.transaction():
                if not tables.exist:
                    tables.create()
                tables.set(settings)

    def note(self, uuid: bytes, change: Change) -> Optional[Row]:
        """Return the row for *change*, or None; for a call before that of the callback."""
        if not self._on():
            return None
        return row_of(uuid, change, self._changelog.exclude, self._random())

    def write(self, row: Row) -> None:
        """Write a row that :meth:`note` returned."""
        self._tables.append(row)
        self._written += 1

    def _random(self) -> bytes:
        """Return a new identifier."""
        if not self._drawn:
            drawn = os.urandom(_RANDOM * _DRAWN)
            self._drawn = [drawn[at : at + _RANDOM] for at in range(0, len(drawn), _RANDOM)]
        return self._drawn.pop()

    def refresh_done(self) -> None:
        """Start the log, if it waits for the end of the first refresh."""
        if not self._on() and self._state is _State.WAITING:
            self._begin()

    def committing(self) -> None:
        """Prepare for a commit: start the log of a store that had none, remove old rows."""
        if self._on() and self._written >= _TRIM_EVERY:
            self._written = 0
            self._trim(time.time())

    def rolled_back(self) -> None:
        """Note that the transaction was rolled back."""
        self._state = _State.UNKNOWN

    # --- starting

    def _on(self) -> bool:
        if self._state is _State.ON and not self._tables.exist:
            self._state = _State.OFF  # it was dropped
        if self._state is _State.UNKNOWN:
            self._look()
        return self._state is _State.ON

    def _look(self) -> None:
        if not self._tables.exist:
            self._state = _State.OFF
            return
        self._changelog = settings_of(self._tables)
        if self._tables.newest() is not None:
            self._state = _State.ON
        elif self._changelog.initial == "each" or self._complete():
            self._begin()
        else:
            self._state = _State.WAITING

    def _begin(self) -> None:
        self._tables.append(snapshot_row(self._random(), time.time()))
        self._state = _State.ON

    # --- removing old rows

    def _trim(self, now: float) -> None:
        oldest, newest = self._tables.marks(0, 1), self._tables.newest()
        if newest is None or self._keeps(oldest[0], newest, now):
            return
        held = dict(holding(self._tables, oldest[0].seq))
        floor = min(held.values(), default=newest.seq)
        through = 0
        for mark in self._tables.marks(0, _TRIM_MANY):
            waited_for = mark.seq > floor and _covered(self._changelog.for_sinks, mark, newest, now)
            if waited_for or self._keeps(mark, newest, now):
                break
            through = mark.seq
        if not through:
            return
        self._tables.trim(through)
        for name in (name for name, position in held.items() if position < through):
            logger.error(
                "the sink %r was given up on: changes that it has not had are no longer kept",
                name,
                extra={"event": "sink-given-up"},
            )

    def _keeps(self, mark: Mark, newest: Mark, now: float) -> bool:
        return mark.seq == newest.seq or _covered(self._changelog.keep, mark, newest, now)


def _covered(keep: Keep, mark: Mark, newest: Mark, now: float) -> bool:
    return keep.covers(now - mark.time, newest.seq - mark.seq + 1, newest.total - mark.total)
