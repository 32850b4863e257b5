# SPDX-License-Identifier: BSD-3-Clause
"""Dialects: which server this is, and when its answer means that entries are gone."""

from __future__ import annotations

import itertools

import pytest

from syncrepl_client.protocol.dialect import (
    DS389,
    OPENLDAP,
    OTHER,
    Dialect,
    detect,
    named,
    of_cookie,
    prunes,
)

DIALECTS = [OPENLDAP, DS389, OTHER]


@pytest.mark.parametrize(
    ("root_dse", "dialect"),
    [
        ({"objectclass": [b"top", b"OpenLDAProotDSE"]}, OPENLDAP),
        ({"objectclass": [b"top"], "vendorname": [b"389 Project"]}, DS389),
        ({"vendorname": [b"Somebody Else"], "objectclass": [b"top"]}, OTHER),
        ({"objectclass": [b"top"]}, OTHER),
        ({"vendorname": []}, OTHER),
        ({}, OTHER),
    ],
)
def test_detect(root_dse: dict[str, list[bytes]], dialect: Dialect) -> None:
    assert detect(root_dse) is dialect


def test_names_are_kept_in_stores() -> None:
    assert [dialect.name for dialect in DIALECTS] == ["OpenLDAP", "389-ds", "other"]


def test_quirks() -> None:
    """All that departs from RFC 4533, server by server; nothing where the server is unknown."""
    quirks = {
        dialect.name: {
            name: value
            for name, value in vars(type(dialect)).items()
            if dialect is not OTHER and name != "name" and not name.startswith("_")
        }
        for dialect in DIALECTS
    }
    assert quirks == {
        "OpenLDAP": {
            "merges_cookies": True,
            "silence_means_gone": True,
            "names_all_deletes": True,
            "refresh_only_races": True,
            "refresh_misses_moved": True,
            "reconcile_every": 604800.0,
            "refusal": OPENLDAP.refusal,
        },
        "389-ds": {
            "resume_ignores_selection": True,
            "selects_literally": True,
            "star_brings": "aci",
            "hidden_classes": frozenset(("ldapsubentry", "nstombstone")),
            "persist_ignores_access": True,
            "resume_misses_leavers": True,
            "resume_misses_moved": True,
            "lossy_set": 50,
            "numbers_changes": True,
            "reconcile_every": 86400.0,
            "takes_any_name": True,
            "respells": True,
            "misnames": True,
        },
        "other": {},
    }


@pytest.mark.parametrize(
    ("cookie", "dialect"),
    [
        (b"rid=000,sid=001,csn=20261123120000.000001Z#000000#001#000000", OPENLDAP),
        (b"rid=000,csn=20261123120000.000001Z#000000#001#000000,delcsn=x", OPENLDAP),
        (b"rid=000", None),
        (b"localhost:389#cn=dm:dc=x:(objectClass=*)#7", DS389),
        (b"h:389##7", DS389),
        (b"h:389#cn=dm:dc=x:(a=b)#4294967295", None),  # the change could not be found
        (b"7", None),
        (b"\xff", None),
    ],
)
def test_of_cookie(cookie: bytes, dialect: Dialect | None) -> None:
    assert of_cookie(cookie) is dialect


def test_dialects_by_name() -> None:
    for dialect in DIALECTS:
        assert named(dialect.name) is dialect
    assert named(None) is named("ApacheDS") is OTHER  # which stores may have from before


# What is known of the end of a refresh (None: either), and whether it prunes.
ROWS = [
    # resumed, deletes, present_seen, cookie_moved, dialects, prunes
    (False, None, None, None, DIALECTS, True),
    (True, True, None, None, DIALECTS, False),
    (True, False, True, None, DIALECTS, True),
    (True, False, False, True, [OPENLDAP], True),
    (True, False, False, False, [OPENLDAP], False),
    (True, False, False, None, [DS389, OTHER], False),
]
CASES = [
    (dialect, *flags, expected)
    for *known, dialects, expected in ROWS
    for flags in itertools.product(*((False, True) if flag is None else (flag,) for flag in known))
    for dialect in dialects
]


def test_every_case_is_in_the_table_once() -> None:
    assert len(CASES) == len({case[:-1] for case in CASES}) == len(DIALECTS) * 2**4


@pytest.mark.parametrize(
    ("dialect", "resumed", "deletes", "present_seen", "cookie_moved", "expected"), CASES,
    ids=lambda each: getattr(each, "name", None),
)  # fmt: skip
def test_prunes(
    dialect: Dialect,
    resumed: bool,
    deletes: bool,
    present_seen: bool,
    cookie_moved: bool,
    expected: bool,
) -> None:
    assert expected is prunes(
        dialect,
        resumed=resumed,
        deletes=deletes,
        present_seen=present_seen,
        cookie_moved=cookie_moved,
    )
