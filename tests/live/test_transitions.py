# SPDX-License-Identifier: BSD-3-Clause
"""A few starts and stops under two writers; ``python -m tests.transitions`` makes many."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import missing_servers_skip
from tests.patience import HANGS_SECONDS
from tests.servers import DS389

ROOT = Path(__file__).resolve().parents[2]


def test_nothing_is_lost() -> None:
    """In a process of its own: multiprocessing keeps a descriptor open."""
    with missing_servers_skip():
        DS389().remove()
    command = [sys.executable, "-m", "tests.transitions", "--starts", "25", "--seed", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANGS_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing was lost" in done.stdout
