# SPDX-License-Identifier: BSD-3-Clause
"""Strikes at some messages of a session; ``python -m tests.faults.wire`` strikes at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import missing_servers_skip
from tests.faults.kills.place import Tally
from tests.faults.wire.failover import fail_over
from tests.faults.wire.proxy import operation, split
from tests.faults.wire.session import strike_everywhere


@pytest.mark.parametrize(("kind", "every"), [("initial", 11), ("present phase", 5)])
def test_a_connection_is_cut(kind: str, every: int, tmp_path: Path) -> None:
    tally = Tally()
    with missing_servers_skip():
        strike_everywhere(kind, 1, every, tmp_path, tally)
    assert not tally.failures
    assert tally.total("compared") == tally.total("sessions") > 10


def test_another_server_goes_on(tmp_path: Path) -> None:
    tally = Tally()
    with missing_servers_skip():
        fail_over(10, 1, tmp_path, tally)
    assert not tally.failures
    assert tally.total("complete reloads") == 0


def test_messages_are_split() -> None:
    short = bytes.fromhex("3005020101 6100")
    long = b"\x30\x81\x85\x02\x01\x02\x64\x81\x7f" + bytes(127)
    data = bytearray(short + long + long[:40])
    assert list(split(data)) == [short, long]
    assert data == long[:40]
    assert (operation(short), operation(long)) == (0x61, 0x64)
