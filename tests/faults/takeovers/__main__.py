# SPDX-License-Identifier: BSD-3-Clause
"""Let followers that share a PostgreSQL store fail: ``python -m tests.faults.takeovers``."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

from tests.faults.kills.clients import running_server
from tests.faults.takeovers.campaign import Plan, takeovers
from tests.faults.takeovers.cluster import Cluster
from tests.faults.takeovers.members import Stuck

PEOPLE = 100
SHARES = {"slapd": 0.8, "389-ds": 0.2}
MEANINGS = {
    "kills": "kill -9 of the active follower",
    "terminations": "pg_terminate_backend for it",
    "stops": "SIGSTOP of it, until after the takeover",
    "crashes": "restarts of PostgreSQL after a crash",
    "promotions": "of a streaming standby",
    "cuts": "COMMITs whose answer is cut off",
    "holes": "connections that swallow everything",
    "lease": "seconds",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.takeovers", description=__doc__)
    for field in fields(Plan):
        default = field.default
        parser.add_argument(f"--{field.name}", type=type(default), default=default,
                            help=f"{MEANINGS[field.name]}; default: {default}")  # fmt: skip
    parser.add_argument("--server", choices=SHARES, help="default: both, the former for most")
    parser.add_argument("--pooler", action="store_true",
                        help="through PgBouncer, which pools sessions")  # fmt: skip
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    chosen = parser.parse_args()
    plan = Plan(**{field.name: getattr(chosen, field.name) for field in fields(Plan)})
    shares = SHARES if chosen.server is None else {chosen.server: 1.0}
    failures = 0
    for name, share in shares.items():
        with tempfile.TemporaryDirectory() as place, Cluster(pooled=chosen.pooler) as cluster, \
                running_server(name, PEOPLE, checkpoints=True) as server:  # fmt: skip
            try:
                report = takeovers(server, cluster, Path(place), plan.of(share), chosen.seed)
            except Stuck as error:
                sys.stdout.write(f"{name}, seed {chosen.seed}: {error}\n")
                failures += 1
            else:
                wrong = [report[each] for each in ("broken", "repeated", "replaced", "differ")]
                failures += any(wrong)
                sys.stdout.write(f"{json.dumps({'server': name, 'seed': chosen.seed, **report})}\n")
        sys.stdout.flush()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
