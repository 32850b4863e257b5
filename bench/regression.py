# SPDX-License-Identifier: BSD-3-Clause
"""Whether anything is slower than the committed figures: ``python -m bench.regression``.

Everything is measured again.  A figure is worse if the best of its runs is more than 5 % worse than
the worst of those that were committed; instructions hardly vary, so they are compared as they are.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import report
from bench.__main__ import run
from bench.instructions import each_entry
from bench.measure import ROOT, Figure
from bench.scenarios import SCENARIOS
from bench.targets import TARGETS, Target

COMMITTED = ROOT / "docs" / "performance"
TOLERANCE = 1.05


def is_worse(target: Target, now: Figure, committed: Figure) -> bool:
    if target.faster:
        return now.most * TOLERANCE < committed.least
    return now.least > TOLERANCE * committed.most


def slower(entries: int, committed: report.Results, now: report.Results) -> Iterator[str]:
    """Yield what is worse with so many entries."""
    for target in TARGETS:
        was = report.figure(committed, entries, target.scenario, target.figure)
        found = report.figure(now, entries, target.scenario, target.figure)
        if was is not None and found is not None and is_worse(target, found, was):
            yield (
                f"{entries:,} entries: {target.what}: {found.median:.2f} {target.unit}, "
                f"committed {was.median:.2f}"
            )


def more_instructions() -> Iterator[str]:
    """Yield what takes more instructions an entry."""
    committed = json.loads((COMMITTED / "instructions.json").read_text(encoding="utf-8"))
    for name, number in each_entry(ROOT).items():
        if number > TOLERANCE * committed[name]:
            yield f"instructions an entry, {name}: {number:,}, committed {committed[name]:,}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.regression", description=__doc__)
    parser.add_argument("--entries", type=int, nargs="+", default=[10_000])
    parser.add_argument("--pairs", type=int, default=5, help="runs of each (default: 5)")
    parser.add_argument("--only", nargs="+", choices=[*SCENARIOS], metavar="NAME",
                        help=f"of {', '.join(SCENARIOS)}; no instructions")  # fmt: skip
    chosen = parser.parse_args()
    committed = report.load(COMMITTED)
    worse: list[str] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        for entries in chosen.entries:
            run(entries, chosen.only or [*SCENARIOS], chosen.pairs, Path(name), peers=False)
            worse.extend(slower(entries, committed, report.load(Path(name))))
    if not chosen.only:
        worse.extend(more_instructions())
    sys.exit("\n".join(worse) or 0)


if __name__ == "__main__":
    main()
