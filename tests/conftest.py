# SPDX-License-Identifier: BSD-3-Clause
"""Servers for the tests, and the watch over what a test leaves behind."""

from __future__ import annotations

import gc
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any, Callable, TypeVar

import pytest
from hypothesis import HealthCheck, settings

from syncrepl_client.testing.missing import missing_servers_skip as missing_servers_skip
from tests import python_ldap
from tests.servers import DS389, Server, Slapd
from tests.servers.missing import may_miss
from tests.servers.postgresql import PostgreSQL

pytest_plugins = ["syncrepl_client.testing.pytest"]

DESCRIPTORS = Path("/proc/self/fd")
MOMENT_SECONDS = 60  # of a machine under load

settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

S = TypeVar("S", bound=Server)


def take_no_notice(number: int, frame: FrameType | None) -> None:
    """Handle a signal as if it were ignored."""


def pytest_configure() -> None:
    """Start the tests' programs with the signals as they are by default.

    nohup, or a script's ``&``, has this process ignore some. A program would inherit that; of a
    signal that is handled here it gets the default (execve(2)).
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, take_no_notice)


@pytest.fixture
def run_server() -> Iterator[Callable[..., Any]]:
    """Start servers of the test's own: give it a class and its options."""
    with ExitStack() as stack:

        def run(kind: Callable[..., S], **options: Any) -> S:
            with missing_servers_skip():
                server = kind(**options)
                stack.enter_context(server)
                return server

        yield run


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    """An OpenLDAP server that remembers a thousand deletes."""
    with missing_servers_skip(), Slapd(sessionlog=1000) as server:
        yield server


@pytest.fixture(scope="module")
def slapd_nolog() -> Iterator[Slapd]:
    """An OpenLDAP server without a session log: it sends present phases."""
    with missing_servers_skip(), Slapd() as server:
        yield server


@pytest.fixture(scope="session")
def ds389() -> Iterator[DS389]:
    """A 389 Directory Server, the same for all tests: call reset() first."""
    with missing_servers_skip(), DS389() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server, the same for all tests: each has schemas or databases of its own."""
    if may_miss("psycopg"):
        pytest.skip("psycopg is not installed")
    with missing_servers_skip(), PostgreSQL() as server:
        yield server


@pytest.fixture
def database(postgresql: PostgreSQL) -> Iterator[str]:
    """The URL of an empty database."""
    with postgresql.database() as name:
        yield postgresql.socket_url.replace("@/postgres", f"@/{name}")


@pytest.fixture(scope="session")
def python_ldap_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source of python-ldap's current release, for all tests."""
    return python_ldap.unpack(tmp_path_factory.mktemp("python-ldap"))


def open_descriptors() -> set[tuple[str, str]]:
    """Each open file descriptor with what it refers to."""
    found = set()
    for link in DESCRIPTORS.iterdir() if DESCRIPTORS.exists() else ():
        try:
            found.add((link.name, str(link.readlink())))
        except FileNotFoundError:  # the one that listed the directory
            continue
    return found


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves threads running or files and sockets open."""
    threads, descriptors = set(threading.enumerate()), open_descriptors()
    yield
    deadline = time.monotonic() + MOMENT_SECONDS
    while set(threading.enumerate()) - threads and time.monotonic() < deadline:
        time.sleep(0.01)  # a thread that was told to end may need a moment
    if open_descriptors() - descriptors:
        gc.collect()
    left = [repr(thread) for thread in set(threading.enumerate()) - threads]
    left += [f"descriptor {number}: {name}" for number, name in open_descriptors() - descriptors]
    if left:
        pytest.fail("left behind: " + ", ".join(left))
