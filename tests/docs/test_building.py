# SPDX-License-Identifier: BSD-3-Clause
"""The documentation builds, and says what is there."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from syncrepl_client import exceptions
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.changes import Phase
from syncrepl_client.search import BATCH_MESSAGES, PERSIST_SECONDS, REFRESH_SECONDS
from syncrepl_client.transitions import TRANSITIONS
from tests.docs.snippets import DOCUMENTS, OTHER_DOCUMENTS, ROOT

DOCS = ROOT / "docs"


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation as HTML; a warning is an error."""
    if "CI" not in os.environ:
        pytest.importorskip("sphinx")
    target = tmp_path_factory.mktemp("html")
    options = ["-W", "--keep-going", "-q", "-b", "html", "-d", str(target / "doctrees")]
    command = [sys.executable, "-m", "sphinx", *options, str(DOCS), str(target)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return target


def test_it_builds_without_warnings(built: Path) -> None:
    for path in DOCS.glob("*.rst"):
        assert (built / f"{path.stem}.html").exists()


def test_the_picture_shows_every_phase_and_message(built: Path) -> None:
    page = (built / "protocol.html").read_text(encoding="utf-8")
    picture = page[page.index("<svg") : page.index("</svg>")]
    labels = re.findall(r"<tspan[^>]*>([^<]*)<", picture)
    words = {word for label in labels for word in re.split(", | or ", label)}
    assert words == {phase.value for phase in Phase} | {message for _, message in TRANSITIONS}


def test_the_changelog_is_taken_over(built: Path) -> None:
    page = (built / "changelog.html").read_text(encoding="utf-8")
    for title in re.findall(r"^##+ \[?([^]\n]+)", (ROOT / "CHANGELOG.md").read_text(), re.M):
        assert title in page


def test_every_exception_has_its_advice() -> None:
    text = read("exceptions.rst")
    tree = {
        name
        for name, each in vars(exceptions).items()
        if inspect.isclass(each) and issubclass(each, exceptions.SyncreplError)
    }
    listed = re.findall(r"^   \* - ``(\w+)``", text, re.MULTILINE)
    assert sorted(listed) == sorted(tree - {"SyncreplError"})


def test_every_callback_is_described() -> None:
    methods = {name for name in vars(BaseCallback) if not name.startswith("_")}
    listed = re.findall(r"^   \* - ``(\w+)\(.*\)``", read("callbacks.rst"), re.MULTILINE)
    assert sorted(listed) == sorted(methods)


def test_callbacks_are_described_with_their_arguments() -> None:
    text = read("callbacks.rst")
    for name, arguments in re.findall(r"^   \* - ``(\w+)\((.*)\)``", text, re.MULTILINE):
        described = [each for each in arguments.split(", ") if each]
        signature = inspect.signature(getattr(BaseCallback, name))
        assert described == [each for each in signature.parameters if each != "self"]


def test_the_size_of_a_batch_is_said() -> None:
    text = read("delivery.rst")
    assert f"after {BATCH_MESSAGES:,} messages, after {REFRESH_SECONDS:g} second," in text
    assert f"after {BATCH_MESSAGES:,} messages or after {PERSIST_SECONDS:g} seconds" in text


def test_make_has_the_commands_that_the_readme_names() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^ {4}|`)make ([a-z]+)", text, re.MULTILINE))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test", "docs"} <= named <= targets


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.name))
def test_files_that_are_named_exist(path: Path) -> None:
    named = re.findall(
        r"`((?:docs|patches|tests)/[\w./]*|demo\.py|[A-Z_a-z]+\.md)`", path.read_text()
    )
    named += re.findall(r"\]\(([\w.]+)\)", path.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_files_begin_with_their_licence() -> None:
    for path in (*DOCUMENTS, *OTHER_DOCUMENTS):
        assert "SPDX-License-Identifier: CC-BY-SA-4.0" in path.read_text().splitlines()[0]
    for path in DOCS.glob("**/*.py"):
        assert path.read_text().splitlines()[0] == "# SPDX-License-Identifier: BSD-3-Clause"
