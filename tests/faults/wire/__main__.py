# SPDX-License-Identifier: BSD-3-Clause
"""Cut, stall and drip connections, and change servers: ``python -m tests.faults.wire``."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.kills.place import Tally, say
from tests.faults.wire.failover import fail_over
from tests.faults.wire.session import KINDS, strike_everywhere


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="strike at every n-th message")
    parser.add_argument("--failovers", type=int, default=30, help="changes of servers")
    parser.add_argument("--only", choices=KINDS, action="append", help="this session; repeatable")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    say(f"seed {options.seed}")
    tally = Tally()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        for kind in (options.only or KINDS) if options.every else ():
            strike_everywhere(kind, options.seed, options.every, place, tally)
        if options.failovers:
            fail_over(options.failovers, options.seed, place, tally)
    say(tally.table())
    seconds = round(time.monotonic() - started)
    say(json.dumps({"seed": options.seed, "seconds": seconds, **tally.as_dict()}))
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
