# SPDX-License-Identifier: BSD-3-Clause
"""Kill clients and servers, many times: ``python -m tests.faults.kills --clients 300``."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.kills.clients import SERVERS, STORES, Plan, kill_clients
from tests.faults.kills.deaths import kill_servers
from tests.faults.kills.place import Tally, say


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=300, help="clients to kill")
    parser.add_argument("--servers", type=int, default=60, help="servers to end and replace")
    parser.add_argument("--people", type=int, default=3000, help="entries to begin with")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--only", choices=SERVERS, action="append", help="this server; repeatable")
    parser.add_argument("--store", choices=STORES, action="append", help="this store; repeatable")
    options = parser.parse_args()
    say(f"seed {options.seed}")
    tally = Tally()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        plan = Plan(
            options.clients,
            options.servers,
            options.seed,
            options.people,
            Path(directory),
            tuple(options.only or SERVERS),
            tuple(options.store or STORES),
        )
        if options.clients:
            kill_clients(plan, tally)
        if options.servers:
            kill_servers(plan, tally)
    say(tally.table())
    seconds = round(time.monotonic() - started)
    say(json.dumps({"seed": options.seed, "seconds": seconds, **tally.as_dict()}))
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
