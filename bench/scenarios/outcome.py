# SPDX-License-Identifier: BSD-3-Clause
"""What a scenario came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.measure import Figure, Run, ratio

OURS = "syncrepl_client"
LDAPSEARCH = "ldapsearch"
MEGABYTE = 1e6


@dataclass
class Outcome:
    """The runs of each contestant, the figures that come from them, and series of values."""

    runs: dict[str, list[Run]] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    series: dict[str, list[float]] = field(default_factory=dict)

    def compare(self, name: str, upper: str, lower: str) -> None:
        """Note how many times as long one contestant takes as another, if both ran."""
        if upper in self.runs and lower in self.runs:
            self.figures[name] = ratio(self.runs[upper], self.runs[lower])

    def note(self, name: str, values: Sequence[float]) -> None:
        """Note a figure, and the values that it comes from."""
        self.figures[name] = Figure.of(values)
        self.series[name] = list(values)

    def note_memory(self) -> None:
        """Note this library's resident memory at its peak, in megabytes."""
        sizes = [run.rss / MEGABYTE for run in self.runs[OURS] if run.rss is not None]
        self.figures["rss"] = Figure.of(sizes)
