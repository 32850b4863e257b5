# SPDX-License-Identifier: BSD-3-Clause
"""Each line of the log has an event with a name, and the documentation has all names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import syncrepl_client

ROOT = Path(syncrepl_client.__file__).parent
MONITORING = ROOT.parent / "docs" / "monitoring.rst"
LEVELS = {"debug", "info", "warning", "error", "exception", "log"}
ELSEWHERE = {"cli", "testing"}


def library() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        if path.relative_to(ROOT).parts[0] not in ELSEWHERE:
            yield path.name, ast.parse(path.read_text(encoding="utf-8"))


def calls_of_loggers(tree: ast.Module) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = ast.unparse(node.func.value)
            if owner in ("logger", "self.logger") and node.func.attr in LEVELS:
                yield node


def constant_or_name(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ast.unparse(node)


def events() -> Iterator[tuple[str, str]]:
    """Where an event is named, and its name."""
    for name, tree in library():
        for call in calls_of_loggers(tree):
            extra = next((word.value for word in call.keywords if word.arg == "extra"), None)
            where = f"{name}:{call.lineno}"
            assert isinstance(extra, ast.Dict), f"{where} logs without an event"
            yield where, constant_or_name(extra.values[0])
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr == "_tell" and name == "searches.py":
                    yield f"{name}:{node.lineno}", constant_or_name(node.args[1])
                elif ast.unparse(node.func) == "self._delivery.debug":
                    yield f"{name}:{node.lineno}", constant_or_name(node.args[0])


def test_every_event_is_documented() -> None:
    text = MONITORING.read_text(encoding="utf-8")
    documented = set(re.findall(r"``([a-z-]+)``", text))
    named = {event for _, event in events()} - {"event"}  # handed on by a helper
    assert len(named) > 15
    assert named <= documented


def test_every_documented_event_is_there() -> None:
    table = MONITORING.read_text(encoding="utf-8").partition("The log\n")[2]
    assert set(re.findall(r"   \* - ``([a-z-]+)``", table)) <= {event for _, event in events()}
