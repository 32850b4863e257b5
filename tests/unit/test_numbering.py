# SPDX-License-Identifier: BSD-3-Clause
"""389-ds's change numbers: what is lost between the stages, what comes late."""

from __future__ import annotations

import pytest

from syncrepl_client.cookie import change_number
from syncrepl_client.dialect import DS389, OPENLDAP, Dialect
from syncrepl_client.messages import Done, Message, NewCookie, RefreshRequired
from syncrepl_client.protocol import SearchAgain
from tests.unit.driver import Driver, entry, persist

NONE = 2**32 - 1


def numbered(number: int) -> bytes:
    return b"h:389#cn=dm:dc=x:(cn=a#b)#%d" % number


def ds389(final: int = 5, *, resumed: bool = True, dialect: Dialect = DS389) -> Driver:
    """In the persist stage, after a refresh that ended with that number."""
    driver = Driver(dialect)
    if resumed:
        driver.initial(cookie=numbered(1))
    driver.feed(persist(cookie=numbered(final)))
    return driver


def facts(driver: Driver, message: Message) -> list[object]:
    return list(driver.sync.receive(message))


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


def test_a_contiguous_start_is_settled() -> None:
    driver = ds389()
    assert driver.sync.numbering.unsettled
    assert driver.feed(entry(1, cookie=numbered(6))) == ["add cn=1"]
    assert not driver.sync.numbering.unsettled
    assert driver.feed(entry(2, cookie=numbered(9))) == ["add cn=2"]
    assert driver.cookie == numbered(9)


@pytest.mark.parametrize("number", [7, 100, 5, 2, NONE])
def test_another_start_may_lack_a_change(number: int) -> None:
    driver = ds389()
    [fact] = facts(driver, entry(1, cookie=numbered(number)))
    assert isinstance(fact, SearchAgain)
    assert "not with 6" in fact.reason
    assert driver.sync.cookie == numbered(5)
    assert len(driver.store) == 0


def test_only_a_cookie_can_tell() -> None:
    driver = ds389()
    driver.feed(entry(1))
    assert driver.sync.numbering.unsettled
    assert isinstance(facts(driver, NewCookie(numbered(7)))[0], SearchAgain)


@pytest.mark.parametrize("message", [Done(None), RefreshRequired()])
def test_ends_are_ends(message: Message) -> None:
    driver = ds389()
    assert not any(isinstance(fact, SearchAgain) for fact in facts(driver, message))


def test_no_search_without_a_cookie_lacks_one() -> None:
    driver = ds389(resumed=False)
    assert not driver.sync.numbering.unsettled
    assert driver.feed(entry(1, cookie=numbered(7))) == ["add cn=1"]


def test_a_search_that_goes_on_all_the_same() -> None:
    driver = ds389()
    driver.sync = type(driver.sync)(
        driver.sync.request._replace(watch=False), driver.store, driver.store.named
    )
    driver.feed(persist(cookie=numbered(5)))
    assert driver.feed(entry(1, cookie=numbered(7))) == ["add cn=1"]


def test_others_numbers_mean_nothing() -> None:
    driver = ds389(dialect=OPENLDAP)
    assert not driver.sync.numbering.unsettled
    assert driver.feed(entry(1, cookie=numbered(9))) == ["add cn=1"]
    assert not driver.sync.numbering.gap
    assert driver.sync.numbering.settle(9) is None


@pytest.mark.parametrize(("last", "lost"), [(5, False), (4, False), (None, False), (6, True)])
def test_silence_is_settled_by_the_last_number(last: int | None, lost: bool) -> None:
    driver = ds389()
    assert (driver.sync.numbering.settle(last) is not None) is lost
    assert not driver.sync.numbering.unsettled
    assert driver.sync.numbering.settle(100) is None


# --- what comes late


def test_the_cookie_never_goes_back() -> None:
    driver = ds389()
    said = [(6, 6), (8, 8), (NONE, 8), (3, 8), (8, 8), (9, 9)]
    for number, kept in said:
        driver.feed(entry(1, sn=str(number), cookie=numbered(number)))
        assert driver.cookie == numbered(kept)


def test_a_gap_is_closed_by_what_comes_late() -> None:
    driver = ds389()
    driver.feed(entry(1, cookie=numbered(6)))
    assert not driver.sync.numbering.gap
    driver.feed(entry(2, cookie=numbered(9)))
    assert driver.sync.numbering.gap
    driver.feed(entry(3, cookie=numbered(NONE)))
    assert driver.sync.numbering.gap
    driver.feed(entry(4, cookie=numbered(2)))
    assert not driver.sync.numbering.gap
    driver.feed(entry(5, cookie=numbered(10)))
    assert not driver.sync.numbering.gap


def test_what_does_not_come_was_outside_the_search() -> None:
    driver = ds389()
    driver.feed(entry(1, cookie=numbered(6)), entry(2, cookie=numbered(100)))
    assert driver.sync.numbering.gap
    driver.sync.numbering.close_gap()
    assert not driver.sync.numbering.gap
    driver.feed(entry(3, cookie=numbered(101)))
    assert not driver.sync.numbering.gap
    driver.feed(entry(4, cookie=numbered(103)))
    assert driver.sync.numbering.gap
