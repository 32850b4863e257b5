# SPDX-License-Identifier: BSD-3-Clause
"""The benchmarks run, and write down what came of them. How fast is not looked at here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.measure import Figure
from bench.scenarios import GROUPS, SCENARIOS
from bench.targets import ENTRIES, LARGE, TARGETS, Target
from tests.conftest import missing_servers_skip
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd
from tests.servers.postgresql import PostgreSQL

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux's /proc")
def test_one_scenario(tmp_path: Path) -> None:
    with missing_servers_skip():
        Slapd().remove()
    options = ["--entries", "200", "--pairs", "1", "--no-peers", "--only", "refresh"]
    command = [sys.executable, "-m", "bench", *options, "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANGS_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr

    report = json.loads((tmp_path / "results-200.json").read_text())
    refresh = report["scenarios"]["refresh"]
    assert set(refresh["runs"]) == {"ldapsearch", "syncrepl_client"}
    assert refresh["figures"]["ratio"]["median"] > 0
    assert refresh["figures"]["rss"]["median"] > 1
    assert refresh["machine"]["slapd"] != "unknown"
    table = (tmp_path / "table.rst").read_text()
    assert re.search(r"\* - initial refresh, against ldapsearch\n.*\n     - \d+(\.\d+)? .\n", table)


def test_stores_beside_each_other(postgresql: PostgreSQL, tmp_path: Path) -> None:
    """Where there is one PostgreSQL, there may be another one, with fsync."""
    output = tmp_path / "stores.json"
    options = ["--entries", "60", "--rounds", "1", "--changes", "5", "--no-bursts"]
    command = [sys.executable, "-m", "bench.stores", *options, "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANGS_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    seconds = json.loads(output.read_text())["seconds"]
    rows = ["refresh", "nothing changed", "present phase", "container renamed", "one change"]
    assert list(seconds) == rows
    assert all(min(each) > 0 for taken in seconds.values() for each in taken.values())
    assert re.search(r"^one change +\d", done.stdout, re.MULTILINE)


def test_targets_name_scenarios() -> None:
    assert {target.scenario for target in TARGETS} == set(SCENARIOS)
    for names in GROUPS.values():
        assert set(names) <= set(SCENARIOS)


def test_the_documentation_names_all_scenarios() -> None:
    text = (ROOT / "docs" / "performance.rst").read_text(encoding="utf-8")
    named = re.findall(r"^   \* - ``(\w+)``", text, re.MULTILINE)
    assert sorted(named) == sorted([*SCENARIOS, *GROUPS])


def figure(value: float) -> Figure:
    return Figure(value, value, value)


def test_what_is_reached() -> None:
    growing = Target("", "refresh", "ratio", 2.5, growth=1.2)
    assert growing.reached(ENTRIES, figure(2.5), figure(2.5))
    assert not growing.reached(ENTRIES, figure(2.6), figure(2.6))
    assert growing.reached(LARGE, figure(2.4), figure(2.0))
    assert not growing.reached(LARGE, figure(2.5), figure(2.0))
    assert growing.reached(LARGE, figure(2.5), None) is None
    assert growing.reached(1000, figure(2.5), None) is None

    fixed = Target("", "items", "seconds", 0.5, large=5)
    assert fixed.reached(LARGE, figure(4), None)
    assert not fixed.reached(LARGE, figure(6), None)

    faster = Target("", "refresh", "slapd", 4, faster=True)
    assert faster.reached(ENTRIES, figure(5), None)
    assert not faster.reached(ENTRIES, figure(3), None)
    assert faster.reached(LARGE, figure(3), None) is None
