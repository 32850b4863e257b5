# SPDX-License-Identifier: BSD-3-Clause
"""A test that hangs fails, and says where.

For a module: import the fixture, and ``pytestmark = pytest.mark.usefixtures("watchdog")``.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from tests.patience import HANGS_SECONDS

WATCHDOG_SIGNAL = signal.SIGUSR2  # SIGALRM is for the tests


class Hangs(BaseException):
    """The test did not end in time."""


def bark(number: int, frame: FrameType | None) -> None:
    raise Hangs(f"not over after {HANGS_SECONDS:.0f} s")


@pytest.fixture
def watchdog() -> Iterator[None]:
    """Interrupt the main thread, wherever it is, when a test can only be taken to hang."""
    main = threading.main_thread().ident or 0
    before = signal.signal(WATCHDOG_SIGNAL, bark)
    timer = threading.Timer(HANGS_SECONDS, signal.pthread_kill, (main, WATCHDOG_SIGNAL))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        signal.signal(WATCHDOG_SIGNAL, before)
