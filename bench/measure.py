# SPDX-License-Identifier: BSD-3-Clause
"""A program in a process of its own: its time, its CPU time, its memory, what it said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import IO, Any, Callable

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ROOT / "bench" / "programs"
SECONDS_LIMIT = 1800.0
SILENCE_LIMIT = 600.0


class ProgramFailed(Exception):
    """A measured program ended with an error."""


class TooSlow(ProgramFailed):
    """A measured program was ended because it took too long."""


@dataclass(frozen=True)
class Run:
    """One run: seconds of wall and CPU time, bytes at its peak, and what the program said."""

    seconds: float
    cpu: float
    rss: int | None = None
    said: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """What several runs came to."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """Their median and their spread."""
        return cls(median(values), min(values), max(values))


def program(name: str, *arguments: object, python: str = sys.executable) -> list[str]:
    """The command that runs one of the measured programs."""
    return [python, str(PROGRAMS / f"{name}.py"), *map(str, arguments)]


def measure(
    command: Sequence[str], *, limit: float = SECONDS_LIMIT, path: Path | None = ROOT
) -> Run:
    """Run *command* to its end.

    *path* is where it finds modules.  The output of a program of this suite is what it said;
    that of another one goes to /dev/null.

    Raises:
        ProgramFailed: it ended with an error.
        TooSlow: it took longer than *limit* seconds.
    """
    speaks = command[1:] and command[1].startswith(str(PROGRAMS))
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(path),
            stdin=subprocess.DEVNULL,
            stdout=output if speaks else subprocess.DEVNULL,
            stderr=errors,
        )
        alarm = threading.Timer(limit, process.kill)
        alarm.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        alarm.cancel()
        alarm.join()
        if seconds >= limit:
            raise TooSlow(f"{' '.join(command)}: longer than {limit:g} s")
        _check(process, errors)
        said = _said(output) if speaks else {}
    if "done" in said:
        said["done"] -= began
    return Run(seconds, usage.ru_utime + usage.ru_stime, said.pop("rss", None), said)


@contextmanager
def background(command: Sequence[str], *, path: Path = ROOT) -> Iterator[Background]:
    """Run one of the measured programs beside others; killed at the end if it still runs.

    *path* is where it finds modules.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(path),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        with process:
            try:
                yield Background(process, errors)
            finally:
                process.kill()


class Background:
    """A program that runs beside others."""

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self._process = process
        self._errors = errors
        self._line()

    def go(self) -> None:
        """Let a program go on that waits for it."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def said(self) -> dict[str, Any]:
        """What it says at its end."""
        values: dict[str, Any] = json.loads(self._line())
        return values

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        alarm = threading.Timer(SILENCE_LIMIT, self._process.kill)
        alarm.start()
        line = self._process.stdout.readline()
        alarm.cancel()
        alarm.join()
        if not line:
            self._process.wait()
            _check(self._process, self._errors, ended=True)
        return line


def alternate(
    rounds: int, contestants: Mapping[str, Callable[[], Run]], *, once: Sequence[str] = ()
) -> dict[str, list[Run]]:
    """Let *contestants* run in turn, so many rounds; those in *once* in the first one only.

    One that is too slow drops out.
    """
    runs: dict[str, list[Run]] = {}
    for turn in range(rounds):
        for name, run in contestants.items():
            if turn and (name in once or name not in runs):
                continue
            try:
                runs.setdefault(name, []).append(run())
            except TooSlow as error:
                del runs[name]
                print(f"  {name} drops out: {error}", file=sys.stderr)
    return runs


def ratio(
    upper: Sequence[Run],
    lower: Sequence[Run],
    value: Callable[[Run], float] = lambda run: run.seconds,
) -> Figure:
    """How many times as much *upper* takes, round by round."""
    return Figure.of([value(one) / value(other) for one, other in zip(upper, lower)])


def environment(path: Path | None) -> dict[str, str]:
    """That of a measured program; *path* is where it finds modules."""
    # Compiled modules are kept, as an installed package has them.
    unwanted = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
    rest = {name: value for name, value in os.environ.items() if name not in unwanted}
    return rest if path is None else {**rest, "PYTHONPATH": str(path)}


@contextmanager
def worktree(commit: str) -> Iterator[Path]:
    """Check out *commit* beside the working tree, for the length of a with block."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        path = Path(name) / "tree"
        subprocess.run(["git", "worktree", "add", "--detach", str(path), commit], check=True)
        try:
            yield path
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(path)], check=True)


def _check(process: subprocess.Popen[bytes], errors: IO[bytes], *, ended: bool = False) -> None:
    if process.returncode or ended:
        errors.seek(0)
        text = errors.read().decode(errors="replace")
        raise ProgramFailed(f"{process.args!r} ended with {process.returncode}:\n{text}")


def _said(output: IO[bytes]) -> dict[str, Any]:
    output.seek(0)
    values: dict[str, Any] = json.loads(output.read().splitlines()[-1])
    return values
