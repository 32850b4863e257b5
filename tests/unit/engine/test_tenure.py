# SPDX-License-Identifier: BSD-3-Clause
"""Whose a shared store is, without a database: a store that does as it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Callable

import pytest

from syncrepl_client import Backoff
from syncrepl_client.engine import tenure as module
from syncrepl_client.engine.tenure import State, Tenure
from syncrepl_client.exceptions import (
    LDAPUrlConflict,
    StoreError,
    StoreLocked,
    StoreLost,
    StoreUnreachable,
)
from syncrepl_client.store import MemoryStore
from syncrepl_client.waiting import coroutines
from syncrepl_client.waiting.waker import Waker
from tests.patience import HANGS_SECONDS


class Shared(MemoryStore):
    """Says what it is told to when it is to be taken.

    Attributes:
        does: what happened to it.
        outcomes: of the next attempts to take it; the last one is that of all that follow.
    """

    def __init__(self, *outcomes: bool | Exception, held: bool = False) -> None:
        super().__init__()
        self.does: list[str] = []
        self.outcomes = list(outcomes)
        self.is_held, self.is_lost = held, False
        self.may_end = threading.Event()
        self.may_end.set()

    @property
    def lease(self) -> float:
        return 10.0

    @property
    def held(self) -> bool:
        return self.is_held

    @property
    def lost(self) -> bool:
        return self.is_lost

    @property
    def next_keep(self) -> float:
        return 42.0

    def take(self) -> bool:
        self.may_end.wait(HANGS_SECONDS)
        self.does.append("take")
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def keep(self) -> None:
        self.does.append("keep")

    def release(self) -> None:
        self.does.append("release")

    def drop(self) -> None:
        self.does.append("drop")

    def close(self) -> None:
        self.does.append("close")
        super().close()


made: list[Tenure] = []


@pytest.fixture
def waker() -> Iterator[Waker]:
    """What is closed after all that may wake it."""
    waker = Waker()
    yield waker
    while made:
        made.pop().close()
    waker.close()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ATTEMPT_SECONDS", 0.0)
    monkeypatch.setattr(module, "RELEASE_SECONDS", 0.0)


def tenure(
    store: MemoryStore,
    waker: Waker,
    renew: Callable[[], None] = lambda: None,
    backoff: Backoff = Backoff(0),  # noqa: B008 - it is frozen
) -> Tenure:
    made.append(Tenure(store, waker, backoff, renew))
    return made[-1]


def ready(tenure: Tenure, seconds: float | None = None, *, stopped: bool = False) -> bool:
    deadline = None if seconds is None else time.monotonic() + seconds
    return coroutines.run(tenure.ready(deadline, lambda: stopped))


def test_a_store_in_files_is_held_from_the_beginning(waker: Waker) -> None:
    one = tenure(MemoryStore(), waker)
    assert ready(one, 0)
    assert one.bound(7.0) == 7.0
    assert one.bound(None) is None
    one.release()
    assert one.held


def test_a_held_store_is_kept(waker: Waker) -> None:
    store = Shared(True, held=True)
    one = tenure(store, waker)
    assert ready(one, 0)
    assert store.does == ["keep"]
    assert [one.bound(deadline) for deadline in (None, 41.0, 43.0)] == [42.0, 41.0, 42.0]


def test_standing_by_until_it_is_free(waker: Waker) -> None:
    store = Shared(False, False, True)
    renewed: list[State] = []
    one = tenure(store, waker, lambda: renewed.append(one.state))
    assert not one.held
    assert ready(one)
    assert one.held
    assert renewed == [State.STANDBY]
    assert store.does == ["take", "take", "take", "keep"]


def test_it_does_not_wait_for_longer_than_it_may(waker: Waker) -> None:
    store = Shared(False)
    one = tenure(store, waker)
    assert not ready(one, 0)
    assert not ready(one, 0.01)
    assert not ready(one, stopped=True)


def test_an_attempt_goes_on_between_two_polls(waker: Waker) -> None:
    """What takes long is not begun again."""
    store = Shared(True)
    store.may_end.clear()
    one = tenure(store, waker)
    assert not ready(one, 0)
    assert not ready(one, 0)
    store.may_end.set()
    assert ready(one)
    assert store.does == ["take", "keep"]


def test_a_stop_ends_the_wait(waker: Waker) -> None:
    store = Shared(False)
    one = tenure(store, waker)
    threading.Timer(0.05, waker.stop).start()
    assert not coroutines.run(one.ready(None, lambda: waker.stopping))


def test_a_lost_store_is_taken_again(waker: Waker) -> None:
    store = Shared(StoreUnreachable("down"), False, True, held=True)
    one = tenure(store, waker)
    one.lose()
    assert one.state is State.LOST
    with pytest.raises(StoreUnreachable):
        ready(one)
    one.lose()
    assert ready(one)
    assert store.does == ["drop", "take", "drop", "take", "take", "keep"]


def test_delays_grow_until_there_is_a_connection(waker: Waker) -> None:
    one = tenure(Shared(True, held=True), waker, backoff=Backoff(1, 2, 8, jitter=0))
    assert [one.lose() for _ in range(4)] == [1, 2, 4, 8]
    again = tenure(Shared(False, held=True), waker, backoff=Backoff(0.01, 100, 8, jitter=0))
    assert again.lose() == 0.01
    assert not ready(again, 0.1)
    assert again.state is State.STANDBY
    assert again.lose() == 0.01


@pytest.mark.parametrize("error", [StoreLocked("another"), StoreError("no grants")])
def test_other_errors_are_raised(error: StoreError, waker: Waker) -> None:
    one = tenure(Shared(error), waker)
    with pytest.raises(type(error)):
        ready(one)
    assert not one.held


def test_a_store_of_another_search_is_not_held(waker: Waker) -> None:
    def renew() -> None:
        raise LDAPUrlConflict("another search")

    store = Shared(True)
    one = tenure(store, waker, renew)
    with pytest.raises(LDAPUrlConflict):
        ready(one)
    assert store.does == ["take", "release"]
    assert not one.held


def test_what_is_a_loss(waker: Waker) -> None:
    store = Shared(True, held=True)
    one = tenure(store, waker)
    lost = StoreLost("lost")
    assert one.loss(lost) is lost
    assert one.loss(KeyError("a callback's")) is None
    store.is_lost = True
    found = one.loss(KeyError("a callback's"))
    assert isinstance(found, StoreLost)
    assert "a callback's" in str(found)


def test_it_is_handed_over_and_taken_again(waker: Waker) -> None:
    store = Shared(True, held=True)
    one = tenure(store, waker)
    one.release()
    one.release()
    assert not one.held
    assert ready(one)
    assert store.does == ["release", "take", "keep"]


def test_closing_while_it_is_taken(waker: Waker) -> None:
    """The thread that uses the connection closes it."""
    store = Shared(True)
    store.may_end.clear()
    one = tenure(store, waker)
    assert not ready(one, 0)
    one.close()
    assert store.does == []
    store.may_end.set()
    deadline = time.monotonic() + HANGS_SECONDS
    while store.does != ["take", "close"]:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_closing(waker: Waker) -> None:
    store = Shared(True, held=True)
    tenure(store, waker).close()
    assert store.does == ["close"]
