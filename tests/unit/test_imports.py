# SPDX-License-Identifier: BSD-3-Clause
"""The house: imports go one way, each outside world is behind one door, all is documented."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import syncrepl_client
from tests.floors import FLOORS

PACKAGE = "syncrepl_client"
ROOT = Path(syncrepl_client.__file__).parent


def module_name(path: Path) -> str:
    parts = [PACKAGE, *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {module_name(path): ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}
PACKAGES = {module_name(path) for path in ROOT.rglob("__init__.py")}
LIBRARY = [name for name in TREES if "__main__" not in name and ".cli" not in name]
PURE = (
    "changes", "engine.resumption", "engine.retry", "engine.stats", "engine.verification",
    "entries", "exceptions", "formats.arrangement", "formats.postponed", "modes",
    "network.heartbeat", "protocol", "url",
)  # fmt: skip
"""Modules, and packages as a whole, that neither do I/O nor look at a clock."""


def imports(module: str) -> Iterator[str]:
    """Every module that *module* imports, wherever in it."""
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")[: None if module in PACKAGES else -1]
            start = parts[: len(parts) + 1 - node.level] if node.level else []
            source = ".".join([*start, *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield inner if inner in TREES or inner.startswith("ldap.") else source


def room(module: str) -> str:
    """Return the package, or the module beside the packages, that *module* belongs to."""
    return module.split(".")[1] if module != PACKAGE else "__init__"


LEVELS = {each: level for level, floor in enumerate(FLOORS) for each in floor}


def test_every_package_has_its_floor() -> None:
    rooms = {room(name) for name in TREES}
    assert sorted(rooms) == sorted(each for floor in FLOORS for each in floor), (
        "tests/floors.py names each package, and each module beside the packages, once"
    )


@pytest.mark.parametrize("name", TREES)
def test_imports_lead_to_lower_floors_only(name: str) -> None:
    for each in set(imports(name)) & set(TREES):
        assert room(each) == room(name) or LEVELS[room(each)] < LEVELS[room(name)], (
            f"{name} imports {each}: in tests/floors.py, {room(each)} is on floor "
            f"{LEVELS[room(each)]}, and {room(name)}, on floor {LEVELS[room(name)]}, may import "
            "from lower floors only"
        )


def test_imports_have_no_cycle_within_a_package_either() -> None:
    graph = {name: set(imports(name)) & set(TREES) for name in TREES}
    assert graph[f"{PACKAGE}.protocol.synchronization"] > {
        f"{PACKAGE}.protocol.messages",
        f"{PACKAGE}.protocol.placement",
    }
    assert graph[f"{PACKAGE}.store"] > {f"{PACKAGE}.store.base"}
    list(TopologicalSorter(graph).static_order())


NETWORK = {"asyncio", "select", "selectors", "socket", "ssl", "ldap.ldapobject", "ldap.sasl",
           "ldap.extop", "ldap.syncrepl", "ldap.async", "ldap.asyncsearch"}  # fmt: skip
DOORS = {
    "network.session": NETWORK - {"select", "ssl"},
    "network.consumer": {"ldap.ldapobject"},
    "network.diagnosis": {"socket", "ssl"},
    "network.handshake": {"socket", "ssl"},
    "waiting.greenlets": {"asyncio", "selectors"},
    "waiting.waker": {"select", "socket"},
    "asynchronous": {"asyncio"},
    "service": {"socket"},
    "sinks.endpoint": {"ssl"},
    "sinks.nats": {"asyncio"},  # as the package of NATS wants it
}
TESTING = f"{PACKAGE}.testing"
SERVERS = f"{TESTING}.process"
"""Runs servers, for tests: nothing else in the library starts processes."""
DATABASES = {"sqlite3", "dbm", "psycopg"}
NOWHERE = {"pickle", "shelve", "marshal", "copyreg", "subprocess", "multiprocessing"}
OUTSIDE = {"os", "io", "time", "logging", "pathlib", "random", "tempfile", "threading"}
CLOCK = {"now", "today", "utcnow"}  # of datetime, whose dates themselves are data


def outer(module: str) -> set[str]:
    found = set(imports(module))
    return found | {name.split(".")[0] for name in found}


@pytest.mark.parametrize("name", LIBRARY)
def test_each_outside_world_is_behind_one_door(name: str) -> None:
    if name == SERVERS:
        return
    found = outer(name)
    assert not found & NOWHERE
    assert not found & (NETWORK - DOORS.get(name.removeprefix(f"{PACKAGE}."), set()))
    if name not in {f"{PACKAGE}.network.{each}" for each in ("session", "consumer", "results")}:
        used = {node.attr for node in ast.walk(TREES[name]) if isinstance(node, ast.Attribute)}
        assert not used & {"initialize", "ldapobject", "result4", "search_ext"}
        assert "sleep" not in used or name == f"{PACKAGE}.asynchronous"
    if not name.startswith(f"{PACKAGE}.store"):
        assert not found & DATABASES


def test_nothing_but_tests_knows_what_is_for_tests() -> None:
    for name in TREES:
        if not name.startswith(TESTING):
            assert not any(each.startswith(TESTING) for each in imports(name)), name


def test_the_doors_are_there() -> None:
    assert outer(SERVERS) >= {"subprocess", "socket"}
    assert outer(f"{PACKAGE}.network.session") >= {"ldap.ldapobject"}
    assert outer(f"{PACKAGE}.network.handshake") >= {"socket", "ssl"}
    assert outer(f"{PACKAGE}.waiting.waker") >= {"select", "socket"}
    assert "sqlite3" in outer(f"{PACKAGE}.store.sqlite.store")
    assert "sqlite3" in outer(f"{PACKAGE}.store.scratch")
    assert "dbm" in outer(f"{PACKAGE}.store.shelve.store")
    assert "psycopg" in outer(f"{PACKAGE}.store.postgresql.database")


@pytest.mark.parametrize("part", PURE)
def test_pure_modules_see_no_outside_world(part: str) -> None:
    whole = f"{PACKAGE}.{part}"
    names = [name for name in TREES if name == whole or name.startswith(f"{whole}.")]
    assert names
    for name in names:
        assert not outer(name) & (OUTSIDE | NETWORK | DATABASES), name
        used = {node.attr for node in ast.walk(TREES[name]) if isinstance(node, ast.Attribute)}
        assert not used & CLOCK, name


@pytest.mark.parametrize("name", LIBRARY)
def test_no_print_no_assert_no_bare_except(name: str) -> None:
    for node in ast.walk(TREES[name]):
        assert not isinstance(node, ast.Assert)
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None)
        if isinstance(node, ast.Name):
            assert node.id not in {"print", "eval", "exec", "input", "breakpoint"}


# --- docstrings


def public(scope: Any, module: ModuleType) -> Iterator[tuple[str, Any]]:
    for name, value in vars(scope).items():
        value = inspect.unwrap(getattr(value, "__func__", value))
        is_own = getattr(value, "__module__", None) == module.__name__
        if not name.startswith("_") and (
            isinstance(value, property) or (is_own and callable(value))
        ):
            yield name, value


@pytest.mark.parametrize("name", LIBRARY)
def test_public_names_are_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    for outer_name, value in public(module, module):
        assert inspect.getdoc(value), outer_name
        if inspect.isclass(value):
            assert vars(value).get("__doc__"), outer_name
            for inner_name, _ in public(value, module):
                assert inspect.getdoc(getattr(value, inner_name)), f"{outer_name}.{inner_name}"


def test_what_the_package_hands_on() -> None:
    names = list(syncrepl_client.__all__)
    assert names == sorted(names, key=lambda name: (not name.isupper(), name))
    for name in syncrepl_client.__all__:
        assert inspect.getdoc(getattr(syncrepl_client, name)), name
    for name in ("BaseCallback", "LoggingCallback"):
        assert inspect.getdoc(getattr(syncrepl_client.callbacks, name))


@pytest.mark.parametrize("name", LIBRARY)
def test_files_say_their_licence(name: str) -> None:
    path = ROOT.joinpath(*name.split(".")[1:])
    path = path / "__init__.py" if name in PACKAGES else path.with_suffix(".py")
    assert path.read_text().startswith("# SPDX-License-Identifier: BSD-3-Clause\n")
