# SPDX-License-Identifier: BSD-3-Clause
"""Servers that restart, crash or hang under a client that goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest

from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.waiting.backoff import Backoff
from tests.faults.recorder import Recorder, contents
from tests.mirror import content, server_content
from tests.patience import HANGS_SECONDS
from tests.servers import DS389, Server, Slapd
from tests.servers.people import person, person_dn

RunServer = Callable[..., Any]
SOON = Backoff(initial=0.05, maximum=0.2)


class Followed:
    """A server, and a client of it that rides over whatever happens."""

    def __init__(self, server: Server, path: Path) -> None:
        self.server = server
        self.recorder = Recorder()
        self.recorder.on["disconnected"] = self.set_back
        self.client = Syncrepl(
            f"{path}/",
            self.recorder,
            SyncreplMode.REFRESH_AND_PERSIST,
            f"{server.url}/{server.suffix}??sub",
            reconnect=SOON,
            heartbeat=1,
        )

    def set_back(self) -> None:
        """What was told and not committed is told again."""
        self.recorder.mirror = contents(self.client)

    def add(self, number: int) -> None:
        with self.server.connected() as connection:
            connection.add_s(person_dn(number, self.server.suffix), list(person(number).items()))

    def modify(self, number: int, value: bytes) -> None:
        dn = person_dn(number, self.server.suffix)
        with self.server.connected() as connection:
            connection.modify_s(dn, [(ldap.MOD_REPLACE, "description", [value])])

    def delete(self, number: int) -> None:
        with self.server.connected() as connection:
            connection.delete_s(person_dn(number, self.server.suffix))

    def settle(self) -> None:
        """Poll until server, store and mirror are the same; give up after a while."""
        deadline = time.monotonic() + HANGS_SECONDS
        while time.monotonic() < deadline:
            assert self.client.poll(0.1)
            if content(contents(self.client)) == self.holds():
                break
        assert content(contents(self.client)) == self.holds()
        assert content(self.recorder.mirror) == self.holds()

    def holds(self) -> Any:
        connection = ldap.initialize(self.server.url)  # as anonymous as the client
        try:
            return server_content(
                connection, self.server.suffix, ldap.SCOPE_SUBTREE, "(objectClass=*)", []
            )
        finally:
            connection.unbind_s()

    def wait_for_loss(self, times: int) -> None:
        while len(self.recorder.of("disconnected")) < times:
            assert self.client.poll(0.1)


@pytest.fixture(params=[Slapd, DS389], ids=["slapd", "389-ds"])
def followed(
    request: pytest.FixtureRequest, run_server: RunServer, tmp_path: Path
) -> Iterator[Followed]:
    options = {"sessionlog": 100} if request.param is Slapd else {}
    it = Followed(run_server(request.param, **options), tmp_path)
    with it.client:
        yield it


def test_restarts(followed: Followed) -> None:
    followed.add(1)
    followed.settle()
    for number in (2, 3):
        followed.add(number)
        followed.server.stop()
        followed.wait_for_loss(1)
        followed.server.start()
        followed.modify(1, b"after start %d" % number)
        followed.settle()
    followed.delete(2)
    followed.settle()
    assert len(followed.recorder.of("bind")) == 3


def test_a_server_that_hangs(followed: Followed) -> None:
    followed.add(1)
    followed.settle()
    followed.server.pause()
    try:
        followed.wait_for_loss(1)
    finally:
        followed.server.resume()
    followed.add(2)
    followed.settle()
    assert not followed.recorder.of("delete")
