# SPDX-License-Identifier: BSD-3-Clause
"""How far a refresh has come, on stderr, where that is a terminal.

There is no thread that draws: what is drawn is wiped away before anything else is written.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Callable, Optional

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from .tally import REFRESH, Numbers

DRAW_SECONDS = 0.1
"""So often it is drawn, at most."""
FIRST_SECONDS = 0.3
"""A refresh that is done sooner shows nothing."""


class RefreshProgress:
    """A line that tells of a refresh, and is gone when that is done.

    Attributes:
        wanted: whether anything is shown at all.
    """

    def __init__(self, read: Callable[[], Numbers], heard: Callable[[], int]) -> None:
        """Show nothing yet.

        Args:
            read: returns the numbers to show.
            heard: returns how many changes were heard of.
        """
        self._read = read
        self._heard = heard
        self._lock = RLock()
        self._console = Console(stderr=True, highlight=False)
        self.wanted = self._console.is_terminal and not self._console.is_dumb_terminal
        self._progress: Optional[Progress] = None
        self._task = TaskID(0)
        self._before = 0
        self._shown = False
        self._next = 0.0

    def tick(self) -> None:
        """Draw it, if it is time to."""
        if self.wanted and time.monotonic() >= self._next:
            with self._lock:
                self._draw()

    def wait(self) -> float:
        """Return how many seconds to wait for news before the next :meth:`tick`."""
        return DRAW_SECONDS if self._progress is not None else 1.0

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Wipe it away, for as long as the context lasts and until the next :meth:`tick`."""
        with self._lock:
            if self._shown and self._progress is not None:
                self._progress.stop()
                self._shown = False
            yield

    def end(self) -> None:
        """Wipe it away for good."""
        with self.aside():
            self._progress = None
            self.wanted = False

    def _draw(self) -> None:
        now = time.monotonic()
        self._next = now + DRAW_SECONDS
        numbers = self._read()
        if numbers.stage != REFRESH:
            with self.aside():
                self._progress = None
            return
        if self._progress is None:
            self._begin()
            self._next = now + FIRST_SECONDS
            return
        self._show(self._progress, numbers)

    def _begin(self) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("refresh: {task.fields[entries]:,} entries"),
            TextColumn("{task.fields[changes]:,} changes, {task.fields[rate]:,.0f}/s"),
            TimeElapsedColumn(),
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("refresh", total=None, entries=0, changes=0, rate=0.0)
        self._before = self._heard()

    def _show(self, progress: Progress, numbers: Numbers) -> None:
        changes = self._heard() - self._before
        elapsed = progress.tasks[self._task].elapsed or 1
        rate = changes / elapsed
        progress.update(self._task, entries=numbers.entries, changes=changes, rate=rate)
        if not self._shown:
            sys.stdout.flush()
            progress.start()
            self._shown = True
        progress.refresh()
