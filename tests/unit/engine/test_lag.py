# SPDX-License-Identifier: BSD-3-Clause
"""A store's cookie beside what the server says: in step, behind, ahead, or not to be told."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from syncrepl_client.engine.lag import Lag, by_csns, by_number
from syncrepl_client.network.server import ServerFacts
from syncrepl_client.protocol.dialect import DS389

BLANK = Lag("ldap://here", "OpenLDAP")
NOON = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)


def csn(seconds: float, sid: str = "000") -> bytes:
    made = NOON + timedelta(seconds=seconds)
    return f"{made:%Y%m%d%H%M%S.%f}Z#000000#{sid}#000000".encode()


def cookie(*csns: bytes) -> bytes:
    return b"rid=000,csn=" + b";".join(csns)


def compare(stored: bytes, *there: bytes, now: float = 100) -> Lag:
    return by_csns(BLANK, stored, there, NOON + timedelta(seconds=now))


def test_in_step() -> None:
    found = compare(cookie(csn(1), csn(2, "001")), csn(2, "001"), csn(1))
    assert (found.in_step, found.seconds, found.ahead, found.reason) == (True, 0.0, False, None)
    assert [mark.sid for mark in found.marks] == ["000", "001"]
    assert found.marks[0].stored == found.marks[0].there == NOON + timedelta(seconds=1)


def test_behind_on_a_busy_server() -> None:
    """The last change is recent, and the state's is not."""
    found = compare(cookie(csn(0)), csn(99))
    assert (found.in_step, found.seconds) == (False, 99.0)


def test_one_change_that_was_missed_long_ago() -> None:
    """The changes lie close together, and it is long ago."""
    found = compare(cookie(csn(0)), csn(1), now=5000)
    assert (found.in_step, found.seconds) == (False, 4999.0)


def test_the_server_that_is_furthest_ahead_counts() -> None:
    found = compare(cookie(csn(0), csn(90, "001"), csn(5, "002")),
                    csn(95), csn(95, "001"), csn(5, "002"))  # fmt: skip
    assert found.seconds == 95.0
    assert [mark.behind for mark in found.marks] == [True, True, False]


def test_a_server_that_the_store_has_not_heard_of() -> None:
    found = compare(cookie(csn(0)), csn(0), csn(7, "001"))
    assert (found.in_step, found.seconds) == (False, None)


def test_a_store_that_is_newer() -> None:
    found = compare(cookie(csn(9)), csn(3))
    assert (found.in_step, found.ahead) == (True, True)


@pytest.mark.parametrize(
    ("stored", "there", "reason"),
    [
        (cookie(csn(1)), (), "does not tell its contextCSN"),
        (b"rid=000", (csn(1),), "has no CSN"),
        (b"host:389#who:what:#5", (csn(1),), "has no CSN"),
    ],
)
def test_what_can_not_be_told(stored: bytes, there: tuple[bytes, ...], reason: str) -> None:
    found = compare(stored, *there)
    assert found.in_step is found.seconds is None
    assert reason in (found.reason or "")


@pytest.mark.parametrize(
    ("stored", "last", "expected"),
    [
        (7, 7, (True, 0.0, 0, False)),
        (7, 9, (False, None, 2, False)),
        (9, 7, (True, 0.0, 0, True)),
    ],
)
def test_change_numbers(stored: int, last: int, expected: tuple[object, ...]) -> None:
    facts = ServerFacts(DS389, last_change=last)
    found = by_number(BLANK, b"host:389#who:what:(a=*)#%d" % stored, facts)
    assert (found.in_step, found.seconds, found.changes, found.ahead) == expected


def test_change_numbers_that_are_not_there() -> None:
    found = by_number(BLANK, b"host:389#who:what:(a=*)#5", ServerFacts(DS389))
    assert found.in_step is None
    assert "lastChangeNumber" in (found.reason or "")
    found = by_number(BLANK, b"csn=x", ServerFacts(DS389, last_change=5))
    assert found.in_step is None
    assert "no change number" in (found.reason or "")
