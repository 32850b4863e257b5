# SPDX-License-Identifier: BSD-3-Clause
"""What makes up the inputs: atheris, guided by coverage, or hypothesis where that is missing.

atheris (libFuzzer) ends the process that it fuzzes in, so it gets one of its own for each target.
"""

from __future__ import annotations

import importlib
import importlib.util
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Callable

from tests.patience import HANGS_SECONDS

ROOT = Path(__file__).resolve().parents[2]
MAX_LENGTH = 4096
INPUT_SECONDS = 10
MEMORY_MEBIBYTES = 512

ATHERIS_MISSING = (
    "atheris is not installed (PyPI has wheels for CPython 3.11 to 3.13 on Linux x86-64 only): "
    "hypothesis fuzzes the same targets, without the guidance of coverage"
)


class FuzzFailed(AssertionError):
    """An input broke a decoder."""


class TooSlow(BaseException):
    """A decoder is at work for too long."""


def atheris_found() -> bool:
    return importlib.util.find_spec("atheris") is not None


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TooSlow in the main thread after so many seconds of processor time."""

    def expired(number: int, frame: FrameType | None) -> None:
        raise TooSlow(f"not done after {seconds} s")

    before = signal.signal(signal.SIGVTALRM, expired)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


# --- atheris


def run_atheris(name: str, seconds: int) -> str:
    """Fuzz one target in a child process; return what libFuzzer says at its end.

    Raises:
        FuzzFailed: with the input and the traceback.
    """
    with tempfile.TemporaryDirectory(prefix="fuzz-") as directory:
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.engines", name, str(seconds), directory],
            cwd=ROOT, capture_output=True, text=True, timeout=seconds + HANGS_SECONDS,
        )  # fmt: skip
    if done.returncode != 0:
        raise FuzzFailed(f"{name}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    stats = re.findall(r"^#(\d+)\s+DONE\s+cov: (\d+)", done.stderr, re.MULTILINE)
    if not stats:
        raise FuzzFailed(f"{name}: libFuzzer did not run:\n{done.stderr[-3000:]}")
    return "{} inputs, coverage {}".format(*stats[-1])


def _child(name: str, seconds: int, directory: str) -> None:
    """Fuzz until the process ends; whoever started it removes the directory."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["syncrepl_client", "ldapurl"]):
        from tests.fuzz.targets import TARGETS
    corpus, found = Path(directory, "corpus"), Path(directory, "found-")
    corpus.mkdir()
    for number, data in enumerate(TARGETS[name].corpus):
        Path(corpus, str(number)).write_bytes(data)
    options = [
        f"-max_total_time={seconds}", f"-max_len={MAX_LENGTH}", f"-timeout={HANGS_SECONDS:.0f}",
        f"-rss_limit_mb={MEMORY_MEBIBYTES}", f"-artifact_prefix={found}", "-verbosity=1",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], _shown(TARGETS[name].check))
    atheris.Fuzz()


def _shown(check: Any) -> Any:
    def checked(data: bytes) -> None:
        try:
            with time_limit(INPUT_SECONDS):
                check(data)
        except BaseException:
            sys.stdout.write(f"input: {data!r}\n")
            sys.stdout.flush()
            raise

    return checked


# --- hypothesis


def run_hypothesis(name: str, seconds: float, first_seed: int | None = None) -> str:
    """Fuzz one target in this process."""
    from tests.fuzz.targets import TARGETS

    return rounds(name, TARGETS[name].check, inputs(name), seconds, first_seed)


def rounds(
    name: str, check: Callable[[Any], None], cases: Any, seconds: float, first_seed: int | None
) -> str:
    """Draw *cases* for *check*, round after round with another seed each, for so long.

    Raises:
        FuzzFailed: with the seed; hypothesis's notes say which case it was.
    """
    tool: Any = importlib.import_module("hypothesis")
    seed = random.randrange(1 << 32) if first_seed is None else first_seed
    ends, count = time.monotonic() + seconds, 0
    health = list(tool.HealthCheck)
    profile = tool.settings(
        max_examples=500, deadline=None, database=None, suppress_health_check=health
    )
    while not count or time.monotonic() < ends:

        def drawn(case: Any) -> None:
            with time_limit(INPUT_SECONDS):
                check(case)

        try:
            tool.seed(seed)(profile(tool.given(cases)(drawn)))()
        except (Exception, TooSlow) as error:
            notes = "\n".join(getattr(error, "__notes__", ()))
            raise FuzzFailed(f"{name}, --seed {seed}: {error!r}\n{notes}") from error
        seed, count = seed + 1, count + 1
    return f"{count} rounds of 500, seeds {seed - count} to {seed - 1}"


def inputs(name: str) -> Any:
    """Make inputs: any bytes, and the target's corpus spliced and overwritten."""
    from hypothesis import strategies as st

    from tests.fuzz.targets import TARGETS

    seeds = st.sampled_from(TARGETS[name].corpus)

    @st.composite
    def mutated(draw: Any) -> bytes:
        data = bytearray(draw(seeds))
        for _ in range(draw(st.integers(1, 4))):
            start = draw(st.integers(0, len(data)))
            stop = start + draw(st.integers(0, 4))
            data[start:stop] = draw(st.one_of(st.binary(max_size=6), seeds))
        return bytes(data[:MAX_LENGTH])

    return st.one_of(st.binary(max_size=200), mutated())


if __name__ == "__main__":
    _child(sys.argv[1], int(sys.argv[2]), sys.argv[3])
