# SPDX-License-Identifier: BSD-3-Clause
"""Functions in threads of their own."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from syncrepl_client.waiting.background import Background
from syncrepl_client.waiting.waker import Waker, wait_for
from tests.patience import HANGS_SECONDS


@pytest.fixture
def waker() -> Iterator[Waker]:
    waker = Waker()
    yield waker
    waker.close()


def test_it_wakes_whoever_waits_for_the_result(waker: Waker) -> None:
    may_end = threading.Event()

    def work() -> int:
        may_end.wait(HANGS_SECONDS)
        return 7

    background = Background(work, waker=waker, name="works")
    assert not background.done
    with pytest.raises(RuntimeError, match="still being done"):
        background.result()
    may_end.set()
    while not background.done:
        wait_for(None, waker.descriptor)
        waker.clear()
    assert background.result() == 7


def test_an_exception_is_raised_by_the_result(waker: Waker) -> None:
    def work() -> None:
        raise KeyError("why")

    background = Background(work, waker=waker, name="works")
    wait_for(None, waker.descriptor)
    with pytest.raises(KeyError, match="why"):
        background.result()


@pytest.mark.parametrize("early", [True, False])
def test_what_is_abandoned_is_discarded(early: bool, waker: Waker) -> None:
    """As soon as it is there, which may be later; and nobody is woken for it."""
    may_end, discarded = threading.Event(), threading.Event()
    found: list[int] = []

    def work() -> int:
        may_end.wait(HANGS_SECONDS)
        return 7

    def discard(result: int) -> None:
        found.append(result)
        discarded.set()

    background = Background(work, discard, None if early else waker, name="works")
    if early:
        background.abandon()
    may_end.set()
    if not early:
        wait_for(None, waker.descriptor)
        background.abandon()
    assert discarded.wait(HANGS_SECONDS)
    assert found == [7]
