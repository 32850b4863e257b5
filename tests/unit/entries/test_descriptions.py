# SPDX-License-Identifier: BSD-3-Clause
"""Which names of attributes are taken."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncrepl_client.entries import descriptions
from syncrepl_client.entries.descriptions import invalid

# What slapd and 389-ds send: names, object identifiers, options of all kinds.
FIT = [
    "cn", "objectClass", "x", "krb5Key", "nsds5ReplConflict", "2.5.4.3", "1.3.6.1.4.1.1466",
    "userCertificate;binary", "description;lang-de-AT", "cn;lang-fr;phonetic", "2.5.4.13;lang-a",
    "sn;x-a-1", "under_score", "_lead", "1digit", "description;lang-a_b", "member;range=0-1499",
    "description;", "description;;y", "dot.ted",
]  # fmt: skip
UNFIT = [
    "", "-", "-lead", ";binary", "#comment", "dn: x", "col:on", "col:", "spa ce", " cn", "cn ",
    "cn\n", "\ncn", "cn\r", "cn;\nx", "description;li\nne", "cn\0", "cn\t", "cn\x1b[31m", "cn\x7f",
    "cn\x85", "cn\u2028", "cn\u202e", "f\u00f6\u00f6", "c\u0578", "cn:< file:///etc/passwd", "x;*",
    "x;<a", "x,y", 'x"y', "x'y", "x\\y", "x/y", "x(y", "x\uff3fy", "cn\udcff",
]  # fmt: skip


@pytest.mark.parametrize("name", FIT)
def test_names_that_servers_send(name: str) -> None:
    assert invalid([name]) == []
    assert invalid({name: [b"x"]}) == []


@pytest.mark.parametrize("name", UNFIT)
def test_names_that_could_be_more_than_a_name(name: str) -> None:
    for _ in range(2):  # the second time it might be known
        assert invalid(["cn", name, "sn"]) == [name]


@given(st.lists(st.one_of(st.text(max_size=8), st.from_regex("[a-z;-]{1,4}\n?", fullmatch=True))))
def test_it_is_a_matter_of_characters(names: list[str]) -> None:
    fit = re.compile("[A-Za-z0-9_][A-Za-z0-9_.=;-]*")
    assert invalid(names) == [name for name in names if not fit.fullmatch(name)]


def test_what_is_remembered_is_bounded() -> None:
    def remembered() -> int:
        return sum(map(len, descriptions._known))

    long = ["a" * 1_000_000 + str(number) for number in range(20)]
    assert invalid(long) == []
    for start in range(0, 50_000, 1000):
        assert (
            invalid([f"description;lang-a{number}" for number in range(start, start + 1000)]) == []
        )
    assert invalid({f"cn;lang-a{number}": [] for number in range(100_000)}) == []
    assert remembered() <= descriptions._MOST * descriptions._LONGEST
    assert invalid(["a b", *long]) == ["a b"]
