# SPDX-License-Identifier: BSD-3-Clause
"""Every example passes ``mypy --strict``, as its reader would run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import pytest

from tests.docs.snippets import COOKBOOK, PYTHON, ROOT, Block

# python-ldap ships no types. The library's own sources are checked elsewhere, with better ones.
CONFIG = """\
[mypy]
strict = true

[mypy-ldap.*,ldapurl.*]
ignore_missing_imports = true

[mypy-syncrepl_client.*]
follow_imports = silent
"""


def module(blocks: Iterable[Block]) -> str:
    """Blocks of one document as one module; each line has the number that it has there."""
    lines: list[str] = []
    for block in blocks:
        lines += [""] * (block.line - 1 - len(lines))
        lines += block.text.splitlines()
    return "\n".join([*lines, ""])


def write_examples(place: Path) -> list[Path]:
    """Write what is in the documents to files: a program each, the fragments of one together.

    A program whose name no other has keeps it, as others may import it.
    """
    written = []
    names = Counter(block.program for block in PYTHON if block.program)
    names.update(path.name for path in COOKBOOK)
    for (document, program), blocks in groupby(
        sorted(PYTHON, key=lambda block: (block.document, block.program or "", block.line)),
        key=lambda block: (block.document, block.program),
    ):
        unique = program if names[program] == 1 else None
        name = f"{document.replace('.', '_')}_{program or 'fragments.py'}"
        written.append(place / (unique or name))
        written[-1].write_text(module(blocks), encoding="utf-8")
    return written


def check(place: Path, files: list[Path]) -> str:
    """Run mypy; return what it finds fault with."""
    config = place / "mypy.ini"
    config.write_text(CONFIG, encoding="utf-8")
    options = ["--config-file", str(config), "--cache-dir", str(ROOT / ".mypy_cache" / "docs")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "--no-error-summary", *map(str, files)],
        cwd=place,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.stdout


def test_every_example_is_typed(tmp_path: Path) -> None:
    if "CI" not in os.environ:
        pytest.importorskip("mypy")
        pytest.importorskip("sqlalchemy")
    examples = write_examples(tmp_path)
    assert len(examples) > 8
    assert check(tmp_path, [*examples, ROOT / "demo.py", *COOKBOOK]) == ""


def test_an_example_without_types_is_noticed(tmp_path: Path) -> None:
    if "CI" not in os.environ:
        pytest.importorskip("mypy")
    block = Block("bad.rst", 7, "python", "", "def record_add(self, dn, attrs):\n    print(dn)\n")
    bad = tmp_path / "bad.py"
    bad.write_text(module([block]), encoding="utf-8")
    assert check(tmp_path, [bad]).startswith("bad.py:7: error: Function is missing a type")


CALLBACKS = """\
from syncrepl_client import BaseCallback, Syncrepl, SyncreplMode
from syncrepl_client.callbacks import AsyncCallback, LoggingCallback


class Own(BaseCallback):
    def record_delete(self, dn: str) -> None: ...


class Partial:
    def record_add(self, dn: str, attrs: dict[str, list[bytes]]) -> None: ...


MODE = SyncreplMode.REFRESH_ONLY
Syncrepl("", Own, MODE)
Syncrepl("", Own(), MODE)
Syncrepl("", LoggingCallback(), MODE)
Syncrepl("", AsyncCallback, MODE)
Syncrepl("", None, MODE)
Syncrepl("", 5, MODE)
Syncrepl("", Partial(), MODE)
Syncrepl("", Partial, MODE)
"""


def refused(text: str, place: Path) -> list[str]:
    """Return the lines of a program that mypy finds fault with."""
    if "CI" not in os.environ:
        pytest.importorskip("mypy")
    program = place / "program.py"
    program.write_text(text, encoding="utf-8")
    lines = text.splitlines()
    return [
        lines[int(line.split(":")[1]) - 1]
        for line in check(place, [program]).splitlines()
        if ": error: " in line
    ]


def test_what_is_no_callback_is_refused(tmp_path: Path) -> None:
    wrong = [line for line in CALLBACKS.splitlines() if is_wrong(line)]
    assert refused(CALLBACKS, tmp_path) == wrong


STORES = """\
import sqlite3
from typing import Any
import psycopg
from syncrepl_client import AsyncSyncrepl, Syncrepl, SyncreplMode
from syncrepl_client.store import PostgreSQLStore, SQLiteStore


def use(client: Syncrepl) -> None: ...


unknown = Syncrepl("state/", None, SyncreplMode.REFRESH_ONLY)
shared = Syncrepl("", None, SyncreplMode.REFRESH_ONLY, store=PostgreSQLStore("postgresql:///d"))
alone = AsyncSyncrepl("", None, SyncreplMode.REFRESH_ONLY, store=SQLiteStore("state/db"))
one: sqlite3.Connection = unknown.store.connection
two: psycopg.Connection[Any] = shared.store.connection
three: sqlite3.Connection = alone.store.connection
four: sqlite3.Connection = shared.store.connection  # wrong
use(unknown)
use(shared)
with shared as same:
    five: psycopg.Connection[Any] = same.store.connection
    six: sqlite3.Connection = same.store.connection  # wrong
"""


def test_the_kind_of_a_store_is_known(tmp_path: Path) -> None:
    wrong = [line for line in STORES.splitlines() if line.endswith("# wrong")]
    assert refused(STORES, tmp_path) == wrong


def is_wrong(line: str) -> bool:
    return "5" in line or ("Partial" in line and "Sync" in line)


def test_pyright_refuses_the_same(tmp_path: Path) -> None:
    """``pip install --group pyright``: with Node.js it is as large as all else together."""
    pytest.importorskip("basedpyright")
    (tmp_path / "callbacks.py").write_text(CALLBACKS, encoding="utf-8")
    config = {"typeCheckingMode": "standard", "extraPaths": [str(ROOT)]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    command = [sys.executable, "-m", "basedpyright", "--outputjson"]
    command += ["--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    found = json.loads(done.stdout)["generalDiagnostics"]
    errors = [each for each in found if each["severity"] == "error"]
    lines = CALLBACKS.splitlines()
    refused = [lines[each["range"]["start"]["line"]] for each in errors]
    assert refused == [line for line in lines if is_wrong(line)]
