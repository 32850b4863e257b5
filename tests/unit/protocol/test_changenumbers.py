# SPDX-License-Identifier: BSD-3-Clause
"""389-ds's change numbers: what is lost between the stages, what comes late."""

from __future__ import annotations

import pytest

from syncrepl_client.protocol.changenumbers import StageGap
from syncrepl_client.protocol.cookie import change_number
from syncrepl_client.protocol.dialect import DS389, OPENLDAP
from tests.unit.driver import Driver, entry, numbered, persist

NONE = 2**32 - 1


def persisting() -> Driver:
    """In the persist stage, after a refresh that ended with number 5."""
    driver = Driver(DS389)
    driver.initial(cookie=numbered(1))
    driver.feed(persist(cookie=numbered(5)))
    return driver


@pytest.mark.parametrize(
    ("cookie", "number"),
    [
        (numbered(17), 17),
        (numbered(0), 0),
        (numbered(NONE - 1), NONE - 1),
        (numbered(NONE), None),
        (numbered(2**64 - 1), None),
        (b"h:389#\nuid=a:dc=x:(a=b)#3", 3),
        (b"h:389##3", 3),
        (b"h:389#3", None),
        (b"h:389#a#", None),
        (b"h:389#a#-1", None),
        (b"h:389#a#1" + b"0" * 20, None),
        (b"rid=000,csn=20261123120000.000001Z#000000#000#000000", None),
        (b"#1", None),
        (b"1", None),
        (b"", None),
        (None, None),
    ],
)
def test_change_number(cookie: bytes | None, number: int | None) -> None:
    assert change_number(cookie) == number


def stage_gap(*numbers: int) -> StageGap:
    """After a refresh with number 5, when changes with these numbers have arrived."""
    made = StageGap(5)
    for number in numbers:
        made.arrives(numbered(number))
    return made


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        ((), 0),
        ((6, 7, 8), 0),
        ((7,), 1),
        ((100,), 94),
        ((6, 8), 1),
        ((8, 7, 6), 0),
        ((NONE,), 0),
        ((3, NONE, 6), 0),
        ((7, NONE, 3), 1),  # they may have had the numbers 8 and 9
        ((6, 6, 8), 1),
    ],
)
def test_each_number_must_come(numbers: tuple[int, ...], missing: int) -> None:
    busy = stage_gap(*numbers)
    busy.answered(None)
    assert busy.missing == missing


@pytest.mark.parametrize(("last", "missing"), [(5, 0), (4, 0), (None, 0), (6, 1), (8, 3)])
def test_the_last_number_tells_of_what_did_not_arrive(last: int | None, missing: int) -> None:
    silent = stage_gap()
    assert not silent.asked
    silent.answered(last)
    assert silent.asked
    assert silent.missing == missing


def test_what_was_on_its_way_when_the_server_was_asked() -> None:
    busy = stage_gap(6)
    busy.answered(8)
    assert busy.missing == 2
    busy.arrives(numbered(8))
    assert busy.missing == 1
    busy.arrives(numbered(10))  # after that nothing is lost
    assert busy.missing == 1
    busy.arrives(numbered(7))
    assert busy.missing == 0


def test_what_has_no_cookie_is_no_change() -> None:
    quiet = stage_gap(6)
    for nothing in (None, b""):
        quiet.arrives(nothing)
    quiet.answered(7)
    assert quiet.missing == 1


def test_others_numbers_mean_nothing() -> None:
    driver = Driver(OPENLDAP)
    driver.initial(cookie=b"rid=000,csn=")
    driver.feed(persist())
    assert driver.feed(entry(1, cookie=numbered(9))) == ["add cn=1"]
    assert not driver.sync.change_numbers.gap


# --- what comes late


def test_the_cookie_never_goes_back() -> None:
    driver = persisting()
    said = [(6, 6), (8, 8), (NONE, 8), (3, 8), (8, 8), (9, 9)]
    for number, kept in said:
        driver.feed(entry(1, sn=str(number), cookie=numbered(number)))
        assert driver.cookie == numbered(kept)


def test_a_gap_is_closed_by_what_comes_late() -> None:
    driver = persisting()
    driver.feed(entry(1, cookie=numbered(6)))
    assert not driver.sync.change_numbers.gap
    driver.feed(entry(2, cookie=numbered(9)))
    assert driver.sync.change_numbers.gap
    driver.feed(entry(3, cookie=numbered(NONE)))
    assert driver.sync.change_numbers.gap
    driver.feed(entry(4, cookie=numbered(2)))
    assert not driver.sync.change_numbers.gap
    driver.feed(entry(5, cookie=numbered(10)))
    assert not driver.sync.change_numbers.gap


def test_what_does_not_come_was_outside_the_search() -> None:
    driver = persisting()
    driver.feed(entry(1, cookie=numbered(6)), entry(2, cookie=numbered(100)))
    assert driver.sync.change_numbers.gap
    driver.sync.change_numbers.close_gap()
    assert not driver.sync.change_numbers.gap
    driver.feed(entry(3, cookie=numbered(101)))
    assert not driver.sync.change_numbers.gap
    driver.feed(entry(4, cookie=numbered(103)))
    assert driver.sync.change_numbers.gap
