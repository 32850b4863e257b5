# SPDX-License-Identifier: BSD-3-Clause
"""What is published: built, checked, installed into a clean environment, and used."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pytest

from tests.docs.snippets import ROOT
from tests.servers import Slapd

PROGRAM = """\
import sys

import syncrepl_client
from syncrepl_client import BaseCallback, Syncrepl, SyncreplMode


class Printer(BaseCallback):
    def record_add(self, dn, attrs):
        print("add", dn)


assert not syncrepl_client.__file__.startswith(sys.argv[2])
with Syncrepl("state-", Printer, SyncreplMode.REFRESH_ONLY, sys.argv[1]) as client:
    client.run()
print(syncrepl_client.__version__)
"""


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**environment, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel and the source distribution, built as a release is."""
    if "CI" not in os.environ:
        pytest.importorskip("build")
        pytest.importorskip("twine")
    folder = tmp_path_factory.mktemp("dist")
    # setuptools writes into the source: two workers may build at once, each from its own copy.
    source = tmp_path_factory.mktemp("copy") / "source"
    others = (".[!c]*", ".coverage*", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*others))
    run(sys.executable, "-m", "build", "--outdir", folder, source)
    return folder


def test_the_metadata_passes_the_strict_check(dist: Path) -> None:
    said = run(sys.executable, "-m", "twine", "check", "--strict", *sorted(dist.iterdir()))
    assert said.count("PASSED") == 2


def test_the_source_has_documentation_and_tests(dist: Path) -> None:
    (source,) = dist.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for wanted in ("docs/quickstart.rst", "tests/unit/test_imports.py", "demo.py", "Makefile",
                   ".ci/setup", "CHANGELOG.md", "syncrepl_client/py.typed"):  # fmt: skip
        assert wanted in names


def test_the_wheel_works_in_a_clean_environment(dist: Path, slapd: Slapd, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    (wheel,) = dist.glob("*.whl")
    run(home / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    (tmp_path / "follow.py").write_text(PROGRAM, encoding="utf-8")
    url = f"{slapd.url}/{slapd.suffix}??sub"
    said = run(home / "bin" / "python", "follow.py", url, str(ROOT), cwd=tmp_path)
    *adds, version = said.splitlines()
    assert adds == [f"add {slapd.suffix}", *(f"add ou={name},{slapd.suffix}" for name in NAMES)]
    assert f"-{version}-py3" in wheel.name


NAMES = ("people", "groups")
