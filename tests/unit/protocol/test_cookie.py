# SPDX-License-Identifier: BSD-3-Clause
"""Cookies: OpenLDAP's are merged, everybody else's are opaque."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncrepl_client.protocol.cookie import advanced, csns, later, merge, only_csn
from syncrepl_client.protocol.knowledge import of_cookie, stored_form


def csn(number: int, sid: int = 0) -> bytes:
    return b"20261123120000.%06dZ#000000#%03x#000000" % (number, sid)


A1, A2, B1, B2, C1 = csn(1, 0xA), csn(2, 0xA), csn(1, 0xB), csn(2, 0xB), csn(1, 0xC)


@pytest.mark.parametrize(
    ("old", "new", "merged"),
    [
        # the first one
        (None, b"rid=000,csn=" + A1, b"rid=000,csn=" + A1),
        (None, b"rid=000,sid=00a,csn=" + A1, b"rid=000,csn=" + A1),
        (b"", b"rid=001,csn=" + A1, b"rid=001,csn=" + A1),
        # the CSN of one server, and of another
        (b"rid=000,csn=" + A1, b"rid=000,csn=" + A2, b"rid=000,csn=" + A2),
        (b"rid=000,csn=" + A1, b"rid=000,csn=" + B1, b"rid=000,csn=" + A1 + b";" + B1),
        (b"rid=000,csn=" + A1 + b";" + B1, b"rid=000,sid=00b,csn=" + B2,
         b"rid=000,csn=" + A1 + b";" + B2),
        (b"rid=000,csn=" + B1, b"rid=000,csn=" + C1 + b";" + A1,
         b"rid=000,csn=" + A1 + b";" + B1 + b";" + C1),
        # the newer one is kept
        (b"rid=000,csn=" + A2 + b";" + B1, b"rid=000,csn=" + A1 + b";" + B2,
         b"rid=000,csn=" + A2 + b";" + B2),
        (None, b"rid=000,csn=" + A2 + b";" + A1, b"rid=000,csn=" + A2),
        # delcsn goes with the delete that it came with
        (b"rid=000,csn=" + A1, b"rid=000,csn=" + A1 + b",delcsn=" + A2, b"rid=000,csn=" + A1),
        (b"rid=000,csn=" + A1, b"rid=000,delcsn=" + A2, b"rid=000,csn=" + A1),
        (b"rid=000,csn=" + A1 + b",delcsn=" + A1, b"rid=000,csn=" + B1,
         b"rid=000,csn=" + A1 + b";" + B1),
        # no CSN, no rid
        (b"rid=000,csn=" + A1, b"rid=000", b"rid=000,csn=" + A1),
        (None, b"rid=000", b"rid=000"),
        (None, b"csn=" + A1, b"rid=000,csn=" + A1),
        (b"rid=007,csn=" + A1, b"csn=" + A2, b"rid=007,csn=" + A2),
        (b"rid=007,csn=" + A1, b"rid=008,csn=" + A2, b"rid=008,csn=" + A2),
        (None, b"rid=000,csn=" + A1 + b";", b"rid=000,csn=" + A1),
        # the old one is of another kind
        (b"h:389#cn=dm:dc=x:(a=b)#1", b"rid=000,csn=" + A1, b"rid=000,csn=" + A1),
    ],
)  # fmt: skip
def test_merge(old: bytes | None, new: bytes, merged: bytes) -> None:
    assert merge(old, new) == merged


OPAQUE = [
    b"",
    b"\0\xff\n",
    b"localhost:5389#cn=directory manager:dc=example,dc=com:(objectClass=*)#17",
    b"rid=000,csn=" + A1 + b",more=1",
    b"rid=000," + A1,
    b"RID=000,csn=" + A1,
    b"rid=000,csn=" + A1 + b",",
]


@pytest.mark.parametrize("old", [None, b"rid=000,csn=" + A2])
@pytest.mark.parametrize("new", OPAQUE)
def test_opaque_cookies_are_not_touched(old: bytes | None, new: bytes) -> None:
    assert merge(old, new) == new


@given(st.one_of(st.none(), st.binary()), st.binary())
@example(None, b"rid=\0\xff,csn=\xff#;\x00")
@example(b"csn=a#b#c#d;e", b"rid=1,csn=a#b#c#e")
def test_any_bytes(old: bytes | None, new: bytes) -> None:
    merged = merge(old, new)
    assert merge(old, merged) == merged
    assert merge(merged, merged) == merged


CSN_SETS = st.dictionaries(st.integers(0, 4), st.integers(0, 5), min_size=1)


@given(st.lists(CSN_SETS, min_size=1, max_size=5), st.randoms())
def test_order_does_not_matter(sets: list[dict[int, int]], random) -> None:  # type: ignore[no-untyped-def]
    newest: dict[int, int] = {}
    merged: bytes | None = None
    for each in sets:
        csns = [csn(number, sid) for sid, number in each.items()]
        random.shuffle(csns)
        merged = merge(merged, b"rid=000,sid=001,csn=" + b";".join(csns))
        for sid, number in each.items():
            newest[sid] = max(number, newest.get(sid, 0))
    expected = [csn(number, sid) for sid, number in sorted(newest.items())]
    assert merged == b"rid=000,csn=" + b";".join(expected)


COOKIES = st.builds(
    lambda rid, csns, rest: b"rid=" + rid + b",csn=" + b";".join(csns) + rest,
    st.sampled_from([b"000", b"001", b"000,sid=00a"]),
    st.lists(st.sampled_from([A1, A2, B1, B2, A1[:-1], b""]), min_size=1, max_size=2),
    st.sampled_from([b"", b"", b",delcsn=" + A1, b",csn=" + A2]),
)


@given(st.one_of(st.none(), COOKIES), COOKIES, COOKIES)
@example(None, b"rid=000,csn=" + A1, b"rid=000,csn=" + A2)
def test_the_later_one_stands_for_both(kept: bytes | None, old: bytes, new: bytes) -> None:
    latest = later(new, old)
    if latest is not None:
        assert merge(merge(kept, old), new) == merge(kept, latest)


@given(st.one_of(st.none(), COOKIES), COOKIES, COOKIES)
@example(None, b"rid=000,csn=" + A1, b"rid=000,csn=" + A2)
@example(b"rid=000,csn=" + B1, b"rid=000,sid=00a,csn=" + A1, b"rid=000,sid=00a,csn=" + A2)
@example(None, b"rid=000,csn=" + A1 + b",delcsn=" + A1, b"rid=000,csn=" + A1 + b",delcsn=" + A2)
@example(None, b"x=" + A1 + b",csn=" + A1, b"x=" + A1 + b",csn=" + A2)
@example(b"rid=000,csn=" + A2, b"rid=000,csn=" + A1, b"rid=000,csn=" + A2)
def test_the_next_one_is_merged_the_short_way(
    kept: bytes | None, merged: bytes, new: bytes
) -> None:
    value = merge(kept, merged)
    assert advanced(value, merged, new) in (None, merge(value, new))


@pytest.mark.parametrize("sid", [b"", b"sid=00a,"])
def test_the_short_way_is_taken(sid: bytes) -> None:
    head = b"rid=000," + sid + b"csn="
    value = merge(b"rid=000,csn=" + B1, head + A1)
    assert advanced(value, head + A1, head + A2) == b"rid=000,csn=" + A2 + b";" + B1
    assert advanced(value, head + A1, head + A1) is None
    assert advanced(value, head + A1, head + B2) is None


@given(st.one_of(COOKIES, st.binary(), st.sampled_from(OPAQUE)))
@example(b"rid=000,csn=" + A1)
@example(b"rid=000,csn=" + A1[:-7] + b"\xff" + A1[-6:])
def test_a_cookie_with_one_csn(value: bytes) -> None:
    only = only_csn(value)
    if only is not None:
        assert csns(value) == dict([only])
    knows = of_cookie(value)
    assert stored_form(value) == (str(knows) if any(knows) else None)


def test_which_cookies_have_one_csn() -> None:
    assert only_csn(b"rid=000,csn=" + A1) == (b"00a", A1)
    assert only_csn(b"rid=000,csn=" + A1 + b";" + B1) is None
    assert stored_form(None) is stored_form(b"") is None


@pytest.mark.parametrize(
    ("old", "new", "latest"),
    [
        (b"rid=000,csn=" + A1, b"rid=000,csn=" + A2, b"rid=000,csn=" + A2),
        (b"rid=000,csn=" + A2, b"rid=000,csn=" + A1, b"rid=000,csn=" + A2),
        (b"rid=000,csn=" + A1, b"rid=000,csn=" + A1, b"rid=000,csn=" + A1),
        (b"rid=000,csn=" + A1, b"rid=000,csn=" + B2, None),
        (b"rid=000,csn=" + A1 + b";" + B1, b"rid=000,csn=" + A2, None),
        (b"rid=000,csn=" + A1, b"rid=001,csn=" + A2, None),
        (b"host:389#cn=x:dc=x:(a=b)#1", b"host:389#cn=x:dc=x:(a=b)#2", None),
    ],
)
def test_later(old: bytes, new: bytes, latest: bytes | None) -> None:
    assert later(new, old) == latest
