# SPDX-License-Identifier: BSD-3-Clause
"""Two entries with one key: who stays, who goes, and what is told of it.

Nobody knows whether ``x`` heeds case.  ``cn`` does on no server; that one did is here, too.
"""

from __future__ import annotations

import pytest

from syncrepl_client.entries import dn
from syncrepl_client.protocol.dialect import DS389, OPENLDAP, OTHER, Dialect
from tests.unit.driver import BASE, Driver, done, entry, gone, persist, present, uid


def key_of(driver: Driver, number: int) -> bytes:
    record = driver.store.get(uid(number))
    assert record is not None
    assert record.key == driver.store.key(record.dn)
    return record.key


# --- what 389-ds or OpenLDAP keeps apart has two keys


@pytest.mark.parametrize("dialect", [OPENLDAP, DS389, OTHER])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cn=Weiss", "cn=Weiß"), ("cn=\u03c3", "cn=\u03c2"), ("cn=Ș", "cn=ș"),
        ("cn=a b", "cn=a\u00a0b"),
        ("cn=é", "cn=e\u0301"), ("cn=\\20a", "cn=a"), ("cn=a=b", "cn=a\\3Db"),
        ("labeledURI=http://h/A", "labeledURI=http://h/a"), ("userPassword=A", "userPassword=a"),
    ],
)  # fmt: skip
def test_what_a_server_keeps_apart(dialect: Dialect, one: str, other: str) -> None:
    driver = Driver(dialect)
    driver.initial(entry(1, one), entry(2, f"cn=c,{one}"))
    assert driver.feed(entry(3, f"cn=c,{other}"), entry(4, other), persist()) == [
        f"add cn=c,{other}", f"add {other}", "refresh done",
    ]  # fmt: skip
    assert driver.feed(entry(5, f"cn=d,{other}"), entry(1, "cn=z")) == [
        f"add cn=d,{other}", f"rename {one} -> cn=z", f"rename cn=c,{one} -> cn=c,cn=z",
    ]  # fmt: skip
    assert driver.idle() == []
    assert not driver.store.namesakes


# --- a refresh


@pytest.mark.parametrize("dialect", [OPENLDAP, OTHER])
@pytest.mark.parametrize(("one", "other"), [("x=a", "x=A"), ("cn=a", "cn=A"), ("x=a b", "x=a  b")])
def test_two_that_a_refresh_names(dialect: Dialect, one: str, other: str) -> None:
    driver = Driver(dialect)
    assert driver.feed(entry(1, one), entry(2, other), persist(cookie=b"c")) == [
        f"add {one}", "nothing", f"add {other}", "refresh done",
    ]  # fmt: skip
    assert driver.names == sorted([one, other])
    assert driver.idle() == []
    driver.search(afresh=True)
    assert driver.feed(entry(2, other), entry(1, one), persist()) == ["refresh done"]


def test_one_that_a_resumed_refresh_does_not_name() -> None:
    """The attribute may heed case: both are there.  If it does not, a delete is still to come."""
    driver = Driver()
    driver.initial(entry(1, "x=a", v="1"))
    assert driver.feed(entry(2, "x=A")) == ["nothing", "add x=A"]
    assert driver.feed(persist()) == ["refresh done"]
    driver.search()
    assert driver.feed(gone(1), entry(3, "x=a"), persist()) == [
        "delete x=a", "add x=a", "nothing", "refresh done",
    ]  # fmt: skip


@pytest.mark.parametrize("told", [True, False])
def test_an_entry_is_deleted_and_added_again_in_another_spelling(told: bool) -> None:
    """All servers fold that: the one that was there is deleted first, whatever comes when."""
    driver = Driver()
    driver.initial(entry(1, "uid=ann", v="1"), entry(2, "cn=c,uid=ann"))
    messages = [gone(1, 2)] if told else []
    assert driver.feed(*messages, entry(3, "uid=Ann")) == [
        "delete cn=c,uid=ann", "delete uid=ann", "add uid=Ann",
    ]  # fmt: skip
    assert driver.feed(persist())[-1] == ("refresh done" if told else "start over")
    assert driver.names == ["uid=Ann"]
    assert not driver.store.namesakes


def test_two_that_swap_their_spellings() -> None:
    driver = Driver()
    driver.feed(entry(1, "x=a"), entry(2, "x=A"), entry(3, "cn=c,x=a"), persist(cookie=b"c"))
    driver.search()
    assert driver.feed(entry(2, "x=a"), entry(1, "x=A"), persist()) == [
        "delete cn=c,x=a", "delete x=a", "rename x=A -> x=a",
        "add x=A", "add cn=c,x=A", "refresh done",
    ]  # fmt: skip


def test_the_same_spelling_is_the_same_name() -> None:
    """The directory changed while it was searched."""
    driver = Driver()
    driver.initial(entry(9, "cn=9"))
    words = driver.feed(entry(1, "x=A b"), entry(2, "X=\\41 b"))
    assert words == ["add x=A b", "delete x=A b", "add X=\\41 b"]
    assert not driver.store.namesakes
    assert driver.feed(persist()) == ["start over"]


def test_a_server_that_respells_knows_no_namesakes() -> None:
    driver = Driver(DS389)
    driver.initial(entry(1, "x=a"), entry(2, "cn=c,X=A"), entry(3, "cn=d,x=a"))
    assert driver.feed(entry(4, "x=A"), entry(5, "cn=c,x=A"), done(deletes=False))[:5] == [
        "delete cn=d,x=a", "delete cn=c,X=A", "delete x=a", "add x=A", "add cn=c,x=A",
    ]  # fmt: skip
    driver = Driver(DS389)
    driver.initial(entry(1, "x=a"), entry(2, "cn=c,X=A"), entry(3, "cn=d,x=a"))
    assert driver.feed(entry(1, "x=b"), persist()) == [
        "rename x=a -> x=b", "rename cn=c,X=A -> cn=c,x=b", "rename cn=d,x=a -> cn=d,x=b",
        "refresh done",
    ]  # fmt: skip


# --- the persist stage


def test_one_is_added_beside_the_other() -> None:
    driver = Driver()
    driver.feed(entry(1, "x=a"), entry(2, "cn=c,x=a"), persist())
    assert driver.feed(entry(3, "x=A"), entry(4, "cn=c,x=A")) == [
        "nothing", "nothing", "add x=A", "add cn=c,x=A",
    ]  # fmt: skip
    assert driver.idle() == []
    assert driver.feed(entry(1, "x=b")) == ["rename x=a -> x=b", "rename cn=c,x=a -> cn=c,x=b"]
    assert driver.feed(gone(4), gone(3)) == ["delete cn=c,x=A", "delete x=A"]
    assert driver.names == ["cn=c,x=b", "x=b"]


def test_what_no_server_keeps_apart_is_asked_again() -> None:
    driver = Driver()
    driver.initial(entry(1, "cn=a"))
    driver.feed(persist())
    assert driver.feed(entry(2, "cn=A")) == ["nothing", "add cn=A"]
    assert driver.idle() == ["start over"]
    driver.search(afresh=True)
    assert driver.feed(entry(2, "cn=A"), persist()) == ["delete cn=a", "refresh done"]
    assert driver.idle() == []


def test_another_takes_the_name_as_it_is_spelled() -> None:
    driver = Driver()
    driver.feed(entry(1, "x=a"), entry(2, "x=A"), persist())
    assert driver.feed(entry(3, "x=a")) == ["delete x=a", "add x=a"]
    assert driver.idle() == ["start over"]


def test_an_entry_is_moved_to_below_its_parents_namesake() -> None:
    driver = Driver()
    driver.feed(entry(1, "x=a"), entry(2, "x=A"), entry(3, "cn=c,x=a"), persist())
    assert driver.feed(entry(3, "cn=c,x=A")) == ["rename cn=c,x=a -> cn=c,x=A"]
    assert driver.feed(entry(2, "x=b")) == ["rename x=A -> x=b", "rename cn=c,x=A -> cn=c,x=b"]


# --- what is below


def test_children_that_come_before_their_parents() -> None:
    driver = Driver()
    words = driver.feed(
        entry(1, "cn=c,x=a"), entry(2, "cn=d,x=a"), entry(3, "cn=c,x=A"), entry(4, "x=A"),
        entry(5, "cn=e,x=A"), entry(6, "x=a"), persist(),
    )  # fmt: skip
    assert words == [
        "add cn=c,x=a", "add cn=d,x=a", "nothing", "nothing", "add cn=c,x=A", "add x=A",
        "add cn=e,x=A", "add x=a", "refresh done",
    ]  # fmt: skip
    assert {number: dn.parent(key_of(driver, number)) for number in (1, 2, 3, 5)} == {
        1: key_of(driver, 6), 2: key_of(driver, 6), 3: key_of(driver, 4), 5: key_of(driver, 4),
    }  # fmt: skip
    assert sorted(driver.feed(entry(4, "x=b"))) == [
        "rename cn=c,x=A -> cn=c,x=b", "rename cn=e,x=A -> cn=e,x=b", "rename x=A -> x=b",
    ]  # fmt: skip


def test_namesakes_go_where_their_parent_goes() -> None:
    driver = Driver()
    driver.initial(entry(1, "cn=p"), entry(2, "x=a,cn=p"), entry(3, "x=A,cn=p"),
                   entry(4, "cn=c,x=A,cn=p"))  # fmt: skip
    assert driver.feed(entry(1, "cn=q"), persist()) == [
        "rename cn=p -> cn=q", "rename x=A,cn=p -> x=A,cn=q",
        "rename cn=c,x=A,cn=p -> cn=c,x=A,cn=q", "rename x=a,cn=p -> x=a,cn=q", "refresh done",
    ]  # fmt: skip
    assert driver.feed(entry(5, "cn=c,x=a,cn=q"), entry(2, "x=b,cn=q")) == [
        "add cn=c,x=a,cn=q", "rename x=a,cn=q -> x=b,cn=q",
        "rename cn=c,x=a,cn=q -> cn=c,x=b,cn=q",
    ]  # fmt: skip


def test_a_child_and_the_namesake_of_its_parent_swap_levels() -> None:
    """To take the name gives its own old key another form, while what is below it follows."""
    driver = Driver()
    driver.feed(entry(1, "x=N"), entry(2, "x=m,x=N"), entry(3, "cn=c,x=m,x=N"),
                entry(4, "cn=C,x=m,x=N"), persist())  # fmt: skip
    assert sorted(driver.feed(entry(2, "x=n"))) == [
        *["nothing"] * 4, "rename cn=C,x=m,x=N -> cn=C,x=n", "rename cn=c,x=m,x=N -> cn=c,x=n",
        "rename x=m,x=N -> x=n",
    ]  # fmt: skip


def test_the_name_of_the_search_base_may_be_spelled_anew() -> None:
    """Its key remains the one that DNs are compared with."""
    driver = Driver()
    driver.feed(entry(1, "x=a"), persist(cookie=b"c"))
    driver.store.begin()
    driver.store.tell_apart(dn.key(BASE))
    record = driver.store.get(uid(1))
    assert record is not None
    driver.store.put(record._replace(key=driver.store.key(record.dn)))
    driver.store.commit()
    driver.search()
    assert driver.feed(present(1), persist(deletes=False)) == ["refresh done"]
    assert driver.feed(entry(2, "cn=c,x=a"), entry(1, "x=b")) == [
        "add cn=c,x=a", "rename x=a -> x=b", "rename cn=c,x=a -> cn=c,x=b",
    ]  # fmt: skip
