# SPDX-License-Identifier: BSD-3-Clause
"""Measure, and write down what came of it: ``python -m bench --entries 1000 10000``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench import against, machine, plots, report
from bench.directory import Place, serve
from bench.measure import worktree
from bench.scenarios import GROUPS, SCENARIOS
from bench.scenarios.outcome import Outcome


def run(entries: int, names: Sequence[str], pairs: int, output: Path, *, peers: bool) -> None:
    """Run scenarios with so many entries; write their results as they come."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        say(f"{entries:,} entries: loading")
        with serve(entries, Path(name)) as server:
            place = Place(server, entries, pairs, Path(name), peers)
            for scenario in names:
                began = time.monotonic()
                outcome = SCENARIOS[scenario](place)
                report.save(output, entries, machine.describe(), {scenario: outcome})
                say(f"{entries:,} entries: {scenario}, {time.monotonic() - began:.0f} s")
                show(outcome)


def run_against(entries: int, pairs: int, tree: Path) -> None:
    """Measure beside the library in *tree*, with so many entries; nothing is written."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        say(f"{entries:,} entries: loading")
        with serve(entries, Path(name)) as server:
            for scenario, outcome in against.compare(
                Place(server, entries, pairs, Path(name)), tree
            ).items():
                say(f"{entries:,} entries: {scenario}")
                show(outcome)


def show(outcome: Outcome) -> None:
    for name, runs in outcome.runs.items():
        say(f"  {name}: {', '.join(f'{run.seconds:.3f} ({run.cpu:.3f})' for run in runs)} s (CPU)")
    for name, figure in outcome.figures.items():
        say(f"  {name} = {figure.median:.3f} ({figure.least:.3f} to {figure.most:.3f})")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--entries", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--pairs", type=int, default=5, help="runs of each (default: 5)")
    parser.add_argument("--only", nargs="+", choices=[*SCENARIOS, *GROUPS], metavar="NAME",
                        help=f"of {', '.join([*SCENARIOS, *GROUPS])}")  # fmt: skip
    parser.add_argument("--output", type=Path, default=Path("docs/performance"))
    parser.add_argument(
        "--against",
        metavar="COMMIT",
        help="measure beside that commit of this library instead; write nothing",
    )
    parser.add_argument("--no-peers", action="store_true", help="measure beside ldapsearch alone")
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    if chosen.against:
        with worktree(chosen.against) as tree:
            for entries in chosen.entries:
                run_against(entries, chosen.pairs, tree)
        return
    chosen.output.mkdir(parents=True, exist_ok=True)
    wanted = {each for name in chosen.only or SCENARIOS for each in GROUPS.get(name, (name,))}
    names = [name for name in SCENARIOS if name in wanted]
    for entries in chosen.entries:
        run(entries, names, chosen.pairs, chosen.output, peers=not chosen.no_peers)
    report.write_table(chosen.output)
    try:
        plots.draw(chosen.output)
    except ImportError as error:
        say(f"no plots: {error}")


if __name__ == "__main__":
    main()
