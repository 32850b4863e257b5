# SPDX-License-Identifier: BSD-3-Clause
"""What is measured, by name, in the order in which it is."""

from __future__ import annotations

from typing import Callable

from bench.directory import Place
from bench.scenarios import changelog, command, group, persist, refresh, renames, small
from bench.scenarios.outcome import Outcome

SCENARIOS: dict[str, Callable[[Place], Outcome]] = {
    "refresh": refresh.refresh,
    "consumer": refresh.consumer,
    "reload": refresh.reload,
    "present": refresh.present,
    "resume": small.resume,
    "items": small.items,
    "import": small.imports,
    "latency": persist.latency,
    "burst": persist.burst,
    "renames": renames.renames,
    "changelog": changelog.changelog,
    "group": group.group,
    "dump": command.dump,
    "watch": command.watch,
}
GROUPS = {"memory": ("refresh", "reload", "present")}
"""Names for several scenarios."""
