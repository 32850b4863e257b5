# SPDX-License-Identifier: BSD-3-Clause
"""Leases of PostgreSQL stores, without a server."""

from __future__ import annotations

import os
import time

import pytest

pytest.importorskip("psycopg")

from syncrepl_client.exceptions import StoreError
from syncrepl_client.store.postgresql import leases
from syncrepl_client.store.postgresql.leases import Stuck
from syncrepl_client.store.postgresql.session import Silence
from tests.patience import HANGS_SECONDS


@pytest.mark.parametrize("lease", [2, 10, 3600])
def test_a_dead_connection_is_noticed_within_the_lease(lease: float) -> None:
    found = leases.parameters(lease)
    assert found["tcp_user_timeout"] == 1000 * lease
    probes = found["keepalives_count"] * found["keepalives_interval"]
    assert found["keepalives_idle"] + probes <= max(lease, 3)
    assert min(found.values()) > 0


def test_the_name_of_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "host_name", lambda: "h" * 100 + "é")
    name = leases.application_name()
    assert len(name.encode()) == 63
    assert leases.client_name(name).endswith(f"hhh/{os.getpid()}")
    assert leases.client_name("the user's own") == "the user's own"


def test_a_statement_that_waits_for_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """For longer than the lease, and all that time the same."""
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    stuck = Stuck(lease=5)
    said = []
    for now, statement in enumerate("-aaaaa-aaaaabbbbbbb"):  # noqa: B007
        said.append(stuck.is_final(None if statement == "-" else (statement,)))
    assert said.index(True) == len(said) - 1


def asked(silence: Silence, now: float) -> bool:
    deadline = time.monotonic() + HANGS_SECONDS
    while silence._asked is not None and not silence._asked.done:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return silence.is_final(False, now)


def test_silence_is_final_if_the_server_does_nothing() -> None:
    answers: list[bool | Exception] = [True, False, StoreError("unreachable")]

    def at_work() -> bool:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    silence = Silence(10, at_work)
    assert not silence.is_final(False, 0)
    assert not silence.is_final(False, 10)
    assert len(answers) == 3
    assert not silence.is_final(False, 11)  # which asks
    assert not asked(silence, 12)
    assert not silence.is_final(False, 21)
    assert not silence.is_final(False, 23)
    assert asked(silence, 24)
    assert not silence.is_final(True, 30)
    assert not silence.is_final(False, 31)
    assert not silence.is_final(False, 42)
    assert asked(silence, 43)


def test_silence_without_a_lease() -> None:
    silence = Silence(None, lambda: False)
    assert not any(silence.is_final(False, now) for now in (0, 1e6, 1e9))


def test_an_answer_after_all() -> None:
    """What was asked before it came says nothing about the next silence."""
    silence = Silence(10, lambda: False)
    assert not silence.is_final(False, 0)
    assert not silence.is_final(False, 11)
    assert not silence.is_final(True, 12)
    assert not silence.is_final(False, 13)
    assert not silence.is_final(False, 14)
