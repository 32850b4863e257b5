# SPDX-License-Identifier: BSD-3-Clause
"""The documentation builds, and says what is there."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name

import pytest

import syncrepl_client
from syncrepl_client import exceptions
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.changes import Phase
from syncrepl_client.engine.search import BATCH_MESSAGES, PERSIST_SECONDS, REFRESH_SECONDS
from syncrepl_client.protocol.transitions import TRANSITIONS
from tests.docs.snippets import DOCUMENTS, OTHER_DOCUMENTS, ROOT
from tests.floors import FLOORS

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
    (picture,) = [each for each in re.findall(r"<svg.*?</svg>", page, re.S) if "<tspan" in each]
    labels = re.findall(r"<tspan[^>]*>([^<]*)<", picture)
    words = {word for label in labels for word in re.split(", | or ", label)}
    assert words == {phase.value for phase in Phase} | {message for _, message in TRANSITIONS}


def test_the_first_page_has_a_picture_of_the_parts(built: Path) -> None:
    page = (built / "index.html").read_text(encoding="utf-8")
    picture = page[(start := page.index('<svg class="pp"')) : page.index("</svg>", start)]
    named = re.findall(r'<text class="name"[^>]*>([^<]*)<', picture)
    assert named == ["LDAP server", "syncrepl_client", "your callback", "data store"]


@pytest.mark.parametrize(
    ("page", "kind"), [("index", "pp"), ("architecture", "fp"), ("protocol", "sp")]
)
def test_pictures_have_the_colours_of_the_page(page: str, kind: str, built: Path) -> None:
    """They are read on dark pages, too."""
    text = (built / f"{page}.html").read_text(encoding="utf-8")
    style = text[(start := text.index(f"\n.{kind} ")) : text.index("</style>", start)]
    colours = re.findall(r"(?:fill|stroke|color): ([^;]*)", style)
    assert colours
    assert all(each.startswith(("none", "currentColor", "var(--color-")) for each in colours)


def test_the_arguments_of_the_clients_are_described_once(built: Path) -> None:
    text = (built / "api.html").read_text(encoding="utf-8")
    for name in ("lag_patience", "heartbeat", "reconcile_every", "change_search"):
        assert text.count(f"<li><p><strong>{name}</strong>") == 1


def test_the_picture_of_the_packages_shows_each(built: Path) -> None:
    page = (built / "architecture.html").read_text(encoding="utf-8")
    picture = page[(start := page.index('<svg class="fp"')) : page.index("</svg>", start)]
    drawn = re.findall(r'<text class="name"[^>]*>([^<]*)<', picture)
    assert sorted(name.removesuffix("/").removesuffix(".py") for name in drawn) == sorted(
        each for floor in FLOORS for each in floor
    )
    packages = {name for name in drawn if name.endswith("/")}
    described = re.findall(r"^``(\w+/)``$", read("architecture.rst"), re.MULTILINE)
    assert sorted(described) == sorted(packages)


def test_the_functions_on_the_way_of_a_message_exist() -> None:
    text = read("architecture.rst").split(":class: way-of-a-message")[1]
    steps = re.findall(r"^     - ``([\w/]+)\.py``\n     - ``([\w.]+)``$", text, re.MULTILINE)
    assert len(steps) == text.count("\n   * - ") - 1
    for module, name in steps:
        resolve_name(f"syncrepl_client.{module.replace('/', '.')}:{name}")


def test_modules_that_are_named_exist() -> None:
    text = read("architecture.rst").split("Beside the packages")[0]
    for package, paragraph in re.findall(r"^``(\w+)/``\n((?:   .*\n)+)", text, re.MULTILINE):
        root = Path(syncrepl_client.__file__).parent
        for name in re.findall(r"``([a-z]+/?)``", paragraph):
            path = root / package / name
            assert path.is_dir() if name.endswith("/") else path.with_suffix(".py").exists(), path


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
