# SPDX-License-Identifier: BSD-3-Clause
"""What ``watch --format ldif`` writes goes through a pipe into ldapmodify, to another slapd."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest

from tests.cli.commands import COMMAND, environment
from tests.live.test_ldif import PEOPLE, Pair, add_person, add_unit, dict_of, everything
from tests.patience import HANGS_SECONDS
from tests.servers.people import SUFFIX


@contextmanager
def pipe(pair: Pair, state: Path) -> Iterator[None]:
    """Have ``watch`` follow the source, and ldapmodify do at the target what it writes."""
    modify = pair.ldapmodify()
    url = f"{pair.source.url}/{SUFFIX}?*,%2B?sub"
    follow = [*COMMAND, "watch", "--format", "ldif", "--data", f"{state}/", url]
    watch = subprocess.Popen(follow, env=environment(), stdout=subprocess.PIPE)
    apply = subprocess.Popen(
        modify,
        stdin=watch.stdout,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watch.stdout is not None
    watch.stdout.close()  # ldapmodify is its only reader
    try:
        yield
        watch.terminate()
        errors = apply.communicate(timeout=HANGS_SECONDS)[1]
        assert (watch.wait(HANGS_SECONDS), apply.returncode, errors) == (0, 0, "")
    finally:
        for process in (watch, apply):
            process.kill()
            process.wait()


def wait_until_equal(pair: Pair) -> None:
    deadline = time.monotonic() + HANGS_SECONDS
    while dict_of(pair.target, "*") != dict_of(pair.source, "*"):
        if time.monotonic() > deadline:
            pair.equal()
            pytest.fail("equal only after the deadline")
        time.sleep(0.05)


def test_a_pipe_into_ldapmodify(run_server: Callable[..., Any], tmp_path: Path) -> None:
    pair = Pair(run_server)
    with pipe(pair, tmp_path):
        wait_until_equal(pair)
        with pair.source.connected() as connection:
            everything(connection)
        wait_until_equal(pair)
    with pair.source.connected() as connection:
        unit = add_unit(connection, "later", SUFFIX)
        connection.rename_s(unit, "ou=moved", PEOPLE)
        connection.rename_s(f"uid=eve,{PEOPLE}", "uid=eve", f"ou=moved,{PEOPLE}")
        connection.delete_s(add_person(connection, 20))
        connection.delete_s(f"uid=cedric,{PEOPLE}")
        connection.modify_s(f"ou=moved,{PEOPLE}", [(ldap.MOD_ADD, "description", b"new")])
    with pipe(pair, tmp_path):
        wait_until_equal(pair)
        with pair.source.connected() as connection:
            connection.rename_s(f"ou=upper,{PEOPLE}", "ou=lower", f"ou=moved,{PEOPLE}")
        wait_until_equal(pair)
