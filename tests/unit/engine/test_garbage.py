# SPDX-License-Identifier: BSD-3-Clause
"""The garbage collector during a refresh: a program's own setting comes back, and stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from syncrepl_client.engine.garbage import fewer_collections

DEFAULT = (700, 10, 10)
RARE = (50_000, 3, 2)
NEVER = (0, 10, 10)


@pytest.fixture(autouse=True)
def default() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*DEFAULT)
    yield
    gc.set_threshold(*before)


def test_in_a_refresh_it_runs_less_often() -> None:
    with fewer_collections(refreshing=True):
        assert gc.get_threshold() == (10_000, 10, 10)
    assert gc.get_threshold() == DEFAULT


def test_it_comes_back_after_an_error() -> None:
    with pytest.raises(KeyError), fewer_collections(refreshing=True):
        raise KeyError
    assert gc.get_threshold() == DEFAULT


def test_not_in_the_persist_stage() -> None:
    with fewer_collections(refreshing=False):
        assert gc.get_threshold() == DEFAULT


@pytest.mark.parametrize("setting", [RARE, NEVER])
def test_a_program_that_wants_fewer_still(setting: tuple[int, int, int]) -> None:
    gc.set_threshold(*setting)
    with fewer_collections(refreshing=True):
        assert gc.get_threshold() == setting
    assert gc.get_threshold() == setting


def test_what_a_callback_sets_stays() -> None:
    with fewer_collections(refreshing=True):
        gc.set_threshold(*RARE)
    assert gc.get_threshold() == RARE


def test_two_clients_in_turn() -> None:
    one, other = fewer_collections(refreshing=True), fewer_collections(refreshing=True)
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    other.__exit__(None, None, None)
    assert gc.get_threshold() == DEFAULT
