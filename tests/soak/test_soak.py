# SPDX-License-Identifier: BSD-3-Clause
"""A soak for those in a hurry; the long one is ``python -m tests.soak``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import missing_servers_skip
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc")
def test_five_thousand_changes() -> None:
    """In a process of its own: what pytest holds of the machine is not measured."""
    with missing_servers_skip():
        Slapd().remove()
    command = [sys.executable, "-m", "tests.soak", "--changes", "5000", "--every", "500"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANGS_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"entries"' in done.stdout
