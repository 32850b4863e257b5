# SPDX-License-Identifier: BSD-3-Clause
"""Kill relays, followers and brokers: ``python -m tests.faults.sinks --kind redis``."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.faults.sinks.buses import KINDS, bus
from tests.faults.sinks.campaign import Plan, as_json, campaign
from tests.faults.sinks.checks import Wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.sinks", description=__doc__)
    parser.add_argument("--kind", choices=KINDS, action="append", help="repeatable; default: all")
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--relay-kills", type=int, default=20)
    parser.add_argument("--follower-kills", type=int, default=10)
    parser.add_argument("--restarts", type=int, default=5, help="of the broker")
    parser.add_argument("--away", type=int, default=0, help="changes while the broker is away")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    chosen = parser.parse_args()
    plan = Plan(
        chosen.events, chosen.relay_kills, chosen.follower_kills, chosen.restarts, chosen.away
    )
    failures = 0
    for kind in chosen.kind or KINDS:
        with tempfile.TemporaryDirectory() as place, bus(kind) as other:
            try:
                report = campaign(other, Path(place), plan, chosen.seed)
            except Wrong as error:
                sys.stdout.write(f"{kind}, seed {chosen.seed}: {error}\n")
                failures += 1
            else:
                sys.stdout.write(f"{as_json(kind, plan, report)}\n")
        sys.stdout.flush()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
