# SPDX-License-Identifier: BSD-3-Clause
"""Follow a busy slapd for many changes: ``python -m tests.soak --changes 1000000``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.soak.soak import MEBIBYTE, Report, Sample, SoakFailed, as_dict, check_flat, soak

COLUMNS = ("changes", "seconds", "RSS MiB", "descriptors", "threads", "WAL MiB", "behind")


def show(*values: object) -> None:
    print("".join(f"{value:>13}" for value in values), flush=True)  # noqa: T201 - a report


def show_sample(each: Sample) -> None:
    rss, wal = f"{each.rss / MEBIBYTE:.1f}", f"{each.wal / MEBIBYTE:.1f}"
    show(each.changes, each.seconds, rss, each.descriptors, each.threads, wal, each.behind)


def write_report(report: Report, path: Path | None) -> None:
    text = json.dumps(as_dict(report), indent=2) + "\n"
    if path is None:
        sys.stdout.write(text)
    else:
        path.write_text(text)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--changes", type=int, default=1_000_000)
    parser.add_argument("--writers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--every", type=int, help="changes between samples (default: 50 samples)")
    parser.add_argument("--json", type=Path, help="write the report there, not to the output")
    chosen = parser.parse_args()
    show(*COLUMNS)
    every = chosen.every or max(1, chosen.changes // 50)
    try:
        report = soak(chosen.changes, chosen.writers, every, show_sample)
        write_report(report, chosen.json)
        check_flat(report)
    except SoakFailed as error:
        sys.stderr.write(f"failed: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
