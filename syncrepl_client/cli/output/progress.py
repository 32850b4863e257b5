# SPDX-License-Identifier: BSD-3-Clause
"""The progress of a refresh, or of a move, on stderr, if that is a terminal.

No thread draws: the line is erased before anything else is written.
"""

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import RLock
from typing import Callable, NamedTuple, Optional

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from .terminal import is_terminal

DRAW_SECONDS = 0.1
"""The minimum interval between two redraws."""
FIRST_SECONDS = 0.3
"""A shorter refresh shows no progress."""


class Seen(NamedTuple):
    """The progress of a refresh so far.

    Attributes:
        refreshing: whether a refresh is running.
        changes: how many changes there were since the client started.
        entries: how many entries the server has named in this refresh; None if unknown.
        expected: how many there may be in this refresh; 0 if unknown.
    """

    refreshing: bool
    changes: int
    entries: Optional[int]
    expected: int


class RefreshProgress:
    """A progress line, which disappears when the refresh, or another piece of work, is done.

    Attributes:
        wanted: whether it is shown at all.
        look: returns the current progress.
        before: called before the line is drawn.
    """

    def __init__(
        self,
        word: str = "refresh",
        text: str = "{entries:,} entries, {rate:,.0f}/s, {changes:,} changes",
    ) -> None:
        """Initialize; nothing is shown yet.

        Args:
            word: what is done.
            text: the format of how far it is.
        """
        self._word, self._text = word, text
        self.look: Callable[[], Seen] = lambda: Seen(False, 0, None, 0)
        self.before: Callable[[], object] = lambda: None
        self._lock = RLock()
        self._console = Console(stderr=True, highlight=False)
        self.wanted = is_terminal(sys.stderr) and not self._console.is_dumb_terminal
        self._progress: Optional[Progress] = None
        self._task = TaskID(0)
        self._before = 0
        self._shown = False
        self._next = 0.0

    def tick(self) -> None:
        """Redraw the line, if it is time to."""
        if self.wanted and time.monotonic() >= self._next:
            with self._lock:
                self._draw()

    def wait(self) -> float:
        """Return how many seconds to wait for messages before the next :meth:`tick`."""
        return DRAW_SECONDS if self._progress is not None else 1.0

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Erase the line, until the context ends and the next :meth:`tick`."""
        with self._lock:
            if self._shown and self._progress is not None:
                self._progress.stop()
                self._shown = False
            yield

    def end(self) -> None:
        """Erase the line for good."""
        with self.aside():
            self._progress = None
            self.wanted = False

    def _draw(self) -> None:
        now = time.monotonic()
        self._next = now + DRAW_SECONDS
        self.before()
        seen = self.look()
        if not seen.refreshing:
            with self.aside():
                self._progress = None
        elif self._progress is None:
            self._begin(seen)
            self._next = now + FIRST_SECONDS
        else:
            self._show(self._progress, seen)

    def _begin(self, seen: Seen) -> None:
        self._before = seen.changes
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn(self._word),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[seen]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task(self._word, total=None, seen="", left="")

    def _show(self, progress: Progress, seen: Seen) -> None:
        changes = seen.changes - self._before
        entries = changes if seen.entries is None else seen.entries
        rate = entries / (progress.tasks[self._task].elapsed or 1)
        progress.update(
            self._task,
            completed=min(entries, seen.expected),
            total=seen.expected or None,
            seen=self._text.format(entries=entries, rate=rate, changes=changes),
            left=_left(seen.expected - entries, rate),
        )
        if not self._shown:
            progress.start()
            self._shown = True
        progress.refresh()


def _left(entries: int, rate: float) -> str:
    """Return the remaining time: an upper limit, as a server may name fewer than all entries."""
    if entries <= 0 or not rate:
        return ""
    return f"up to {timedelta(seconds=math.ceil(entries / rate))} left"


@contextmanager
def counting(word: str, what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress line until the context ends; yield what takes how much is done, of how much.

    Args:
        word: what is done.
        what: what is counted.
    """
    progress = RefreshProgress(word, f"{{entries:,}} {what}, {{rate:,.0f}}/s")
    seen = Seen(True, 0, 0, 0)
    progress.look = lambda: seen

    def tell(done: int, total: int) -> None:
        nonlocal seen
        seen = Seen(True, 0, done, total)
        progress.tick()

    try:
        yield tell
    finally:
        progress.end()
