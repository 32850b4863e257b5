# SPDX-License-Identifier: BSD-3-Clause
"""How much a refresh may delete."""

from __future__ import annotations

import math
from typing import Any

import pytest

from syncrepl_client.changes import ChangeKind
from syncrepl_client.exceptions import ConfigurationError, StoreInvalid, TooManyDeletes
from syncrepl_client.protocol.guard import (
    DEFAULT_LIMIT,
    Guard,
    Limit,
    Tally,
    check_deletes,
    check_limit,
)


@pytest.mark.parametrize(
    ("limit", "deletes", "entries"),
    [
        (DEFAULT_LIMIT, 50, 100),
        (DEFAULT_LIMIT, 99, 99),
        (0.0, 0, 100),
        (1.0, 1000, 1000),
        (0, 0, 10),
        (3, 3, 4),
        (None, 10**6, 10**6),
    ],
)
def test_allowed(limit: Limit, deletes: int, entries: int) -> None:
    check_deletes(check_limit(limit), deletes, entries)


@pytest.mark.parametrize(
    ("limit", "deletes", "entries", "said"),
    [
        (DEFAULT_LIMIT, 51, 100, "51 of the store's 100"),
        (DEFAULT_LIMIT, 51, 100, "50% of the store"),
        (0.0, 1, 100, "0% of the store"),
        (0, 1, 1, "allows 0"),
        (3, 4, 10**6, "allows 3"),
        (3, 4, 10**6, r"allow_deletes\(\)"),
        (3, 4, 10**6, "max_deletes=None"),
    ],
)
def test_refused(limit: Limit, deletes: int, entries: int, said: str) -> None:
    with pytest.raises(TooManyDeletes, match=said) as caught:
        check_deletes(check_limit(limit), deletes, entries)
    assert (caught.value.deletes, caught.value.entries) == (deletes, entries)
    assert not caught.value.retriable


@pytest.mark.parametrize("limit", [-1, 1.5, -0.1, math.nan, True, "half", 1j])
def test_what_is_no_limit_is_refused(limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_deletes"):
        check_limit(limit)


def guard(limit: Limit, live: int, tally: Tally | None = None) -> tuple[Guard, list[int]]:
    """A guard, and the number of entries that it sees."""
    entries = [live]
    return Guard(limit, tally, lambda: entries[0]), entries


def test_each_delete_counts() -> None:
    counting, _ = guard(2, 10)
    for kind in (ChangeKind.DELETE, ChangeKind.ADD, ChangeKind.MODIFY, ChangeKind.DELETE):
        counting.count(kind)
    counting.check(0)
    for _ in range(2):
        with pytest.raises(TooManyDeletes, match=r"3 of the store's 10 .* 2 were reported"):
            counting.count(ChangeKind.DELETE)
    with pytest.raises(TooManyDeletes, match="12 of the store's 10"):
        counting.check(10)
    counting.limit = None
    counting.check(100)


def test_what_was_added_is_no_part_of_the_store() -> None:
    counting, entries = guard(0.5, 100)
    for _ in range(50):
        counting.count(ChangeKind.ADD)
        entries[0] += 1
    for _ in range(10):
        counting.count(ChangeKind.DELETE)
        entries[0] -= 1
    assert counting.entries == 100
    counting.check(40)
    with pytest.raises(TooManyDeletes, match="51 of the store's 100"):
        counting.check(41)


def test_a_later_search_counts_on() -> None:
    before, _ = guard(2, 10)
    before.count(ChangeKind.DELETE)
    assert before.tally == Tally(entries=10, deletes=1)
    counting, _ = guard(2, 500, Tally.parse(str(before.tally)))
    counting.count(ChangeKind.DELETE)
    with pytest.raises(TooManyDeletes, match="3 of the store's 10"):
        counting.count(ChangeKind.DELETE)


@pytest.mark.parametrize(("limit", "live"), [(None, 10), (0.5, 0), (3, 0)])
def test_nothing_to_count_on(limit: Limit, live: int) -> None:
    """The first refresh that is cut short leaves entries that are guarded from then on."""
    assert guard(limit, live)[0].tally is None


def test_no_tally() -> None:
    assert Tally.parse(None) is None
    for text in ("", "1", "1 of", "-1 of 2", "1 of 2 ", "x of y", "1 of 2\n"):
        with pytest.raises(StoreInvalid, match="tally"):
            Tally.parse(text)


def test_a_tally_says_whether_the_guard_ended_the_refresh() -> None:
    for tally in (Tally(100, 3), Tally(100, 3, 70)):
        assert Tally.parse(str(tally)) == tally
    assert str(Tally(100, 0, 70)) == "0 of 100, 70 refused"
