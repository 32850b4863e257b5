# SPDX-License-Identifier: BSD-3-Clause
"""Messages of a server that may say anything, about few entries and few names."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st

from syncrepl_client.protocol.dialect import DS389, OPENLDAP, OTHER, Dialect
from syncrepl_client.protocol.messages import (
    Done,
    Entry,
    IdSet,
    Message,
    NewCookie,
    PhaseEnd,
    Reference,
    RefreshRequired,
    State,
    SyncDone,
)

BASE = "dc=x"
UUIDS = tuple(number.to_bytes(16, "big") for number in range(1, 7))
NAMES = (
    "dc=x", "ou=a,dc=x", "ou=b,dc=x", "OU=A,dc=x", "cn=c,ou=a,dc=x", "cn=c,ou=b,dc=x",
    "cn=d,cn=c,ou=a,dc=x", "ou=b,ou=a,dc=x", "ou=a,ou=b,dc=x", "ou=a,ou=a,dc=x", "cn=z,dc=out",
    "x=a,dc=x", "x=A,dc=x", "cn=c,x=a,dc=x", "cn=c,x=A,dc=x", "nsUniqueId=1,dc=x",
)  # fmt: skip
BAD_NAMES = ("", "no DN")
DIALECTS = (OPENLDAP, DS389, OTHER)


def _csn(number: int, sid: int) -> bytes:
    return b"20261123120000.%06dZ#000000#%03x#000000" % (number, sid)


COOKIES = (
    None, None, None, b"", b"c1", b"c2", b"rid=000,sid=001,csn=" + _csn(1, 1),
    b"rid=000,csn=" + _csn(2, 1) + b";" + _csn(1, 2), b"rid=000,csn=" + _csn(3, 2),
    b"h:389##7", b"h:389##8",
)  # fmt: skip


class Search(NamedTuple):
    """One search: the cookie is left out where it is *afresh*; what the server then says."""

    afresh: bool
    messages: list[Message]


class Case(NamedTuple):
    """Searches of one client, one after the other.

    Attributes:
        dialect: the server's.
        subtree: the scope.
        lawful: messages that RFC 4533 doesn't have at that point are left out.
        searches: what is asked and answered.
    """

    dialect: Dialect
    subtree: bool
    lawful: bool
    searches: list[Search]


def _uuids() -> Any:
    several = st.lists(st.sampled_from(UUIDS), max_size=4).map(tuple)
    # 389-ds's lossy set: of entries that nobody has.
    fifty = tuple(number.to_bytes(16, "big") for number in range(100, 150))
    return st.one_of(several, several, several, st.just(fifty))


def _entries() -> Any:
    attrs = st.sampled_from(
        (
            {},
            {"v": [b"1"]},
            {"v": [b"2"]},
            {"V": [b"1"]},
            {"entryDN": [b"?"]},
            {"objectClass": [b"LDAPsubentry"]},
        )
    )
    names = st.one_of(*[st.sampled_from(NAMES)] * 9, st.sampled_from(BAD_NAMES))
    states = st.sampled_from((State.ADD,) * 4 + (State.MODIFY, State.DELETE, State.PRESENT))
    uuids, cookies = st.sampled_from(UUIDS), st.sampled_from(COOKIES)
    return st.builds(Entry, states, uuids, names, attrs.map(dict), cookies)


def _messages() -> Any:
    cookies = st.sampled_from(COOKIES)
    urls = st.sampled_from(((), ("ldap://a/",), ("ldap://a/", "ldap://b/")))
    rare = st.one_of(
        st.builds(Reference, st.sampled_from(State), st.sampled_from(UUIDS), urls, cookies),
        st.builds(NewCookie, st.sampled_from([each for each in COOKIES if each is not None])),
        st.builds(Done, st.one_of(st.none(), st.builds(SyncDone, st.booleans(), cookies))),
        st.just(RefreshRequired()),
    )
    sets = st.builds(IdSet, _uuids(), st.booleans(), cookies)
    ends = st.builds(PhaseEnd, st.booleans(), st.booleans(), cookies)
    return st.one_of(_entries(), _entries(), _entries(), sets, ends, rare)


def cases() -> Any:
    """Draw cases."""
    afresh = st.sampled_from((False, False, False, True))
    some, end = st.lists(_messages(), max_size=8), st.builds(PhaseEnd, st.booleans(), st.just(True))
    filling = st.lists(_entries(), min_size=2, max_size=6)
    persisting = st.builds(lambda *parts: [*parts[0], parts[1], *parts[2]], filling, end, some)
    search = st.builds(Search, afresh, st.one_of(some, persisting, persisting))
    lawful = st.sampled_from((True, True, True, False))
    searches = st.lists(search, min_size=1, max_size=5)
    return st.builds(Case, st.sampled_from(DIALECTS), st.booleans(), lawful, searches)
