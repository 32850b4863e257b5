# SPDX-License-Identifier: BSD-3-Clause
"""The protocol: cookies, 389-ds's ways, references, and the persist stage."""

from __future__ import annotations

import pytest

from syncrepl_client.dialect import APACHEDS, DS389, OPENLDAP, OTHER, Dialect
from syncrepl_client.messages import (
    Done,
    Entry,
    Message,
    NewCookie,
    PhaseEnd,
    State,
)
from tests.unit.driver import (
    BASE,
    Driver,
    csn,
    done,
    entry,
    gone,
    kept,
    persist,
    present,
    reference,
    slapd_cookie,
    uid,
)

# --- cookies


@pytest.mark.parametrize(
    "messages",
    [
        (entry(1, cookie=b"early"),),
        (gone(1, cookie=b"early"), entry(2)),
        (present(1, cookie=b"early"), NewCookie(b"later")),
        (PhaseEnd(False, False, b"early"), entry(2, cookie=b"later")),
        (PhaseEnd(True, False, b"early"),),
    ],
)
def test_cookies_wait_for_the_end_of_the_refresh(messages: tuple[Message, ...]) -> None:
    driver = Driver()
    driver.initial(entry(1))
    for message in messages:
        driver.feed(message)
        assert driver.cookie == b"start"
    driver.feed(persist(cookie=b"end"))
    assert driver.cookie == b"end"


def test_the_final_cookie_of_389_comes_with_the_deletes() -> None:
    driver = Driver(DS389)
    driver.initial(entry(1), entry(2))
    driver.feed(gone(1, cookie=b"end"))
    assert driver.cookie == b"start"
    driver.feed(entry(2, sn="new"), persist())
    assert driver.cookie == b"end"


def test_newcookie_in_a_refresh_is_kept_to_its_end() -> None:
    driver = Driver()
    driver.initial(entry(1))
    driver.feed(NewCookie(b"new"))
    assert driver.cookie == b"start"
    driver.feed(persist())
    assert driver.cookie == b"new"


def test_cookies_of_the_persist_stage() -> None:
    driver = Driver()
    driver.feed(persist(cookie=b"0"))
    messages: list[Message] = [
        entry(1, cookie=b"1"),
        entry(1, state=State.MODIFY, cookie=b"2", sn="x"),
        NewCookie(b"3"),
        gone(1, cookie=b"4"),
        entry(2, cookie=b"5"),
        entry(2, state=State.DELETE, cookie=b"6"),
        reference(3, "ldap://h/")._replace(cookie=b"7"),
        reference(3, state=State.DELETE)._replace(cookie=b"8"),
    ]
    for number, message in enumerate(messages, 1):
        driver.feed(message)
        assert driver.cookie == b"%d" % number
    driver.feed(entry(3), NewCookie(b""))
    assert driver.cookie == b"8"
    assert driver.feed(done(deletes=True, cookie=b"9")) == ["over"]
    assert driver.cookie == b"9"


def test_the_end_of_the_persist_stage_may_say_nothing() -> None:
    driver = Driver()
    driver.feed(entry(1), persist(cookie=b"c"))
    assert driver.feed(Done(None)) == ["over"]
    assert (driver.cookie, driver.names) == (b"c", ["cn=1"])


def test_openldaps_persist_cookies_are_merged() -> None:
    driver = Driver(OPENLDAP)
    driver.feed(persist(cookie=slapd_cookie(csn(1, 0), csn(1, 1))))
    driver.feed(entry(1, cookie=slapd_cookie(csn(2, 1))))
    assert driver.cookie == kept(csn(1, 0), csn(2, 1))
    driver.feed(NewCookie(slapd_cookie(csn(3, 2))))
    assert driver.cookie == kept(csn(1, 0), csn(2, 1), csn(3, 2))


@pytest.mark.parametrize("dialect", [DS389, APACHEDS, OTHER], ids=lambda dialect: dialect.name)
def test_other_cookies_are_not_touched(dialect: Dialect) -> None:
    driver = Driver(dialect)
    driver.feed(persist(cookie=slapd_cookie(csn(1, 0))))
    driver.feed(entry(1, cookie=slapd_cookie(csn(1, 1))))
    assert driver.cookie == slapd_cookie(csn(1, 1))


def test_apacheds_ends_the_refresh_with_newcookie() -> None:
    driver = Driver(APACHEDS)
    assert driver.feed(entry(1), NewCookie(b"c")) == ["add cn=1", "refresh done"]
    assert driver.cookie == b"c"
    assert driver.feed(NewCookie(b"d")) == []
    driver.search()
    assert driver.feed(NewCookie(b"e")) == ["refresh done"]
    assert driver.names == ["cn=1"]


# --- 389-ds


@pytest.mark.parametrize(("count", "reconciles"), [(49, False), (50, True), (51, False)])
def test_389_loses_a_delete_after_a_set_of_fifty(count: int, reconciles: bool) -> None:
    driver = Driver(DS389)
    driver.initial(*map(entry, range(1, 61)))
    driver.feed(gone(*range(1, count + 1), cookie=b"end"))
    said = driver.feed(done(deletes=False))
    assert said[count] == ("start over" if reconciles else "refresh done")
    assert driver.cookie == (b"start" if reconciles else b"end")
    assert len(driver.names) == 60 - count


def test_a_set_of_fifty_means_nothing_on_openldap() -> None:
    driver = Driver(OPENLDAP)
    driver.initial(*map(entry, range(1, 61)))
    assert driver.feed(gone(*range(1, 51)), done(deletes=True))[50] == "refresh done"


def test_389_resume_sends_too_much_and_too_little() -> None:
    driver = Driver(DS389, requested=("cn", "modifyTimestamp"), operational=("modifytimestamp",))
    driver.initial(entry(1, cn="1", modifyTimestamp="10"), entry(2, cn="2"))
    assert driver.feed(entry(1, cn="1", mail="m"), entry(2, cn="two", mail="m")) == ["modify cn=2"]
    assert driver.feed(entry(3, cn="3", mail="m")) == ["add cn=3"]
    assert driver.feed(persist()) == ["refresh done"]
    assert driver.mirror.by_dn() == {
        f"cn=1,{BASE}": {"cn": [b"1"], "modifyTimestamp": [b"10"]},
        f"cn=2,{BASE}": {"cn": [b"two"]},
        f"cn=3,{BASE}": {"cn": [b"3"]},
    }


def test_389_persists_what_was_asked_for() -> None:
    driver = Driver(DS389, requested=("cn", "modifyTimestamp"), operational=("modifytimestamp",))
    driver.initial(entry(1, cn="1", modifyTimestamp="10"))
    driver.feed(persist())
    assert driver.feed(entry(1, cn="1", state=State.MODIFY)) == ["modify cn=1"]
    assert driver.mirror.by_dn() == {f"cn=1,{BASE}": {"cn": [b"1"]}}


def test_openldap_resume_is_taken_at_its_word() -> None:
    driver = Driver(OPENLDAP, requested=("cn", "modifyTimestamp"), operational=("modifytimestamp",))
    driver.initial(entry(1, cn="1", modifyTimestamp="10"))
    assert driver.feed(entry(1, cn="1"), persist()) == ["modify cn=1", "refresh done"]


# --- references


def test_references() -> None:
    driver = Driver()
    assert driver.feed(entry(1), reference(2, "ldap://a/"), persist()) == [
        "add cn=1",
        "reference [] -> ['ldap://a/']",
        "refresh done",
    ]
    assert driver.feed(reference(2, "ldap://a/", state=State.MODIFY)) == []
    assert driver.feed(reference(2, "ldap://b/", "ldap://c/", state=State.MODIFY)) == [
        "reference ['ldap://a/'] -> ['ldap://b/', 'ldap://c/']"
    ]
    assert driver.names == ["cn=1"]
    assert len(driver.store) == 1
    assert driver.feed(reference(2, state=State.DELETE), reference(3, state=State.DELETE)) == [
        "reference ['ldap://b/', 'ldap://c/'] -> []"
    ]


def test_references_are_pruned_too() -> None:
    driver = Driver()
    driver.initial(reference(1, "ldap://a/"), reference(2, "ldap://b/"), reference(3, "ldap://c/"))
    said = driver.feed(reference(1, state=State.PRESENT), present(2), persist(deletes=False))
    assert said == ["reference ['ldap://c/'] -> []", "refresh done"]


@pytest.mark.parametrize("end", [done, persist], ids=["refreshOnly", "persist"])
def test_an_entry_becomes_a_reference_and_back(end: type) -> None:
    driver = Driver()
    driver.initial(entry(1))
    said = driver.feed(reference(1, "ldap://a/"), end(deletes=True))
    assert said[:3] == ["delete cn=1", "reference [] -> ['ldap://a/']", "refresh done"]
    driver.search()
    said = driver.feed(entry(1), end(deletes=True))
    assert said[:3] == ["reference ['ldap://a/'] -> []", "add cn=1", "refresh done"]


def test_a_reference_sent_as_an_entry_while_persisting() -> None:
    """OpenLDAP sends a referral object that was modified like that: only a search tells."""
    driver = Driver()
    driver.feed(reference(1, "ldap://a/"), persist())
    assert driver.feed(entry(1, state=State.MODIFY)) == ["start over"]
    driver.search(afresh=True)
    assert driver.feed(reference(1, "ldap://b/"), persist()) == [
        "reference ['ldap://a/'] -> ['ldap://b/']",
        "refresh done",
    ]


# --- the persist stage


def test_persist_stage_changes() -> None:
    driver = Driver()
    driver.feed(persist())
    assert driver.feed(entry(1, "cn=a")) == ["add cn=a"]
    assert driver.feed(entry(1, "cn=a", State.MODIFY, sn="x")) == ["modify cn=a"]
    assert driver.feed(entry(1, "cn=b", State.MODIFY, sn="y")) == ["rename cn=a -> cn=b and modify"]
    assert driver.feed(entry(1, "cn=b", State.DELETE)) == ["delete cn=b"]
    assert driver.feed(entry(1, "cn=b", State.DELETE), gone(1, 2)) == []


def test_a_set_of_deletes_in_the_persist_stage() -> None:
    driver = Driver()
    driver.feed(entry(1, "ou=1"), entry(2, "cn=2,ou=1"), persist())
    assert driver.feed(gone(1, 2, 3)) == ["delete cn=2,ou=1", "delete ou=1"]


def test_modify_of_what_the_store_does_not_have_is_an_add() -> None:
    """It came into the filter."""
    driver = Driver()
    driver.feed(persist())
    assert driver.feed(entry(1, state=State.MODIFY)) == ["add cn=1"]


@pytest.mark.parametrize("state", [State.ADD, State.MODIFY])
@pytest.mark.parametrize("persisting", [False, True])
def test_a_rename_takes_along_what_lies_below(state: State, persisting: bool) -> None:
    """OpenLDAP sends add in a refresh, modify in the persist stage; 389-ds modify."""
    driver = Driver()
    driver.initial(entry(1, "ou=a"), entry(2, "ou=b,ou=a"), entry(3, "cn=3,ou=b,ou=a"), entry(4))
    if persisting:
        driver.feed(persist())
    assert driver.feed(entry(1, "ou=new", state)) == [
        "rename ou=a -> ou=new",
        "rename ou=b,ou=a -> ou=b,ou=new",
        "rename cn=3,ou=b,ou=a -> cn=3,ou=b,ou=new",
    ]
    if not persisting:
        assert driver.feed(persist()) == ["refresh done"]
    assert driver.names == ["cn=3,ou=b,ou=new", "cn=4", "ou=b,ou=new", "ou=new"]


def test_two_entries_swap_names_between_runs() -> None:
    driver = Driver()
    driver.initial(entry(1, "cn=a"), entry(2, "cn=b"))
    assert driver.feed(entry(1, "cn=b"), entry(2, "cn=a")) == [
        "delete cn=b",
        "rename cn=a -> cn=b",
        "add cn=a",
    ]
    assert driver.feed(persist()) == ["refresh done"]
    assert driver.idle() == []


def test_two_subtrees_swap_names_between_runs() -> None:
    driver = Driver()
    driver.initial(entry(1, "ou=a"), entry(2, "cn=2,ou=a"), entry(3, "ou=b"), entry(4, "cn=4,ou=b"))
    driver.feed(entry(1, "ou=b"), entry(3, "ou=a"), persist())
    assert driver.reason is None
    assert {record.dn: record.uuid for record in driver.store.live()} == {
        f"ou=b,{BASE}": uid(1),
        f"cn=2,ou=b,{BASE}": uid(2),
        f"ou=a,{BASE}": uid(3),
        f"cn=4,ou=a,{BASE}": uid(4),
    }


def test_who_was_in_the_way_was_not_told_of() -> None:
    driver = Driver()
    driver.initial(entry(1, "cn=a"), entry(2, "cn=b"))
    assert driver.feed(entry(1, "cn=b"), persist(cookie=b"end")) == [
        "delete cn=b",
        "rename cn=a -> cn=b",
        "start over",
    ]
    assert driver.cookie == b"start"


def test_who_was_in_the_way_while_persisting_may_be_told_of_yet() -> None:
    driver = Driver()
    driver.initial(entry(1, "cn=a"), entry(2, "cn=b"))
    driver.feed(persist())
    assert driver.idle() == []
    assert driver.feed(entry(1, "cn=b", State.MODIFY)) == ["delete cn=b", "rename cn=a -> cn=b"]
    assert driver.feed(entry(2, "cn=c", State.MODIFY)) == ["add cn=c"]
    assert driver.idle() == []
    driver.feed(entry(3, "cn=c"))
    assert driver.idle() == ["start over"]


def test_who_was_in_the_way_is_deleted() -> None:
    """It was reported as deleted already, whatever DN the server tells."""
    driver = Driver()
    driver.initial(entry(1, "cn=a"), entry(2, "cn=b"))
    driver.feed(persist(), entry(1, "cn=b", State.MODIFY))
    assert driver.feed(entry(2, "cn=c", State.DELETE)) == ["nothing"]
    assert driver.idle() == []
    assert driver.names == ["cn=b"]


def test_a_rename_out_of_the_filter_takes_along_what_lies_below() -> None:
    """OpenLDAP: the delete has the new DN."""
    driver = Driver(OPENLDAP)
    driver.initial(entry(1, "ou=a"), entry(2, "cn=2,ou=a"))
    driver.feed(persist())
    assert driver.feed(entry(1, "ou=b", State.DELETE)) == [
        "delete ou=a",
        "rename cn=2,ou=a -> cn=2,ou=b",
    ]


@pytest.mark.parametrize(("subtree", "name"), [(True, "ou=a,dc=other"), (False, "ou=b,ou=c,dc=x")])
def test_a_rename_out_of_the_scope_takes_along_what_lies_below(subtree: bool, name: str) -> None:
    driver = Driver(OPENLDAP, subtree=subtree)
    driver.initial(entry(1, "ou=a"), entry(2, "ou=2,ou=a"), entry(3, "cn=3,ou=2,ou=a"), entry(4))
    driver.feed(persist())
    said = driver.feed(Entry(State.DELETE, uid(1), name, {}))
    assert said == ["delete cn=3,ou=2,ou=a", "delete ou=2,ou=a", "delete ou=a"]


def test_the_search_base_was_renamed() -> None:
    """Its content is not gone; what is, the server can be asked no more."""
    driver = Driver(OPENLDAP)
    driver.initial(Entry(State.ADD, uid(1), BASE, {}), entry(2))
    driver.feed(persist())
    assert driver.feed(Entry(State.DELETE, uid(1), "dc=new", {})) == ["start over"]
    assert driver.names == ["cn=2", BASE]


@pytest.mark.parametrize("name", ["", "no DN", "cn=1,dc=x", "CN=1, DC=x"])
def test_a_deleted_entry_may_have_any_past_dn(name: str) -> None:
    driver = Driver(OPENLDAP)
    driver.initial(entry(1), entry(2, "cn=2,cn=1"))
    driver.feed(persist())
    assert driver.feed(Entry(State.DELETE, uid(1), name, {})) == ["delete cn=1"]
    assert driver.names == ["cn=2,cn=1"]


def test_entry_dn_follows_a_rename_above() -> None:
    driver = Driver()
    driver.initial(entry(1, "ou=a"), entry(2, "cn=2,ou=a", entryDN="cn=2,ou=a,dc=x"))
    said = driver.feed(entry(1, "ou=b"), persist())
    assert said[1] == "rename cn=2,ou=a -> cn=2,ou=b and modify"
    assert driver.mirror.by_dn()["cn=2,ou=b,dc=x"] == {"entryDN": [b"cn=2,ou=b,dc=x"]}
