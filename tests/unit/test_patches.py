# SPDX-License-Identifier: BSD-3-Clause
"""The patches for python-ldap apply to its current release, and the README names them all."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.python_ldap import missing

FOLDER = Path(__file__).resolve().parents[2] / "patches"
PATCHES = sorted(FOLDER.glob("*.patch"))


@pytest.fixture
def release(python_ldap_source: Path) -> Path:
    """The unpacked source of python-ldap's current release."""
    if shutil.which("git") is None:
        missing("git, which applies the patches, is not installed")
    return python_ldap_source


def apply(patch: Path, source: Path, *options: str) -> None:
    # Inside a repository git would skip, silently, what doesn't belong to it.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(source.parent)}
    done = subprocess.run(
        ["git", "apply", *options, str(patch)],
        cwd=source,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{patch.name} on {source.name}: {done.stderr}"


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.name)
def test_applies_alone(patch: Path, release: Path) -> None:
    apply(patch, release, "--check")


def test_apply_in_order(release: Path, tmp_path: Path) -> None:
    source = tmp_path / release.name
    shutil.copytree(release, source)
    for patch in PATCHES:
        before = contents(source)
        apply(patch, source)
        assert contents(source) != before, f"{patch.name} changed nothing"


def contents(source: Path) -> dict[Path, bytes]:
    files = (path for path in source.rglob("*") if path.is_file())
    return {path.relative_to(source): path.read_bytes() for path in files}


def test_readme_names_every_patch_and_no_other() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b\d{4}-[\w-]+\.patch\b", text))
    assert named == {patch.name for patch in PATCHES}


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.name)
def test_says_what_it_is_for(patch: Path) -> None:
    header, _, diff = patch.read_text(encoding="utf-8").partition("\ndiff --git ")
    lines = header.splitlines()
    assert lines[0].startswith("Subject: ")
    assert lines[1] == "SPDX-License-Identifier: MIT"
    assert any(line.strip() for line in lines[2:])
    assert diff
