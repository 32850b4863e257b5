# SPDX-License-Identifier: BSD-3-Clause
"""A little of the fuzzing, each time; the rest is ``python -m tests.fuzz --seconds 600``."""

from __future__ import annotations

from typing import Callable

import pytest

from syncrepl_client.protocol.dialect import OTHER
from syncrepl_client.protocol.messages import Entry, IdSet, Message, PhaseEnd, State
from tests.fuzz import engines, sequences
from tests.fuzz.messages import UUIDS, Case, Search
from tests.fuzz.targets import HOSTILE, TARGETS

ONE = UUIDS[0]
FIRST_SEED = 20261123

every_target = pytest.mark.parametrize("name", TARGETS)
every_store = pytest.mark.parametrize("check", [sequences.in_memory, sequences.in_sqlite])


@every_target
def test_corpus(name: str) -> None:
    for data in TARGETS[name].corpus:
        TARGETS[name].check(data)


@pytest.mark.parametrize(("name", "data"), HOSTILE)
def test_large_inputs_take_no_more_than_their_time(name: str, data: bytes) -> None:
    """Linear in their length, or nearly: a quadratic decoder takes minutes over these."""
    with engines.time_limit(5):
        TARGETS[name].check(data)


def test_guided_by_coverage() -> None:
    if not engines.atheris_found():
        pytest.skip(engines.ATHERIS_MISSING)
    engines.run_atheris("sync_info", 1)


@every_target
def test_without_guidance(name: str) -> None:
    engines.run_hypothesis(name, 0, FIRST_SEED)


@pytest.mark.parametrize("name", sequences.CHECKS)
def test_sequences(name: str) -> None:
    sequences.run(name, 0, FIRST_SEED)


def add(uuid: bytes, name: str = "dc=x") -> Entry:
    return Entry(State.ADD, uuid, name, {})


END = PhaseEnd(True, True, b"c")

FOUND: list[list[list[Message]]] = [
    [[add(ONE), END, IdSet((ONE, ONE), True)]],
]
"""What once broke the protocol."""


@every_store
@pytest.mark.parametrize("searches", FOUND)
def test_found(check: Callable[[Case], None], searches: list[list[Message]]) -> None:
    check(Case(OTHER, True, False, [Search(False, each) for each in searches]))


def test_the_time_limit_ends_a_loop() -> None:
    def hang() -> None:
        while True:
            pass

    with pytest.raises(engines.TooSlow), engines.time_limit(0.05):
        hang()
