# SPDX-License-Identifier: BSD-3-Clause
"""Pictures of the results."""

from __future__ import annotations

from pathlib import Path
from statistics import quantiles
from typing import Any

from bench.report import Results, load

RIGHTS = "CC BY-SA 4.0, the syncrepl_client authors"


def draw(output: Path) -> None:
    """Draw what was measured; needs matplotlib."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "syncrepl_client", "svg.fonttype": "none"})
    results = load(output)
    _cost(results, output / "cost.svg")
    _latency(results, output / "latency.svg")


def _cost(results: Results, path: Path) -> None:
    """Seconds of the initial refresh against the number of entries."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for entries, each in results.items():
        for name, medians in each["scenarios"].get("refresh", {}).get("medians", {}).items():
            lines.setdefault(name, []).append((entries, medians["seconds"]))
    if not lines:
        return
    figure, axes = _figure("entries", "seconds")
    for name, points in lines.items():
        axes.plot(*zip(*points), marker="o", label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_title("Initial refresh")
    _save(figure, axes, path)


def _latency(results: Results, path: Path) -> None:
    """The part of the changes that had arrived by then."""
    measured = [entries for entries, each in results.items() if "latency" in each["scenarios"]]
    if not measured:
        return
    series = results[measured[-1]]["scenarios"]["latency"]["series"]
    figure, axes = _figure("milliseconds after the write's answer", "part of the changes")
    for name, values in series.items():
        parts = [(each + 1) / len(values) for each in range(len(values))]
        axes.plot(sorted(values), parts, label=name)
    cuts = [quantiles(values, n=200) for values in series.values()]
    axes.set_xlim(min(each[0] for each in cuts), max(each[-1] for each in cuts))
    axes.set_title(f"One change at a time, {measured[-1]:,} entries")
    _save(figure, axes, path)


def _figure(x: str, y: str) -> tuple[Any, Any]:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(visible=True, alpha=0.3)
    return figure, axes


def _save(figure: Any, axes: Any, path: Path) -> None:
    axes.legend()
    figure.savefig(path, metadata={"Date": None, "Rights": RIGHTS})
