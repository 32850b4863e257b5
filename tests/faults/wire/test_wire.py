# SPDX-License-Identifier: BSD-3-Clause
"""Strikes at some messages of a session; ``python -m tests.faults.wire`` strikes at all."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from pathlib import Path

import ldap
import pytest

from syncrepl_client import Syncrepl
from syncrepl_client.waiting.backoff import Backoff
from tests.conftest import missing_servers_skip
from tests.faults.kills.mirrors import digest
from tests.faults.kills.place import Tally, compare, searched
from tests.faults.kills.writer import Writer, mark
from tests.faults.recorder import PERSIST, Recorder, contents
from tests.faults.wire.failover import fail_over, pair, wait_until_same
from tests.faults.wire.proxy import operation, split
from tests.faults.wire.session import strike_everywhere
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd


@pytest.mark.parametrize(("kind", "every"), [("initial", 11), ("present phase", 5)])
def test_a_connection_is_cut(kind: str, every: int, tmp_path: Path) -> None:
    tally = Tally()
    with missing_servers_skip():
        strike_everywhere(kind, 1, every, tmp_path, tally, HANGS_SECONDS)
    assert not tally.failures
    assert tally.total("compared") == tally.total("sessions") > 10


def test_another_server_goes_on(tmp_path: Path) -> None:
    tally = Tally()
    with missing_servers_skip():
        fail_over(10, 1, tmp_path, tally)
    assert not tally.failures
    assert tally.total("complete reloads") == 0


@pytest.mark.parametrize("how", ["stop", "kill"])
@pytest.mark.parametrize("sessionlog", [10_000, None])
def test_one_client_goes_from_one_to_the_other(
    how: str, sessionlog: int | None, tmp_path: Path
) -> None:
    """It has the URLs of both, and the one that it is on goes down, four times.

    The other one has by then all that this one told of: else it would not be believed for a while.
    """
    chance, recorder = random.Random(1), Recorder()
    bound: list[str] = []  # noted at each bind: a connection may be closed when the test looks
    recorder.on["bind"] = lambda: bound.append(recorder.heard[-1][1].get_option(ldap.OPT_URI))
    with missing_servers_skip(), pair(sessionlog=sessionlog) as servers, ExitStack() as stack:
        writers = {
            each: Writer(each, f"w{each.port}", chance, rename_teams=False) for each in servers
        }
        for writer in writers.values():
            stack.callback(writer.close)
            writer.connect()
        client = stack.enter_context(
            Syncrepl(
                f"{tmp_path}/",
                recorder,
                PERSIST,
                [f"{servers[0].url}/{servers[0].suffix}??sub", servers[1].url],
                reconnect=Backoff(initial=0.05, maximum=0.2),
            )
        )

        def set_back() -> None:  # what was told and not committed is told again
            recorder.mirror = contents(client)

        recorder.on["disconnected"] = set_back
        for number in range(4):
            here, there = servers[number % 2], servers[1 - number % 2]
            writers[here].change(10)
            client.poll(0.1)
            wait_until_same(*servers)
            getattr(here, how)()
            writers[there].change(10)
            while len(bound) < number + 2 or not client.refreshed:
                assert client.poll(0.1)
            here.start()
            writers[here].connect()
            wait_until_same(*servers)
            _settle(client, recorder, there)
    one, other = (server.url for server in servers)
    assert bound == [one, other, one, other, one]


def _settle(client: Syncrepl, recorder: Recorder, server: Slapd) -> None:
    """Poll until the client has what the server has, and its mirror too."""
    mark(server)
    deadline = time.monotonic() + HANGS_SECONDS
    while time.monotonic() < deadline:
        assert client.poll(0.1)
        found = {dn: digest(attrs) for dn, attrs in contents(client).items()}
        if found == searched(server):
            break
    compare("store", found, searched(server))
    assert recorder.mirror == contents(client)


def test_messages_are_split() -> None:
    short = bytes.fromhex("3005020101 6100")
    long = b"\x30\x81\x85\x02\x01\x02\x64\x81\x7f" + bytes(127)
    data = bytearray(short + long + long[:40])
    assert list(split(data)) == [short, long]
    assert data == long[:40]
    assert (operation(short), operation(long)) == (0x61, 0x64)
