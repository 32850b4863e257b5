# SPDX-License-Identifier: BSD-3-Clause
"""The fragments of Python in README.md and docs/ work, at the first start and at the next."""

from __future__ import annotations

import unittest
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from syncrepl_client.sinks.registry import SINKS
from syncrepl_client.store import open_changelog
from tests.docs.conftest import PEOPLE, Directory
from tests.docs.snippets import DOCUMENTS, PYTHON, Fragments, blocks, python_lines
from tests.servers.missing import may_miss
from tests.servers.receiver import write_secret

WITH_FRAGMENTS = sorted({block.document for block in PYTHON if not block.program})


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.name))
def test_no_python_is_overlooked(path: Path) -> None:
    found = [block for block in blocks(path) if block.language == "python"]
    assert len(found) == python_lines(path)


@pytest.mark.parametrize("document", WITH_FRAGMENTS)
def test_fragments(
    document: str, directory: Directory, workplace: Path, request: pytest.FixtureRequest
) -> None:
    if document in ("stores.rst", "failover.rst"):
        request.getfixturevalue("directory_database")
    if document == "sinks.rst":
        for package in {each for kind in SINKS.values() for each in kind.packages}:
            if may_miss(package):
                pytest.skip(f"{package} is not installed")
        for name in ("crm", "relay"):
            write_secret(Path(f"{name}.secret"))
    fragments = Fragments(document)
    for _ in ("first start", "next start"):
        fragments.run(directory.server, between=directory.change)
        check(document, fragments.namespace)
    assert fragments.called == fragments.functions


def check(document: str, results: dict[str, Any]) -> None:
    """What the fragments of a document must have led to: each turn adds one and deletes one."""
    if document == "delivery.rst":
        assert results["count"] == PEOPLE
        kinds = {kind for kind, _, _ in results["sent"]}
        assert "add" in kinds
        assert results["waiting"] == 0
    elif document == "callbacks.rst":
        assert results["census"].count == PEOPLE + 4
        assert results["census"].with_mail == PEOPLE
        assert results["census"].people["ou"] == [b"people"]
        assert any("(catching up)" in line for line in results["audit"].lines)
    elif document == "stores.rst":
        assert results["mirror"].entries == dict(results["store"].items().items())
        assert len(results["mirror"].entries) == PEOPLE + 4
        assert results["rows"] >= PEOPLE + 4
    elif document == "failover.rst":
        told = ["this process follows", "it does not any more"]
        assert results["client"].callback.following == told
    elif document == "helpers.rst":
        check_helpers(results)
    elif document == "migrating.rst":
        assert len(results["accounts"]) in (PEOPLE, 3)  # all at first, then what is told
        assert "uid=gone,ou=people,dc=example,dc=com" not in results["accounts"]
    elif document == "history.rst":
        check_history(results)
    elif document == "sinks.rst":
        check_sinks(results)
    elif document == "testing.rst":
        assert results["whoami"] == f"dn:{results['server'].root_dn}"
        assert not results["server"].running
    else:
        assert document in ("README.md", "client.rst"), "say here what to check"
        assert repr(results["client"]).endswith("closed>")


def check_history(results: dict[str, Any]) -> None:
    """The sink had all that the log has, and nothing of a second client's first refresh."""
    with results["open_changelog"]("state/") as log:
        events = log.events(0)
        assert log.sinks["webhook"].position == events[-1].seq
    assert events[0].change is None  # the log begins
    assert results["events"] == []


def check_sinks(results: dict[str, Any]) -> None:
    """The spool has what the log has, and the example of a sink passes its tests."""
    with open_changelog("state/") as log:
        changes = [event for event in log.events(0) if event.change is not None]
        assert log.sinks["spool"].position == log.newest
        assert "crm" in log.sinks
    spooled = sorted(path.stem.partition("-")[2] for path in results["spool"].glob("*"))
    assert spooled == sorted(event.id.hex() for event in changes)
    contract = results["TestSpool"]
    for name in (name for name in dir(contract) if name.startswith("test_")):
        with suppress(unittest.SkipTest):
            getattr(contract(), name)()


def check_helpers(results: dict[str, Any]) -> None:
    """Between two fragments, and so between two runs of one, others change the directory."""
    numbers = [number for each in results["phonebook"].numbers.values() for number in each]
    assert numbers
    assert all(number.startswith("+1 555 ") for number in numbers)
    assert results["readable"].schema is not None
    ldif = Path("changes.ldif").read_text(encoding="utf-8")
    assert ldif.count("version: 1\n") == 1
    assert ldif.count("changetype: add\n") >= PEOPLE + 4
    assert results["objects"][-1].pop("time")
    assert results["objects"][-1] == {"kind": "refresh-done", "entries": PEOPLE + 4}
    if results["report"].lines:  # the next start
        assert any(line.endswith(": mail replaced") for line in results["report"].lines)
        assert not any("entryCSN" in line for line in results["report"].lines)
        assert "changetype: modrdn\n" in ldif
        assert {"add", "modify", "rename", "delete"} < {each["kind"] for each in results["objects"]}
