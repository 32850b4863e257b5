# SPDX-License-Identifier: BSD-3-Clause
"""What is measured, by name, in the order in which it is."""

from __future__ import annotations

from typing import Callable

from bench.directory import Place
from bench.scenarios import persist, refresh, renames, small
from bench.scenarios.outcome import Outcome

SCENARIOS: dict[str, Callable[[Place], Outcome]] = {
    "refresh": refresh.refresh,
    "reload": refresh.reload,
    "present": refresh.present,
    "resume": small.resume,
    "items": small.items,
    "import": small.imports,
    "latency": persist.latency,
    "burst": persist.burst,
    "renames": renames.renames,
}
GROUPS = {"memory": ("refresh", "reload", "present")}
"""Names for several scenarios."""
