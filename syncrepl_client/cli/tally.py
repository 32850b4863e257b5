# SPDX-License-Identifier: BSD-3-Clause
"""Counts what a callback hears: plain numbers, for whoever shows them."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

from ..callbacks import BaseCallback
from ..changes import Change, ChangeKind, Phase
from ..messages import Attributes

CONNECTING, DISCONNECTED, REFRESH, PERSIST = "connecting", "disconnected", "refresh", "persist"
STAGES = (CONNECTING, DISCONNECTED, REFRESH, PERSIST)


@dataclass(frozen=True)
class Numbers:
    """How far a client has come.

    Attributes:
        stage: one of :data:`STAGES`.
        entries: how many the store has.
        changes: how many were committed, by kind.
        commits: how many transactions were committed.
        reconnects: how often a lost connection was made again.
        last_message: when something was heard of the directory, in Unix time.
        lag: how many seconds the store is behind the directory; None where nobody knows.
    """

    stage: str
    entries: int
    changes: Mapping[ChangeKind, int]
    commits: int
    reconnects: int
    last_message: Optional[float]
    lag: Optional[float] = None


class Tally(BaseCallback):
    """Counts.  What was counted since the last commit is forgotten where that is rolled back.

    Attributes:
        heard: changes that were heard of, committed or not.
        errors: how often a change could not be handled.
    """

    def __init__(self) -> None:
        self.heard = self.errors = 0
        self._stage = CONNECTING
        self._entries = 0
        self._changes: Counter[ChangeKind] = Counter()
        self._open: Counter[ChangeKind] = Counter()
        self._commits = self._connections = 0
        self._last_message: Optional[float] = None

    @property
    def numbers(self) -> Numbers:
        """The numbers now; may be asked for in any thread."""
        return Numbers(
            self._stage,
            self._entries,
            {kind: self._changes[kind] for kind in ChangeKind},
            self._commits,
            max(0, self._connections - 1),
            self._last_message,
        )

    def begin(self, entries: int) -> None:
        """Begin with so many entries that the store has."""
        self._entries = entries

    def bind_complete(self, ldap: object) -> None:
        """Count a connection."""
        self._connections += 1
        self._stage = REFRESH

    def disconnected(self, error: Exception) -> None:
        """Note that there is none."""
        self._stage = DISCONNECTED
        self.roll_back()

    def failed(self) -> None:
        """Count an error of a callback."""
        self.errors += 1
        self.roll_back()

    def roll_back(self) -> None:
        """Forget what was not committed."""
        self._open.clear()

    def dispatch(self, change: Change) -> None:
        """Count *change*."""
        self.heard += 1
        self._open[change.kind] += 1
        self._listened()
        self._stage = PERSIST if change.phase is Phase.PERSIST else REFRESH

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        """Note that the refresh is over."""
        self._listened()
        self._stage = PERSIST

    def before_commit(self) -> None:
        """Count what is committed now."""
        self._entries += self._open[ChangeKind.ADD] - self._open[ChangeKind.DELETE]
        self._changes.update(self._open)
        self._commits += 1
        self.roll_back()

    def _listened(self) -> None:
        self._last_message = time.time()
