# SPDX-License-Identifier: BSD-3-Clause
"""The source of python-ldap's current release, from PyPI: its tests are run, patches applied."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.patience import HANGS_SECONDS

DOWNLOAD = (
    *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
    *("--no-deps", "--no-binary", "python-ldap", "python-ldap"),
)


def missing(reason: str) -> None:
    """What these tests need is missing: that fails in CI, and skips elsewhere."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def download(target: Path) -> Path:
    """Fetch the source release; pip prepares its metadata (seconds), it compiles nothing."""
    try:
        done = subprocess.run(
            [*DOWNLOAD, "--dest", str(target)],
            capture_output=True,
            text=True,
            timeout=HANGS_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        missing(f"PyPI: no answer within {HANGS_SECONDS:.0f} seconds")
    if done.returncode:
        missing(f"python-ldap can't be had from PyPI: {done.stderr.strip()[-500:]}")
    (archive,) = target.glob("*.tar.gz")
    return archive


def unpack(folder: Path) -> Path:
    """Fetch and unpack the source below *folder*; return the directory that it is in."""
    with tarfile.open(download(folder)) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(folder, filter="data")
        else:
            archive.extractall(folder)
    (source,) = (path for path in folder.iterdir() if path.is_dir())
    return source
