# SPDX-License-Identifier: BSD-3-Clause
"""From one 389-ds to another that lags behind it: nobody is reported deleted for that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.exceptions import LaggingServer
from syncrepl_client.waiting.backoff import Backoff
from tests.conftest import missing_servers_skip
from tests.faults.recorder import Recorder, contents
from tests.servers.people import person, person_dn
from tests.servers.replicas import wait_until
from tests.servers.suppliers import Supplier, suppliers

SOON = Backoff(initial=0.1, factor=1.5, maximum=0.5)
POLLS = 400


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Supplier, Supplier]]:
    with missing_servers_skip(), suppliers() as both:
        yield both


class Followed:
    """Two servers, and a client of the one that runs, the first one first."""

    def __init__(self, pair: tuple[Supplier, Supplier], path: Path, patience: float) -> None:
        self.one, self.two = pair
        self.recorder = Recorder()
        self.recorder.on["disconnected"] = self.set_back
        self.client = Syncrepl(
            f"{path}/",
            self.recorder,
            SyncreplMode.REFRESH_AND_PERSIST,
            [f"{self.one.url}/ou=people,{self.one.suffix}??sub", self.two.url],
            reconnect=SOON,
            lag_patience=patience,
            max_deletes=None,
        )

    def set_back(self) -> None:
        """What was told and not committed is told again."""
        self.recorder.mirror = contents(self.client)

    def poll_until(self, true: Callable[[], object]) -> None:
        for _ in range(POLLS):
            if true():
                return
            self.client.poll(0.1)
        raise AssertionError(f"it never came to that; heard {self.recorder.heard[-20:]}")

    def has(self, number: int) -> bool:
        return person_dn(number) in self.recorder.mirror

    def add(self, server: Supplier, number: int) -> None:
        with server.connected() as connection:
            connection.add_s(person_dn(number), list(person(number).items()))

    def fall_behind(self, number: int) -> None:
        """The client hears of two persons, the second server of one."""
        self.add(self.one, number)
        wait_until("no replication", lambda: self.two.has(person_dn(number)))
        self.poll_until(lambda: self.has(number))
        self.two.pause()
        self.add(self.one, number + 1)
        self.poll_until(lambda: self.has(number + 1))
        self.one.kill()
        self.two.resume()

    @property
    def doubts(self) -> list[str]:
        heard = self.recorder.of("disconnected")
        return [str(error) for _, error in heard if isinstance(error, LaggingServer)]


@pytest.fixture
def follow(pair: Any, tmp_path: Path) -> Iterator[Callable[..., Followed]]:
    begun: list[Followed] = []

    def begin(patience: float = 300) -> Followed:
        begun.append(Followed(pair, tmp_path, patience))
        return begun[0]

    yield begin
    begun[0].client.unbind()
    if not pair[0].running:
        pair[0].start()


@pytest.mark.parametrize("hidden", [False, True])
def test_nobody_is_deleted(follow: Callable[..., Followed], hidden: bool) -> None:
    """Whether the replica update vector says that the server lags, or nobody knows."""
    followed = follow()
    if hidden:
        followed.one.hide_vector(hidden=True)
    number = 10 if hidden else 0
    try:
        followed.fall_behind(number)
        followed.poll_until(lambda: len(followed.doubts) > 1)
        said = "can't be told" if hidden else "it knows the changes of server ID 1 up to"
        assert all(said in each for each in followed.doubts)
        followed.one.start()
        followed.poll_until(lambda: len(followed.recorder.of("refresh_done")) > 1)
        wait_until("no replication", lambda: followed.two.has(person_dn(number + 1)))
        followed.add(followed.two, number + 2)
        followed.poll_until(lambda: followed.has(number + 2))
        assert contents(followed.client) == followed.recorder.mirror
        assert not followed.recorder.of("delete")
    finally:
        if hidden:
            followed.two.hide_vector(hidden=False)


def test_patience_has_an_end(follow: Callable[..., Followed]) -> None:
    followed = follow(patience=1)
    followed.fall_behind(20)
    followed.poll_until(lambda: followed.recorder.of("delete"))
    assert followed.recorder.of("delete") == [("delete", person_dn(21))]
    assert followed.doubts
