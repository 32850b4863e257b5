# SPDX-License-Identifier: BSD-3-Clause
"""Fuzz the decoders, and the protocol: ``python -m tests.fuzz --seconds 600``."""

from __future__ import annotations

import argparse
import sys

from tests.fuzz import sequences
from tests.fuzz.engines import (
    ATHERIS_MISSING,
    FuzzFailed,
    atheris_found,
    run_atheris,
    run_hypothesis,
)
from tests.fuzz.targets import TARGETS

SEQUENCES = ("memory", "sqlite", "client")


def run(name: str, seconds: int, seed: int | None, engine: str) -> str:
    if name in SEQUENCES:
        return sequences.run(name, seconds, seed)
    if engine == "atheris":
        return run_atheris(name, seconds)
    return run_hypothesis(name, seconds, seed)


def main() -> int:
    names = [*TARGETS, *SEQUENCES]
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=30, help="for each target (default: 30)")
    parser.add_argument("--target", choices=names, action="append", help="default: all")
    parser.add_argument("--engine", choices=("atheris", "hypothesis"))
    parser.add_argument("--seed", type=int, help="hypothesis's first one, to repeat a failure")
    chosen = parser.parse_args()
    engine = chosen.engine or ("atheris" if atheris_found() else "hypothesis")
    if not atheris_found():
        sys.stderr.write(f"{ATHERIS_MISSING}\n")
    failed = 0
    for name in chosen.target or names:
        try:
            said = run(name, chosen.seconds, chosen.seed, engine)
        except FuzzFailed as error:
            failed += 1
            said = f"FAILED: {error}"
        sys.stdout.write(f"{name}: {said}\n")
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
