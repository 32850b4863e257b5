# SPDX-License-Identifier: BSD-3-Clause
"""Which stored cookies may be used, and when a reconcile is due."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any

import pytest

from syncrepl_client import url
from syncrepl_client.engine.resumption import (
    CLOCKS_DIFFER_SECONDS,
    doubt,
    knowledge_of,
    reconcile_in,
)
from syncrepl_client.entries.schema import AttributeTypes
from syncrepl_client.network.server import ServerFacts
from syncrepl_client.protocol.dialect import DS389, OPENLDAP, OTHER, Dialect
from syncrepl_client.protocol.knowledge import Knowledge, of_cookie
from syncrepl_client.store import Origin

ALL = url.parse("ldap://h/dc=x??sub")
SOME = url.parse("ldap://h/dc=x??sub?(uid=*)")
NOW = 1.8e9
DIALECTS = [OPENLDAP, DS389, OTHER]
EACH = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda each: each.name)


def cookie(number: int) -> bytes:
    return b"h:389#cn=dm:dc=x:(objectclass=*)#%d" % number


def origin(dialect: Dialect = DS389, **more: Any) -> Origin:
    return Origin(**{"cookie": cookie(7), "dialect": dialect.name, "url": str(ALL), **more})


def facts(dialect: Dialect = DS389, **more: Any) -> ServerFacts:
    return ServerFacts(dialect, **more)


@EACH
def test_the_same_server_is_not_doubted(dialect: Dialect) -> None:
    before = origin(dialect, identity="dn:cn=a", epoch="1")
    now = facts(dialect, identity="dn:cn=a", epoch="1", first_change=1, last_change=9)
    assert doubt(before, now, ALL, True, NOW) is None


@EACH
@pytest.mark.parametrize("where", [ALL, SOME])
def test_no_cookie_is_no_doubt(dialect: Dialect, where: url.SearchUrl) -> None:
    for trusted in (True, False):
        assert (
            doubt(Origin(None, "other", str(SOME), "x", "y"), facts(dialect), where, trusted, NOW)
            is None
        )


@EACH
def test_a_store_that_is_not_trusted(dialect: Dialect) -> None:
    assert "closed" in (doubt(origin(dialect), facts(dialect), ALL, False, NOW) or "")


@EACH
def test_another_kind_of_server(dialect: Dialect) -> None:
    for before in (*DIALECTS, None):
        name = None if before is None else before.name
        reason = doubt(origin(dialect=before or OTHER, cookie=b"c")._replace(dialect=name),
                       facts(dialect), ALL, True, NOW)  # fmt: skip
        assert (reason is None) is (before is dialect)
        assert reason is None or "another kind" in reason


@EACH
def test_a_filter_whose_leavers_are_missed(dialect: Dialect) -> None:
    reason = doubt(origin(dialect, url=str(SOME)), facts(dialect), SOME, True, NOW)
    assert (reason is not None) is (dialect is DS389)
    assert reason is None or "(uid=*)" in reason


@EACH
@pytest.mark.parametrize(
    ("names", "needs_schema"),
    [("", False), ("*", False), ("1.1", False), ("cn", True), ("*,cn", True), ("*,+", True)],
)
def test_an_attribute_list_without_the_schema(
    dialect: Dialect, names: str, needs_schema: bool
) -> None:
    where = url.parse(f"ldap://h/dc=x?{names}?sub")
    before = origin(dialect, url=str(where))
    reason = doubt(before, facts(dialect), where, True, NOW)
    assert (reason is not None) is (needs_schema and dialect is DS389)
    assert doubt(before, facts(dialect, types=AttributeTypes()), where, True, NOW) is None


@EACH
@pytest.mark.parametrize(
    ("before", "now", "doubted"),
    [("dn:a", "dn:b", True), ("dn:a", "", True), ("", "dn:a", True), ("dn:a", "dn:a", False),
     ("", "", False), (None, "dn:a", False), ("dn:a", None, False), (None, None, False)],
)  # fmt: skip
def test_another_identity(
    dialect: Dialect, before: str | None, now: str | None, doubted: bool
) -> None:
    reason = doubt(origin(dialect, identity=before), facts(dialect, identity=now), ALL, True, NOW)
    assert (reason is not None) is doubted
    assert reason is None or (repr(before) in reason and repr(now) in reason)


@pytest.mark.parametrize(
    ("before", "now", "doubted"),
    [("1", "2", True), ("1", "1", False), (None, "2", False), ("1", None, False)],
)
def test_another_epoch(before: str | None, now: str | None, doubted: bool) -> None:
    reason = doubt(origin(epoch=before), facts(epoch=now), ALL, True, NOW)
    assert (reason is not None) is doubted
    assert reason is None or "restarted" in reason


@pytest.mark.parametrize(
    ("number", "first", "last", "word"),
    [
        (7, 1, 9, None),
        (7, 8, 9, None),  # 8 is the next one
        (7, 9, 9, "lacks changes from 8 on"),
        (7, 9, None, "lacks"),
        (7, 1, 7, None),
        (7, 1, 6, "reset"),
        (7, None, 6, "reset"),
        (7, None, None, None),
        (0, 1, 3, None),
        (0, 2, 3, "lacks"),
        (7, 0, 7, None),  # trimmed to nothing, and nothing changed
        (7, 0, 8, "empty"),
        (7, 0, 0, "reset"),
    ],
)
def test_the_changelog(number: int, first: int | None, last: int | None, word: str | None) -> None:
    now = facts(first_change=first, last_change=last)
    reason = doubt(origin(cookie=cookie(number)), now, ALL, True, NOW)
    assert reason is None if word is None else word in (reason or "")


@pytest.mark.parametrize("dialect", [OPENLDAP, OTHER], ids=lambda each: each.name)
def test_others_have_no_changelog(dialect: Dialect) -> None:
    now = facts(dialect, first_change=100, last_change=100)
    assert doubt(origin(dialect), now, ALL, True, NOW) is None


def test_a_cookie_without_a_number_is_left_to_the_server() -> None:
    now = facts(first_change=100, last_change=100)
    for stored in (b"c1", cookie(2**32 - 1), cookie(2**64 - 1)):
        assert doubt(origin(cookie=stored), now, ALL, True, NOW) is None


@pytest.mark.parametrize(
    ("last", "every", "now", "seconds"),
    [
        (100.0, None, 1e9, math.inf),
        (100.0, math.inf, 1e9, math.inf),
        (100.0, 10.0, 104.0, 6.0),
        (100.0, 10.0, 110.0, 0.0),
        (100.0, 10.0, 1e9, 0.0),
        (100.0, 10.0, 100.0, 10.0),
        (100.0, 10.0, 99.0, 0.0),  # the clock was set back
        (None, 10.0, 0.0, 0.0),
        (None, None, 0.0, math.inf),
    ],
)
def test_reconcile_in(last: float | None, every: float | None, now: float, seconds: float) -> None:
    assert reconcile_in(origin(reconciled=last), every, now) == seconds
    assert math.isinf(reconcile_in(origin(cookie=None, reconciled=last), every, now))


@EACH
def test_a_cookie_of_another_search_is_not_used(dialect: Dialect) -> None:
    stored = origin(dialect, url=str(SOME))
    assert doubt(stored, facts(dialect), ALL, trusted=True, now=NOW) == "it is of another search"
    elsewhere = origin(dialect, url="ldap://other/DC=X?*?sub??bindname=cn=a%2Cdc=x")
    assert doubt(elsewhere, facts(dialect), ALL, trusted=True, now=NOW) is None


def csn_cookie(*changes: tuple[float, str]) -> bytes:
    csns = [
        f"{datetime.fromtimestamp(time, timezone.utc):%Y%m%d%H%M%S.%f}Z#000000#{sid}#000000"
        for time, sid in changes
    ]
    return b"rid=000,csn=" + ";".join(csns).encode()


@pytest.mark.parametrize(
    ("own", "other", "sid", "doubted"),
    [
        (0.0, 0.0, b"001", False),
        (CLOCKS_DIFFER_SECONDS, 0.0, b"001", False),
        (CLOCKS_DIFFER_SECONDS + 1, 0.0, b"001", True),
        (0.0, 1000.0, b"001", False),  # of another server: that one's changes are told
        (0.0, 1000.0, None, True),
    ],
)
def test_a_change_that_is_yet_to_come(
    own: float, other: float, sid: bytes | None, doubted: bool
) -> None:
    stored = origin(OPENLDAP, cookie=csn_cookie((NOW + own, "001"), (NOW + other, "002")))
    reason = doubt(stored, facts(OPENLDAP, sid=sid), ALL, True, NOW)
    assert (reason is not None) is doubted
    assert reason is None or "yet to come" in reason


def test_a_server_that_does_not_tell_of_deletes() -> None:
    reason = doubt(origin(OPENLDAP), facts(OPENLDAP, tells_deletes=False), ALL, True, NOW)
    assert "nopresent" in (reason or "")


def test_what_a_store_knows() -> None:
    cookie = csn_cookie((NOW, "001"))
    stored = origin(OPENLDAP, cookie=cookie)
    assert knowledge_of(stored, OPENLDAP, ALL) == of_cookie(cookie)  # of an older format
    known = Knowledge({"002": "x"})
    given_up = stored._replace(cookie=None, known=str(known))
    assert knowledge_of(given_up, OPENLDAP, ALL) == known
    assert knowledge_of(given_up, DS389, ALL) == Knowledge()
    assert knowledge_of(given_up, OPENLDAP, SOME) == Knowledge()
    assert knowledge_of(Origin(), OPENLDAP, ALL) == Knowledge()
