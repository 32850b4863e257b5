# SPDX-License-Identifier: BSD-3-Clause
"""The fixtures for users' tests, in a pytest of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from syncrepl_client.testing import Slapd

ROOT = Path(__file__).resolve().parents[2]
CONFTEST = 'pytest_plugins = ["syncrepl_client.testing.pytest"]\n'
NO_SLAPD = "from syncrepl_client.testing import process\nprocess.SYSTEM_PATH = '/nowhere'\n"
TESTS = """
import pathlib

def test_one(slapd):
    assert slapd.running
    with slapd.connected() as connection:
        assert connection.whoami_s() == f"dn:{slapd.root_dn}"
    pathlib.Path("directory").write_text(str(slapd.directory))

def test_more(make_slapd):
    assert make_slapd().url != make_slapd(suffix="o=corp").url
"""


def run_pytest(path: Path, conftest: str, **environment: str) -> tuple[int, str]:
    """Run the tests above; return how pytest ended, and what it said."""
    (path / "conftest.py").write_text(conftest)
    (path / "test_it.py").write_text(TESTS)
    kept = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-W", "error", "-rs", f"--rootdir={path}"],
        cwd=path,
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def test_servers_end_with_their_test(slapd_nolog: Slapd, tmp_path: Path) -> None:
    code, output = run_pytest(tmp_path, CONFTEST)
    assert (code, "2 passed" in output) == (0, True), output
    assert not Path((tmp_path / "directory").read_text()).exists()


def test_a_missing_server_skips(tmp_path: Path) -> None:
    code, output = run_pytest(tmp_path, NO_SLAPD + CONFTEST, PATH="/nowhere")
    assert (code, "2 skipped" in output) == (0, True), output
    assert "slapd is not installed: install it (Debian package slapd)" in output


def test_a_missing_server_fails_in_ci(tmp_path: Path) -> None:
    code, output = run_pytest(tmp_path, NO_SLAPD + CONFTEST, PATH="/nowhere", CI="true")
    assert (code, "1 failed, 1 error" in output) == (1, True), output
    assert "ServerMissing: slapd is not installed" in output


def test_nobody_has_them_unasked(tmp_path: Path) -> None:
    code, output = run_pytest(tmp_path, "")
    assert (code, "fixture 'slapd' not found" in output) == (1, True), output
