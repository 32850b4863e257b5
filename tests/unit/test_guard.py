# SPDX-License-Identifier: BSD-3-Clause
"""How much a refresh may delete."""

from __future__ import annotations

import math
from typing import Any

import pytest

from syncrepl_client.exceptions import ConfigurationError, TooManyDeletes
from syncrepl_client.guard import DEFAULT_LIMIT, Limit, check_deletes, check_limit


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
