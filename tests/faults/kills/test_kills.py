# SPDX-License-Identifier: BSD-3-Clause
"""A few kills of each sort; ``python -m tests.faults.kills`` does hundreds."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ldap
import pytest

from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback
from tests.conftest import missing_servers_skip
from tests.faults.kills.clients import ACTIVITIES, DEATHS, Case, Killer, running_server
from tests.faults.kills.deaths import STAGES, Ender
from tests.faults.kills.place import Tally, searched
from tests.faults.kills.writer import mark
from tests.servers import Slapd
from tests.servers.people import people_ldif, person, person_dn

PEOPLE = 600
SLAPDS = ("slapd", "slapd without log")


@pytest.fixture(scope="module", params=SLAPDS)
def killer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Killer]:
    with missing_servers_skip(), running_server(request.param, PEOPLE) as server:
        killer = Killer(server, PEOPLE, tmp_path_factory.mktemp("kills"), random.Random(1))
        with killer.ready():
            yield killer


@pytest.mark.parametrize("death", DEATHS)
@pytest.mark.parametrize("activity", ACTIVITIES)
def test_a_client_is_killed(killer: Killer, activity: str, death: str) -> None:
    tally = Tally()
    killer.run(Case("slapd", "sqlite", activity, death), tally)
    assert tally.total("compared") >= 1


@pytest.mark.parametrize("name", SLAPDS)
def test_a_server_ends(name: str, tmp_path: Path) -> None:
    with missing_servers_skip(), running_server(name, PEOPLE, checkpoints=True) as server:
        tally = Tally()
        ender = Ender(server, tmp_path, random.Random(1), tally)
        try:
            for kind in ("killed", "stopped and started", "replaced by an empty one"):
                for stage in STAGES:
                    ender.run(kind, stage, "sqlite")
        finally:
            for writer in ender.writers:
                writer.close()
        assert tally.total("deaths") == 6


def test_refreshes_between_writes_lose_no_delete(tmp_path: Path) -> None:
    """To a search in refreshOnly mode slapd tells two or three in a hundred such times never."""
    stop = threading.Event()

    def churn(first: int) -> None:
        with server.connected() as connection:
            for number in itertools.count(first):
                connection.add_s(person_dn(number), list(person(number).items()))
                if number >= first + 20:
                    connection.delete_s(person_dn(number - 20))
                if stop.is_set():
                    return

    def refresh() -> set[str]:
        url = f"{server.url}/{server.suffix}??sub"
        with Syncrepl(f"{tmp_path}/", BaseCallback(), SyncreplMode.REFRESH_ONLY, url) as client:
            client.run()
            return set(client.store.items())

    with missing_servers_skip(), running_server("slapd", 100, checkpoints=True) as server:
        with ThreadPoolExecutor() as pool:
            writers = [pool.submit(churn, first) for first in (1_000_000, 2_000_000)]
            try:
                for _ in range(100):
                    refresh()
            finally:
                stop.set()
            for writer in writers:
                writer.result()
        mark(server)
        assert refresh() == set(searched(server))


def test_a_crash_puts_the_context_csn_back(tmp_path: Path) -> None:
    """No checkpoints, but a session log: a cookie that was too new once is worthless."""

    def refresh(server: Slapd) -> int:
        url = f"{server.url}/{server.suffix}??sub"
        arguments = (f"{tmp_path}/", BaseCallback(), SyncreplMode.REFRESH_ONLY, url)
        with Syncrepl(*arguments, lag_patience=0) as client:
            client.run()
            return len(client.store.items())

    with missing_servers_skip(), Slapd(sessionlog=1000, ldif=people_ldif(20)) as server:
        with server.connected() as connection:
            connection.add_s(person_dn(20), list(person(20).items()))
            assert refresh(server) == 24
            connection.delete_s(person_dn(9))
            assert refresh(server) == 23
            connection.delete_s(person_dn(10))
        server.kill()
        server.start()
        assert refresh(server) == 22
        with server.connected() as connection:
            connection.modify_s(person_dn(1), [(ldap.MOD_REPLACE, "description", [b"later"])])
        assert refresh(server) == 22
