# SPDX-License-Identifier: BSD-3-Clause
"""The command as a user starts it: a process of its own, on pipes, files or a terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import syncrepl_client
from tests.patience import HANGS_SECONDS

ROOT = Path(syncrepl_client.__file__).resolve().parents[1]
COMMAND = (sys.executable, "-W", "error", "-m", "syncrepl_client")


def environment(**more: str) -> dict[str, str]:
    """The environment for the command: nothing of the test run's colours, terminal or password."""
    left_out = {"NO_COLOR", "FORCE_COLOR", "SYNCREPL_PASSWORD", "COLUMNS", "LINES"}
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **more}


class Done(NamedTuple):
    """How it ended."""

    code: int
    out: str
    err: str


def run(*arguments: str, env: Mapping[str, str] = {}, **options: Any) -> Done:
    """Run the command to its end, on pipes."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(**env),
        timeout=HANGS_SECONDS,
        text=True,
        encoding="utf-8",
        **options,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def run_python(program: str) -> Done:
    """Run a program in Python."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=HANGS_SECONDS,
    )
    return Done(done.returncode, done.stdout, done.stderr)


BROKEN_PIPE = 141


def run_without_reader(*arguments: str) -> None:
    """Run the command, whose reader has gone; see that it ends in silence, as programs do then."""
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == BROKEN_PIPE


class Running:
    """The command, running: its output goes to files, or to a terminal."""

    def __init__(self, place: Path, *arguments: str, env: Mapping[str, str], **options: Any):
        self.out_path = place / "out"
        self.err_path = place / "err"
        with self.out_path.open("wb") as out, self.err_path.open("wb") as err:
            settings = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err, **options}
            self.process = subprocess.Popen(
                [*COMMAND, *arguments], env=environment(**env), **settings
            )

    @property
    def out(self) -> str:
        return self.out_path.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return self.err_path.read_text(encoding="utf-8")

    def wait_for(self, text: str, *, err: bool = False) -> None:
        """Wait until it has written *text*."""
        deadline = time.monotonic() + HANGS_SECONDS
        while text not in (self.err if err else self.out):
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"no {text!r} in:\n{self.out}\n--- and:\n{self.err}")
            time.sleep(0.02)

    def end(self) -> int:
        """Wait for its end; return its exit code."""
        return self.process.wait(HANGS_SECONDS)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal; return its exit code."""
        self.process.send_signal(number)
        return self.end()


@contextmanager
def running(
    place: Path,
    *arguments: str,
    env: Mapping[str, str] = {},
    **options: Any,
) -> Iterator[Running]:
    """Have the command run, and see that it is gone afterwards."""
    command = Running(place, *arguments, env=env, **options)
    try:
        yield command
    finally:
        command.process.kill()
        command.process.wait()


class Terminal:
    """A pseudo-terminal for the command."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        self.shown = b""

    def read(self, seconds: float = 0.1) -> None:
        """Take what has been written, for so long at most."""
        if select.select([self.master], [], [], seconds)[0]:
            self.shown += os.read(self.master, 65536)

    def wait_for(self, text: str) -> None:
        """Wait until *text* is on it."""
        deadline = time.monotonic() + HANGS_SECONDS
        while text.encode() not in self.shown:
            if time.monotonic() > deadline:
                pytest.fail(f"no {text!r} in {self.shown[-2000:]!r}")
            self.read()

    @contextmanager
    def running(
        self, *arguments: str, env: Mapping[str, str] = {}, **options: Any
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Have the command run on it, as the foreground of a session of its own."""
        streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), self.slave)
        process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *COMMAND, *arguments],
            env=environment(**env),
            **{**streams, **options},
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()

    def type(self, text: str) -> None:
        """Type *text*."""
        os.write(self.master, text.encode())

    def close(self) -> None:
        """Close it."""
        os.close(self.master)
        os.close(self.slave)


@contextmanager
def terminal() -> Iterator[Terminal]:
    """A pseudo-terminal."""
    made = Terminal()
    try:
        yield made
    finally:
        made.close()
