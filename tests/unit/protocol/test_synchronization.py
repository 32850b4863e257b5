# SPDX-License-Identifier: BSD-3-Clause
"""The protocol: which message may come when, and what the sequences that servers send mean."""

from __future__ import annotations

import itertools

import pytest

from syncrepl_client.changes import Phase
from syncrepl_client.exceptions import ProtocolError
from syncrepl_client.protocol.dialect import DS389, OPENLDAP, OTHER, Dialect
from syncrepl_client.protocol.facts import StartOver
from syncrepl_client.protocol.messages import (
    Done,
    Entry,
    IdSet,
    Message,
    NewCookie,
    PhaseEnd,
    RefreshRequired,
    State,
)
from syncrepl_client.protocol.transitions import TRANSITIONS
from tests.unit.driver import (
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

ALL_DIALECTS = pytest.mark.parametrize(
    "dialect", [OPENLDAP, DS389, OTHER], ids=lambda dialect: dialect.name
)
BOTH_ENDS = pytest.mark.parametrize("end", [done, persist], ids=["refreshOnly", "persist"])


# --- the table

MESSAGES: dict[str, Message] = {
    "entry": entry(1),
    "modified entry": entry(1, state=State.MODIFY),
    "reference": reference(2, "ldap://h/"),
    "present": present(),
    "present entry": entry(9, state=State.PRESENT),
    "present reference": reference(2, state=State.PRESENT),
    "gone": gone(),
    "gone entry": entry(9, state=State.DELETE),
    "gone reference": reference(2, state=State.DELETE),
    "newcookie": NewCookie(b"new"),
    "refreshPresent": PhaseEnd(deletes=False, done=False),
    "refreshDelete": PhaseEnd(deletes=True, done=False),
    "refreshPresent done": PhaseEnd(deletes=False, done=True),
    "refreshDelete done": PhaseEnd(deletes=True, done=True),
    "done": done(deletes=True),
    "refresh required": RefreshRequired(),
}
WAYS: dict[Phase, tuple[Message, ...]] = {
    Phase.REFRESH: (),
    Phase.PRESENT: (present(),),
    Phase.DELETE: (gone(),),
    Phase.PERSIST: (persist(),),
    Phase.OVER: (done(deletes=True),),
}
(R, P, D, S, E), X = Phase, None
# RFC 4533, 3.3 and 3.4, once more: from each phase (columns) by each message (rows); X is illegal.
EXPECTED: dict[str, tuple[Phase | None, ...]] = {
    #                      R  P  D  S  E
    "entry":              (R, P, D, S, X),
    "modified entry":     (R, P, D, S, X),
    "reference":          (R, P, D, S, X),
    "present":            (P, P, X, X, X),
    "present entry":      (P, P, X, X, X),
    "present reference":  (P, P, X, X, X),
    "gone":               (D, X, D, S, X),
    "gone entry":         (D, X, D, S, X),
    "gone reference":     (D, X, D, S, X),
    "newcookie":          (R, P, D, S, X),
    "refreshPresent":     (D, D, X, X, X),
    "refreshDelete":      (D, X, D, X, X),
    "refreshPresent done": (S, S, S, X, X),
    "refreshDelete done": (S, S, S, X, X),
    "done":               (E, E, E, E, X),
    "refresh required":   (E, E, E, E, X),
}  # fmt: skip


def test_expectations_cover_the_table() -> None:
    assert set(EXPECTED) == set(MESSAGES)
    assert {phase for phase, _ in TRANSITIONS} == set(WAYS) - {Phase.OVER}


@pytest.mark.parametrize(
    ("start", "name"), list(itertools.product(WAYS, MESSAGES)), ids=lambda x: getattr(x, "name", x)
)
def test_each_message_in_each_phase(start: Phase, name: str) -> None:
    driver = Driver()
    driver.initial(entry(9), reference(2, "ldap://h/"))
    driver.feed(*WAYS[start])
    assert driver.sync.phase is start
    expected = EXPECTED[name][list(WAYS).index(start)]
    if expected is None:
        before = dict(driver.store.items().items())
        with pytest.raises(ProtocolError, match=start.value):
            driver.feed(MESSAGES[name])
        assert dict(driver.store.items().items()) == before
        assert driver.sync.phase is start
    else:
        driver.feed(MESSAGES[name])
        assert driver.reason is not None or driver.sync.phase is expected


def test_phases_of_the_changes() -> None:
    driver = Driver()
    driver.initial(entry(1), entry(2), entry(3))
    phases = []
    for message in (entry(1, "cn=new", State.PRESENT), entry(2, sn="b"),
                    PhaseEnd(False, False), gone(1), entry(3, sn="c"),
                    persist(), entry(2, sn="d")):  # fmt: skip
        driver.store.begin()
        for fact in driver.sync.receive(message):
            if getattr(fact, "change", None) is not None:
                phases.append(fact.change.phase)  # type: ignore[union-attr]
                driver._apply(fact)
        driver.store.commit()
    assert phases == [
        Phase.PRESENT,
        Phase.PRESENT,
        Phase.DELETE,
        Phase.DELETE,
        Phase.PERSIST,
    ]


# --- initial refresh


@ALL_DIALECTS
@BOTH_ENDS
@pytest.mark.parametrize("deletes", [True, False])
def test_initial_refresh(dialect: Dialect, end: type, deletes: bool) -> None:
    """OpenLDAP ends it with TRUE, 389-ds and the RFC with FALSE: it is the same."""
    driver = Driver(dialect)
    said = driver.feed(entry(1), entry(2), end(deletes=deletes, cookie=b"c"))
    assert said[:3] == ["add cn=1", "add cn=2", "refresh done"]
    assert said[3:] == (["over"] if end is done else [])
    assert driver.cookie == b"c"


def test_initial_refresh_of_nothing() -> None:
    driver = Driver()
    assert driver.feed(done(deletes=False)) == ["refresh done", "over"]
    assert driver.cookie is None


@ALL_DIALECTS
@BOTH_ENDS
@pytest.mark.parametrize("deletes", [True, False])
def test_starting_over_prunes_what_is_not_named(dialect: Dialect, end: type, deletes: bool) -> None:
    driver = Driver(dialect)
    driver.initial(entry(1), entry(2, "ou=2"), entry(3, "cn=3,ou=2"), reference(4, "ldap://h/"))
    driver.search(afresh=True)
    said = driver.feed(entry(1), end(deletes=deletes, cookie=b"c"))
    assert said[:4] == [
        "reference ['ldap://h/'] -> []",
        "delete cn=3,ou=2",
        "delete ou=2",
        "refresh done",
    ]
    assert driver.names == ["cn=1"]
    assert driver.cookie == b"c"


def test_a_child_may_come_before_its_parent() -> None:
    driver = Driver()
    said = driver.feed(entry(2, "cn=2,ou=1"), entry(1, "ou=1"), done(deletes=False))
    assert said == ["add cn=2,ou=1", "add ou=1", "refresh done", "over"]


def test_an_entry_that_comes_again_is_not_a_change() -> None:
    driver = Driver()
    driver.initial(Entry(State.ADD, uid(1), "cn=1,dc=x", {"cn": [b"1", b"one"], "sn": [b"s"]}))
    again = Entry(State.ADD, uid(1), "cn=1,dc=x", {"SN": [b"s"], "cn": [b"one", b"1"]})
    assert driver.feed(again, persist()) == ["refresh done"]
    assert driver.feed(again._replace(state=State.MODIFY)) == []


def test_a_child_whose_dn_is_spelled_like_that_already_is_not_renamed() -> None:
    driver = Driver()
    driver.initial(entry(1, "OU=A"), entry(2, "cn=b,ou=a"), entry(3, "cn=c,OU=A"))
    said = driver.feed(entry(1, "ou=a"), persist())
    assert said == ["rename OU=A -> ou=a", "rename cn=c,OU=A -> cn=c,ou=a", "refresh done"]


def test_a_dn_spelled_anew_is_a_rename() -> None:
    driver = Driver()
    driver.initial(entry(1, "cn=a"))
    assert driver.feed(entry(1, "CN=A"), persist()) == ["rename cn=a -> CN=A", "refresh done"]


# --- delete phase


def test_delete_phase_of_openldap() -> None:
    driver = Driver(OPENLDAP)
    driver.initial(entry(1), entry(2), entry(3), cookie=slapd_cookie(csn(1)))
    between = slapd_cookie(csn(1)) + b",delcsn=" + csn(2)
    assert driver.feed(gone(1, cookie=between), gone(77, cookie=between)) == []
    assert driver.cookie == kept(csn(1))
    assert driver.feed(entry(2, sn="new"), entry(4)) == ["modify cn=2", "add cn=4"]
    said = driver.feed(done(deletes=True, cookie=slapd_cookie(csn(3))))
    assert said == ["delete cn=1", "refresh done", "over"]
    assert driver.names == ["cn=2", "cn=3", "cn=4"]
    assert driver.cookie == kept(csn(3))


def test_deletes_come_children_before_parents() -> None:
    driver = Driver()
    driver.initial(entry(1, "ou=1"), entry(2, "ou=2,ou=1"), entry(3, "cn=3,ou=2,ou=1"))
    said = driver.feed(gone(1), gone(3), gone(2), persist())
    assert said == ["delete cn=3,ou=2,ou=1", "delete ou=2,ou=1", "delete ou=1", "refresh done"]


def test_deleted_entries_one_by_one() -> None:
    """RFC 4533, 3.3.2: the DN may be a past one, or empty."""
    driver = Driver()
    driver.initial(entry(1), entry(2), entry(3))
    nameless = Entry(State.DELETE, uid(2), "", {})
    said = driver.feed(entry(1, "cn=past", State.DELETE), nameless, persist())
    assert sorted(said) == ["delete cn=1", "delete cn=2", "refresh done"]


def test_the_last_word_on_an_entry_counts() -> None:
    driver = Driver()
    driver.initial(entry(1), entry(2))
    said = driver.feed(gone(1), entry(1, sn="back"), entry(2, sn="x"), gone(2), persist())
    assert said == ["modify cn=1", "modify cn=2", "delete cn=2", "refresh done"]


def test_a_deleted_entrys_dn_is_taken_by_another() -> None:
    driver = Driver()
    driver.initial(entry(1, "cn=a"))
    assert driver.feed(gone(1), entry(2, "cn=a")) == ["delete cn=a", "add cn=a"]
    assert driver.feed(persist()) == ["nothing", "refresh done"]


def test_an_empty_set_is_nothing() -> None:
    driver = Driver()
    driver.initial(entry(1))
    assert driver.feed(IdSet((), True), persist()) == ["refresh done"]
    assert driver.names == ["cn=1"]


def test_a_parent_left_and_its_children_did_not() -> None:
    """The filter may hide the parent now, or it moved and took them along: only a reload says."""
    driver = Driver()
    driver.initial(entry(1, "ou=1"), entry(2, "cn=2,ou=1"))
    assert driver.feed(gone(1), persist()) == ["delete ou=1", "start over"]
    assert driver.cookie == b"start"
    driver.search(afresh=True)
    said = driver.feed(entry(2, "cn=2,ou=elsewhere"), persist(cookie=b"end"))
    assert said == ["rename cn=2,ou=1 -> cn=2,ou=elsewhere", "refresh done"]
    assert driver.cookie == b"end"


# --- present phase


@ALL_DIALECTS
@BOTH_ENDS
def test_present_phase(dialect: Dialect, end: type) -> None:
    driver = Driver(dialect)
    driver.initial(*map(entry, range(1, 601)))
    sets: list[Message] = [
        present(*range(1, 257)),
        entry(257, sn="new"),
        present(*range(258, 500)),
        entry(601),
    ]
    assert driver.feed(*sets) == ["modify cn=257", "add cn=601"]
    said = driver.feed(end(deletes=False, cookie=b"end"))
    assert sorted(said[:101]) == [f"delete cn={number}" for number in range(500, 601)]
    assert said[101] == "refresh done"
    assert len(driver.names) == 500
    assert driver.cookie == b"end"


@pytest.mark.parametrize("afresh", [False, True])
def test_what_exists_is_not_pruned(afresh: bool) -> None:
    driver = Driver(OPENLDAP)
    driver.initial(*map(entry, range(1, 6)))
    driver.existing = {uid(3), uid(4)}
    driver.search(afresh=afresh)
    named = [entry(1), entry(2)] if afresh else [present(1, 2)]
    said = driver.feed(*named, persist(deletes=False, cookie=b"end"))
    assert said == ["delete cn=5", "refresh done"]
    assert driver.names == [f"cn={number}" for number in range(1, 5)]


def test_present_entries_one_by_one() -> None:
    """RFC 4533, 3.3.2: an empty entry under its current DN."""
    driver = Driver()
    driver.initial(entry(1, sn="kept"), entry(2), reference(3, "ldap://h/"))
    said = driver.feed(
        entry(1, "cn=new", State.PRESENT), reference(3, state=State.PRESENT), persist(deletes=False)
    )
    assert said == ["rename cn=1 -> cn=new", "delete cn=2", "refresh done"]
    assert driver.mirror.by_dn() == {"cn=new,dc=x": {"sn": [b"kept"]}}
    assert len(driver.mirror.references) == 1


def test_present_entries_are_a_present_phase() -> None:
    driver = Driver()
    driver.initial(entry(1), entry(2))
    said = driver.feed(entry(1, state=State.PRESENT), persist(deletes=False))
    assert said == ["delete cn=2", "refresh done"]


def test_present_phase_in_which_nobody_is_left() -> None:
    driver = Driver(OPENLDAP)
    driver.initial(entry(1), cookie=slapd_cookie(csn(1)))
    said = driver.feed(done(deletes=False, cookie=slapd_cookie(csn(2))))
    assert said == ["delete cn=1", "refresh done", "over"]


@BOTH_ENDS
def test_present_phase_then_delete_phase(end: type) -> None:
    """Nothing is pruned between: what the first did not name, the second may."""
    driver = Driver()
    driver.initial(*map(entry, range(1, 6)))
    assert driver.feed(present(1, 2), PhaseEnd(False, False, b"middle")) == []
    assert driver.cookie == b"start"
    assert driver.feed(gone(2), entry(3, sn="new")) == ["modify cn=3"]
    said = driver.feed(end(deletes=True, cookie=b"end"))
    assert sorted(said[:3]) == ["delete cn=2", "delete cn=4", "delete cn=5"]
    assert driver.names == ["cn=1", "cn=3"]
    assert driver.cookie == b"end"


def test_a_present_phase_of_nothing_then_a_delete_phase() -> None:
    driver = Driver(OTHER)
    driver.initial(entry(1), entry(2))
    assert driver.feed(PhaseEnd(False, False), gone(1), done(deletes=True)) == [
        "delete cn=1",
        "refresh done",
        "over",
    ]


def test_present_but_not_in_the_store() -> None:
    """Something was lost: in the store, or on the way."""
    driver = Driver()
    driver.initial(entry(1), entry(2))
    assert driver.feed(present(1, 99), persist(deletes=False, cookie=b"end")) == ["start over"]
    assert driver.cookie == b"start"
    assert driver.names == ["cn=1", "cn=2"]


def test_a_present_entry_that_is_not_in_the_store() -> None:
    """It has no attributes, so it can't be stored."""
    driver = Driver()
    driver.initial(entry(1))
    driver.feed(present(1), entry(2, state=State.PRESENT))
    assert driver.feed(persist(deletes=False)) == ["start over"]


def test_present_and_sent_later() -> None:
    driver = Driver()
    driver.initial(entry(1))
    said = driver.feed(present(1, 2), entry(2), persist(deletes=False))
    assert said == ["add cn=2", "refresh done"]


def test_present_in_an_initial_refresh_but_never_sent() -> None:
    driver = Driver()
    with pytest.raises(ProtocolError, match="never sent"):
        driver.feed(present(1), done(deletes=False))


# --- the end that says little


@pytest.mark.parametrize(
    ("dialect", "cookie", "prunes"),
    [
        (OPENLDAP, slapd_cookie(csn(2)), True),
        (OPENLDAP, slapd_cookie(csn(1)), False),
        (OPENLDAP, slapd_cookie(csn(1), sid=2), False),
        (OPENLDAP, None, False),
        (OPENLDAP, b"", False),
        (DS389, b"host:389#cn=dm:dc=x:(a=b)#2", False),
        (DS389, None, False),
        (OTHER, b"2", False),
        (OTHER, None, False),
    ],
)
@BOTH_ENDS
def test_resume_that_names_nobody_and_ends_false(
    dialect: Dialect, cookie: bytes | None, prunes: bool, end: type
) -> None:
    driver = Driver(dialect)
    driver.initial(entry(1), cookie=slapd_cookie(csn(1)) if dialect is OPENLDAP else b"1")
    said = driver.feed(end(deletes=False, cookie=cookie))
    assert said[:-1] == (["delete cn=1"] if prunes else []) + ["refresh done"] * (end is done)
    assert driver.names == ([] if prunes else ["cn=1"])


@ALL_DIALECTS
@BOTH_ENDS
def test_resume_that_names_nobody_and_ends_true(dialect: Dialect, end: type) -> None:
    driver = Driver(dialect)
    driver.initial(entry(1))
    assert driver.feed(end(deletes=True, cookie=b"new"))[0] == "refresh done"
    assert driver.names == ["cn=1"]


def test_389_resumes_with_changes_only() -> None:
    """Refresh only: the changes, then FALSE, and whoever did not change is not named."""
    driver = Driver(DS389)
    driver.initial(*map(entry, range(1, 6)))
    said = driver.feed(gone(1, cookie=b"end"), entry(2, sn="new"), done(deletes=False))
    assert said == ["modify cn=2", "delete cn=1", "refresh done", "over"]
    assert driver.names == ["cn=2", "cn=3", "cn=4", "cn=5"]


# --- errors, and what never prunes


def test_a_refresh_that_breaks_off_prunes_nothing() -> None:
    driver = Driver()
    driver.initial(*map(entry, range(1, 6)))
    driver.feed(present(1), entry(2, sn="new", cookie=b"later"))
    driver.search()
    assert driver.cookie == b"start"
    assert driver.feed(persist(deletes=True)) == ["refresh done"]
    assert len(driver.names) == 5


def test_what_a_refresh_that_broke_off_named_is_forgotten() -> None:
    driver = Driver()
    driver.initial(*map(entry, range(1, 6)))
    driver.feed(gone(1), entry(2))
    driver.search()
    assert driver.feed(present(3), persist(deletes=False))[-1] == "refresh done"
    assert driver.names == ["cn=3"]


def test_what_a_refresh_that_broke_off_deleted_is_forgotten() -> None:
    driver = Driver()
    driver.initial(entry(1))
    driver.feed(gone(1))
    driver.search()
    assert driver.feed(persist()) == ["refresh done"]


def test_an_afresh_refresh_that_breaks_off_prunes_nothing() -> None:
    driver = Driver()
    driver.initial(*map(entry, range(1, 6)))
    driver.search(afresh=True)
    driver.feed(entry(1))
    driver.search()
    assert driver.feed(persist()) == ["refresh done"]
    assert len(driver.names) == 5


def test_done_without_a_control() -> None:
    driver = Driver()
    driver.initial(entry(1))
    driver.search(afresh=True)
    with pytest.raises(ProtocolError, match="Sync Done"):
        driver.feed(Done(None))
    assert driver.names == ["cn=1"]


@pytest.mark.parametrize("start", [Phase.REFRESH, Phase.PRESENT, Phase.DELETE, Phase.PERSIST])
def test_refresh_required_on_resume(start: Phase) -> None:
    driver = Driver()
    driver.initial(entry(1), entry(2))
    driver.feed(*WAYS[start])
    assert driver.feed(RefreshRequired()) == ["start over"]
    assert driver.names == ["cn=1", "cn=2"]
    driver.search(afresh=True)
    assert driver.feed(entry(2), done(deletes=False)) == ["delete cn=1", "refresh done", "over"]


def test_slapd_tells_again_what_a_refresh_has_told() -> None:
    """The persist stage begins at the cookie of the refresh, which looked later than that.

    Seen with slapd 2.5.13: cookie ...845039Z, an entry modified at ...849022Z and deleted at
    ...849693Z was in the refresh's syncIdSet of deletes; then came the modify, and the delete.
    An entry that comes is added, whatever was said before: to leave it out could lose it.
    """
    driver = Driver(OPENLDAP)
    driver.initial(entry(1, v="a"), entry(2))
    driver.search()
    late = [entry(1, state=State.MODIFY, v="b"), entry(1, state=State.DELETE)]
    assert driver.feed(gone(1), persist()) == ["delete cn=1", "refresh done"]
    assert driver.feed(*late) == ["add cn=1", "delete cn=1"]
    assert driver.names == ["cn=2"]


def test_a_refused_cookie_is_alarming() -> None:
    driver = Driver()
    driver.initial(entry(1))
    driver.search()
    assert driver.sync is not None
    facts = list(driver.sync.receive(RefreshRequired("put back in time")))
    assert facts == [StartOver("put back in time", alarming=True)]


def test_refresh_required_without_a_cookie() -> None:
    driver = Driver()
    with pytest.raises(ProtocolError, match="4096"):
        driver.feed(RefreshRequired())


def test_refresh_required_while_persisting_a_first_search() -> None:
    driver = Driver()
    driver.feed(entry(1), persist(cookie=b"c"))
    assert driver.feed(RefreshRequired()) == ["start over"]


@pytest.mark.parametrize("state", [State.ADD, State.MODIFY, State.PRESENT])
@pytest.mark.parametrize("name", ["no DN", "cn=1,,dc=x", "=1", ""])
def test_an_entry_whose_dn_is_none(state: State, name: str) -> None:
    driver = Driver()
    driver.initial(entry(1))
    with pytest.raises(ProtocolError, match="DN"):
        driver.feed(Entry(state, uid(1), name, {}))
    assert driver.names == ["cn=1"]
