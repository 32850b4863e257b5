# SPDX-License-Identifier: BSD-3-Clause
"""The followers as processes, each with wires of its own to the databases."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple

from tests.cli.commands import ROOT
from tests.faults.takeovers.wire import Wire
from tests.patience import HANGS_SECONDS


class Stuck(AssertionError):
    """What had to happen did not."""


class Said(NamedTuple):
    """A line: when it was said, and what."""

    time: float
    word: str


def until(condition: Callable[[], object], what: str, seconds: float = HANGS_SECONDS) -> None:
    """Return when *condition* holds.

    Raises:
        Stuck: it never did.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Stuck(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.01)


class Member:
    """A follower, which may be started again after each death."""

    def __init__(
        self, directory: Path, search: str, database: str, ports: Sequence[int], lease: float
    ) -> None:
        """Nothing runs yet; *database* is a URL with ``{}`` for the hosts, *ports* are theirs."""
        directory.mkdir()
        self.out, self.err = directory / "out", directory / "err"
        self.wires = [Wire(port) for port in ports]
        hosts = ",".join(f"127.0.0.1:{wire.port}" for wire in self.wires)
        self._arguments = (search, database.replace("{}", hosts), f"{lease}")
        self._stack = ExitStack()
        self._output: IO[bytes]
        self.process: subprocess.Popen[bytes]

    def __enter__(self) -> Member:
        for wire in self.wires:
            self._stack.enter_context(wire)
        self._output = self._stack.enter_context(self.out.open("ab"))
        self._errors = self._stack.enter_context(self.err.open("ab"))
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        self._stack.close()

    def start(self) -> None:
        """Start it, or start it again."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.takeovers.follower", *self._arguments],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._errors,
        )  # fmt: skip
        self.begun = time.monotonic()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def die(self) -> float:
        """Kill it; return when."""
        killed = time.monotonic()
        self.process.kill()
        self.process.wait()
        return killed

    def said(self, *words: str, after: float = 0.0) -> list[Said]:
        """What it said, after a time."""
        lines = (line.split(" ", 1) for line in self.out.read_text().splitlines())
        said = (Said(float(when), word) for when, word in lines)
        return [each for each in said if each.time > after and (not words or each.word in words)]

    @property
    def active(self) -> bool:
        """Whether it says that it follows."""
        if self.process.poll() is not None or self.is_stopped:
            return False
        said = self.said("activated", "deactivated", "waits", after=self.begun)
        return bool(said) and said[-1].word == "activated"

    @property
    def is_stopped(self) -> bool:
        """Whether it is stopped, as by SIGSTOP."""
        try:
            stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        except OSError:  # it has ended
            return False
        return stat.rpartition(") ")[2].startswith("T")

    def check(self) -> None:
        """See that it has not failed.

        Raises:
            Stuck: it has.
        """
        code = self.process.poll()
        if code is not None and code != -signal.SIGKILL:
            raise Stuck(f"a follower ended with {code}: {self.err.read_text()[-2000:]}")
