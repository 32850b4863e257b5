# SPDX-License-Identifier: BSD-3-Clause
"""Results as JSON, and the table that is made of all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.measure import Figure
from bench.scenarios.outcome import Outcome
from bench.targets import ENTRIES, LARGE, TARGETS, Target

NOTHING = "\N{EN DASH}"
LICENCE = ".. SPDX-License-Identifier: CC-BY-SA-4.0\n"
Results = dict[int, dict[str, Any]]


def save(output: Path, entries: int, machine: dict[str, str], outcomes: dict[str, Outcome]) -> None:
    """Write the results with so many entries; scenarios that were not run stay as they were."""
    path = output / f"results-{entries}.json"
    scenarios = load(output).get(entries, {}).get("scenarios", {})
    for name, outcome in outcomes.items():
        scenarios[name] = {**asdict(outcome), "medians": _medians(outcome), "machine": machine}
    report = {"entries": entries, "scenarios": scenarios}
    path.write_text(json.dumps(_rounded(report), indent=1) + "\n", encoding="utf-8")


def load(output: Path) -> Results:
    """All results, by the number of entries."""
    found = [json.loads(path.read_text()) for path in output.glob("results-*.json")]
    return {each["entries"]: each for each in sorted(found, key=lambda each: int(each["entries"]))}


def write_table(output: Path) -> None:
    """Write the table that the documentation includes."""
    lines = [LICENCE, *_targets(load(output)), *_machines(load(output))]
    (output / "table.rst").write_text("\n".join(lines) + "\n", encoding="utf-8")


def figure(results: Results, entries: int, scenario: str, name: str) -> Figure | None:
    """A figure, if it was measured."""
    scenarios = results.get(entries, {}).get("scenarios", {})
    found = scenarios.get(scenario, {}).get("figures", {}).get(name)
    return None if found is None else Figure(**found)


def _medians(outcome: Outcome) -> dict[str, dict[str, float]]:
    medians: dict[str, dict[str, float]] = {}
    for name, runs in outcome.runs.items():
        medians[name] = {
            "seconds": Figure.of([run.seconds for run in runs]).median,
            "cpu": Figure.of([run.cpu for run in runs]).median,
        }
        if sizes := [run.rss for run in runs if run.rss is not None]:
            medians[name]["rss"] = Figure.of(sizes).median
    return medians


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(each) for each in value]
    return value


def _targets(results: Results) -> Iterator[str]:
    titles = ["what", "to reach", *(f"{entries:,}" for entries in results), "reached"]
    yield from _table(titles, (_row(target, results) for target in TARGETS))


def _row(target: Target, results: Results) -> list[str]:
    cells, reached = [], []
    smaller = figure(results, ENTRIES, target.scenario, target.figure)
    for entries in results:
        found = figure(results, entries, target.scenario, target.figure)
        cells.append(NOTHING if found is None else _cell(found, target.unit))
        verdict = None if found is None else target.reached(entries, found, smaller)
        if verdict is not None:
            where = f" at {LARGE:,}" if entries == LARGE else ""
            reached.append(f"{'yes' if verdict else '**no**'}{where}")
    return [target.what, target.text, *cells, ", ".join(reached) or NOTHING]


def _cell(found: Figure, unit: str) -> str:
    text = f"{_number(found.median)} {unit}"
    if found.least == found.most:
        return text
    return f"{text} ({_number(found.least)} to {_number(found.most)})"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _machines(results: Results) -> Iterator[str]:
    """What each size was measured on; the commits of all its scenarios."""
    names = ("CPU", "cores", "kernel", "Python", "python-ldap", "slapd", "SQLite", "dbm", "date",
             "commit")  # fmt: skip
    titles = ["entries", *names]
    rows = []
    for entries, each in results.items():
        machines = [scenario["machine"] for scenario in each["scenarios"].values()]
        values = (sorted({machine.get(name, NOTHING) for machine in machines}) for name in names)
        rows.append([f"{entries:,}", *(", ".join(several) for several in values)])
    yield from _table(titles, iter(rows))


def _table(titles: list[str], rows: Iterator[list[str]]) -> Iterator[str]:
    yield from (".. list-table::", "   :header-rows: 1", "")
    for row in (titles, *rows):
        for number, cell in enumerate(row):
            yield f"     - {cell}" if number else f"   * - {cell}"
    yield ""
