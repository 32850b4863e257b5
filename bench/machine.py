# SPDX-License-Identifier: BSD-3-Clause
"""What it was measured on."""

from __future__ import annotations

import dbm
import os
import platform
import re
import sqlite3
import subprocess
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import ldap

from bench.measure import ROOT
from tests.servers.process import find_program


def describe() -> dict[str, str]:
    """The machine, the versions, the date and the commit."""
    return {
        "CPU": _cpu(),
        "cores": str(os.cpu_count()),
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "python-ldap": ldap.__version__,
        "slapd": _slapd(),
        "SQLite": sqlite3.sqlite_version,
        "dbm": _dbm(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "commit": _commit(),
    }


def _cpu() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.processor()


def _slapd() -> str:
    done = subprocess.run([find_program("slapd", "slapd"), "-VV"], capture_output=True, text=True)
    found = re.search(r"slapd ([\w.+~-]+)", done.stdout + done.stderr)
    return found[1] if found else "unknown"


def _dbm() -> str:
    """What shelves are made of here: syncrepl-client 0.95.1 keeps its store in some."""
    with tempfile.TemporaryDirectory() as name:
        dbm.open(f"{name}/any", "n").close()
        return dbm.whichdb(f"{name}/any") or "unknown"


def _commit() -> str:
    """The commit; what this suite itself writes does not make it a changed one."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/performance")
    return f"{commit} (changed)" if changed else commit or "unknown"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()
