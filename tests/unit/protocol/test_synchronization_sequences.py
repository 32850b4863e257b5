# SPDX-License-Identifier: BSD-3-Clause
"""The protocol: cookies, 389-ds's ways, references, and the persist stage."""

from __future__ import annotations

from typing import Any

import ldap
import pytest

from syncrepl_client.entries.schema import AttributeTypes
from syncrepl_client.entries.selection import Selection
from syncrepl_client.protocol.dialect import DS389, OPENLDAP, OTHER, Dialect
from syncrepl_client.protocol.messages import Done, Entry, Message, NewCookie, PhaseEnd, State
from tests.unit.driver import (
    BASE,
    Driver,
    csn,
    done,
    entry,
    gone,
    kept,
    numbered,
    persist,
    present,
    reference,
    slapd_cookie,
    uid,
)

TYPES = AttributeTypes(
    [
        b"( 2.5.4.3 NAME ( 'cn' 'commonName' ) SUP name )",
        b"( 2.5.18.2 NAME 'modifyTimestamp' USAGE directoryOperation )",
    ]
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


def test_other_cookies_are_not_touched() -> None:
    for dialect, cookies in ((DS389, (numbered(1), numbered(2))), (OTHER, (b"csn=1", b"csn=2"))):
        driver = Driver(dialect)
        driver.feed(persist(cookie=cookies[0]))
        driver.feed(entry(1, cookie=cookies[1]))
        assert driver.cookie == cookies[1]


# --- a proxy, whose root DSE is not that of the server behind it


@pytest.mark.parametrize("end", [persist, done])
def test_389_behind_a_proxy_is_known_by_its_cookies(end: Any) -> None:
    """The search starts over as one of 389-ds, of which much else is to be known."""
    driver = Driver(OPENLDAP)
    assert driver.feed(entry(1), end(deletes=False, cookie=numbered(5)))[1] == "start over"
    assert "another kind of server (389-ds)" in (driver.reason or "")
    driver = Driver(OPENLDAP)
    driver.initial(entry(1), entry(2), cookie=slapd_cookie(csn(1)))
    driver.search(afresh=True)
    assert driver.feed(entry(1), end(deletes=False, cookie=numbered(5)))[0] == "start over"
    assert driver.names == ["cn=1", "cn=2"]


def test_389_whose_root_dse_can_not_be_read_is_known_by_its_cookies() -> None:
    driver = Driver(OTHER)
    assert driver.feed(entry(1), persist(cookie=numbered(5)))[1] == "refresh done"
    assert driver.sync.request.dialect is DS389
    driver.feed(entry(1, sn="new", cookie=numbered(7)))
    assert driver.sync.change_numbers.gap
    assert driver.cookie == numbered(7)


def test_openldap_whose_root_dse_can_not_be_read_is_known_by_its_cookies() -> None:
    driver = Driver(OTHER)
    driver.feed(persist(cookie=slapd_cookie(csn(1, 0), csn(1, 1))))
    assert driver.sync.request.dialect is OPENLDAP
    driver.feed(entry(1, cookie=slapd_cookie(csn(2, 1))))
    assert driver.cookie == kept(csn(1, 0), csn(2, 1))


def test_an_answer_of_another_kind_than_the_cookie_prunes_nothing() -> None:
    """Slapd takes a cookie that it can't parse for none, and says refreshDeletes TRUE."""
    driver = Driver(OPENLDAP)
    driver.initial(entry(1), entry(2), cookie=slapd_cookie(csn(1)))
    assert driver.feed(present(1), done(deletes=False, cookie=numbered(5)))[0] == "start over"
    assert driver.names == ["cn=1", "cn=2"]
    driver = Driver(DS389)
    driver.initial(entry(1), entry(2), cookie=numbered(5))
    said = driver.feed(entry(1), done(deletes=True, cookie=slapd_cookie(csn(1))))
    assert said[0] == "start over"


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
    driver = Driver(DS389, requested=("cn", "modifyTimestamp"), types=TYPES)
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
    driver = Driver(DS389, requested=("cn", "modifyTimestamp"), types=TYPES)
    driver.initial(entry(1, cn="1", modifyTimestamp="10"))
    driver.feed(persist())
    assert driver.feed(entry(1, cn="1", state=State.MODIFY)) == ["modify cn=1"]
    assert driver.mirror.by_dn() == {f"cn=1,{BASE}": {"cn": [b"1"]}}


def test_openldap_resume_is_taken_at_its_word() -> None:
    driver = Driver(OPENLDAP, requested=("cn", "modifyTimestamp"), types=TYPES)
    driver.initial(entry(1, cn="1", modifyTimestamp="10"))
    assert driver.feed(entry(1, cn="1"), persist()) == ["modify cn=1", "refresh done"]


def test_389_calls_an_attribute_by_another_name_on_resume() -> None:
    driver = Driver(DS389, requested=("commonName", "2.5.18.2"), types=TYPES)
    stored = Entry(State.ADD, uid(1), f"cn=1,{BASE}", {"commonName": [b"1"], "2.5.18.2": [b"10"]})
    driver.initial(stored)
    assert driver.feed(entry(1, cn="1", mail="m")) == []
    assert driver.feed(entry(1, cn="one", mail="m")) == ["modify cn=1"]
    driver.feed(persist())
    assert driver.mirror.by_dn() == {
        f"cn=1,{BASE}": {"commonName": [b"one"], "2.5.18.2": [b"10"]},
    }


# --- what was not asked for


@pytest.mark.parametrize("dialect", [OPENLDAP, DS389, OTHER])
def test_what_was_not_asked_for_is_never_taken(dialect: Dialect) -> None:
    driver = Driver(dialect, requested=("cn",), types=TYPES)

    def more(number: int, state: State = State.ADD) -> Entry:
        return entry(
            number, state=state, cn="x", mail="m", userPassword="{SSHA}x", modifyTimestamp="1"
        )

    driver.initial(more(1))
    assert driver.feed(more(1), more(2)) == ["add cn=2"]
    driver.feed(persist())
    assert driver.feed(more(1, State.MODIFY)) == []
    assert driver.feed(more(3)) == ["add cn=3"]
    assert {frozenset(attrs) for attrs in driver.mirror.by_dn().values()} == {frozenset(["cn"])}


def test_without_the_schema_what_is_stored_is_not_taken_away() -> None:
    """``cn`` was asked for as 2.5.4.3, when the schema could be read."""
    driver = Driver(OPENLDAP, requested=("2.5.4.3",), types=TYPES)
    driver.initial(entry(1, cn="1", mail="m"))
    driver.selection = Selection(("2.5.4.3",))
    driver.search()
    assert driver.feed(entry(1, cn="1", mail="m"), entry(2, cn="2")) == ["add cn=2"]
    assert driver.feed(persist()) == ["refresh done"]
    assert driver.mirror.by_dn() == {f"cn=1,{BASE}": {"cn": [b"1"]}, f"cn=2,{BASE}": {}}


# --- what is not part of the answer

FOREIGN = Entry(State.ADD, uid(9), "cn=replica,cn=config", {"cn": [b"replica"]})


@pytest.mark.parametrize("dialect", [OPENLDAP, DS389, OTHER])
def test_what_lies_outside_is_not_taken(dialect: Dialect) -> None:
    driver = Driver(dialect)
    assert driver.feed(entry(1), FOREIGN) == ["add cn=1", "not taken cn=replica,cn=config"]
    driver.feed(persist(cookie=b"start"))
    assert driver.feed(FOREIGN._replace(state=State.MODIFY)) == ["not taken cn=replica,cn=config"]
    assert driver.feed(FOREIGN._replace(state=State.DELETE)) == []
    driver.search()
    assert driver.feed(FOREIGN, persist()) == ["not taken cn=replica,cn=config", "refresh done"]
    assert driver.names == ["cn=1"]


@pytest.mark.parametrize(
    ("scope", "inside", "outside"),
    [
        (ldap.SCOPE_BASE, ["dc=x", "DC=X"], ["cn=1,dc=x", "dc=xx", "dc=y"]),
        (ldap.SCOPE_ONELEVEL, ["cn=1,dc=x", "cn=1, DC=x"], ["dc=x", "cn=1,cn=2,dc=x", "cn=1,dc=y"]),
        (ldap.SCOPE_SUBTREE, ["dc=x", "cn=1,dc=x", "cn=1,cn=2,dc=X"], ["cn=1,dc=xx", "dc=x,dc=y"]),
    ],
)
def test_scopes(scope: int, inside: list[str], outside: list[str]) -> None:
    for name in inside:
        driver = Driver(scope=scope)
        driver.feed(Entry(State.ADD, uid(1), name, {}))
        assert len(driver.names) == 1
    for name in outside:
        driver = Driver(scope=scope)
        assert driver.feed(Entry(State.ADD, uid(1), name, {})) == [f"not taken {name}"]


HIDDEN = [
    entry(9, "cn=repl keep alive 1", objectClass="ldapsubentry"),
    entry(9, "cn=x", objectClass="LDAPSubEntry"),
    entry(9, "nsuniqueid=ffffffff-ffffffff-ffffffff-ffffffff"),
    entry(9, "nsuniqueid=3f342b0c-eb5f11f1-b721a5e6-5b8c7c6f,cn=2", objectClass="nsTombstone"),
    entry(9, "cenotaphID=3f342b0c-eb5f11f1-b721a5e6-5b8c7c6f+cn=2"),
]


@pytest.mark.parametrize("hidden", HIDDEN, ids=lambda each: each.dn)
def test_389_subentries_tombstones_and_cenotaphs(hidden: Entry) -> None:
    driver = Driver(DS389)
    assert driver.feed(entry(1), hidden) == ["add cn=1", f"not taken {hidden.dn}"]
    driver.feed(persist())
    assert driver.feed(hidden) == [f"not taken {hidden.dn}"]
    driver = Driver(OPENLDAP)
    assert driver.feed(hidden) == [f"add {hidden.dn.replace(',dc=x', '')}"]


@pytest.mark.parametrize("hidden", HIDDEN, ids=lambda each: each.dn)
def test_389_shows_them_where_the_filter_names_them(hidden: Entry) -> None:
    driver = Driver(DS389)
    driver.extent = driver.extent._replace(hidden=frozenset())
    driver.search()
    assert driver.feed(hidden) == [f"add {hidden.dn.replace(',dc=x', '')}"]


def test_an_entry_that_is_told_to_be_outside_is_asked_for_again() -> None:
    """It may have left, or the server has another name for it: back_relay has."""
    driver = Driver(OPENLDAP)
    driver.initial(entry(1), entry(2))
    driver.feed(persist())
    moved = Entry(State.MODIFY, uid(1), "cn=1,dc=other", {})
    assert driver.feed(moved) == ["not taken cn=1,dc=other", "start over"]
    assert driver.reason == "the server sent 'cn=1,dc=x' as outside the search base and scope"
    assert driver.names == ["cn=1", "cn=2"]
    driver.search(afresh=True)
    assert driver.feed(entry(2), persist()) == ["delete cn=1", "refresh done"]


def test_an_entry_that_is_told_to_be_outside_on_resume() -> None:
    driver = Driver(OPENLDAP)
    driver.initial(entry(1), entry(2))
    moved = Entry(State.ADD, uid(1), "cn=1,dc=other", {})
    assert driver.feed(moved, entry(3)) == ["not taken cn=1,dc=other", "add cn=3"]
    assert driver.feed(persist()) == ["start over"]
    driver.search(afresh=True)
    assert driver.feed(entry(2), entry(3), persist()) == ["delete cn=1", "refresh done"]


def test_what_a_whole_answer_names_stays_wherever_it_is_said_to_be() -> None:
    """As where the base is written in a way that the client does not understand."""
    driver = Driver(OPENLDAP)
    driver.initial(entry(1), entry(2))
    driver.search(afresh=True)
    elsewhere = [Entry(State.ADD, uid(each), f"cn={each},o=x", {}) for each in (1, 2, 3)]
    driver.feed(*elsewhere)
    assert driver.feed(persist()) == ["refresh done"]
    assert driver.names == ["cn=1", "cn=2"]


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


def test_a_rename_out_of_the_scope_takes_along_what_lies_below() -> None:
    driver = Driver(OPENLDAP)
    driver.initial(entry(1, "ou=a"), entry(2, "ou=2,ou=a"), entry(3, "cn=3,ou=2,ou=a"), entry(4))
    driver.feed(persist())
    said = driver.feed(Entry(State.DELETE, uid(1), "ou=a,dc=other", {}))
    assert said == ["delete cn=3,ou=2,ou=a", "delete ou=2,ou=a", "delete ou=a"]


def test_a_rename_out_of_one_level() -> None:
    driver = Driver(OPENLDAP, scope=ldap.SCOPE_ONELEVEL)
    driver.initial(entry(1, "ou=a"), entry(4))
    driver.feed(persist())
    assert driver.feed(Entry(State.DELETE, uid(1), f"ou=b,ou=c,{BASE}", {})) == ["delete ou=a"]


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
