# SPDX-License-Identifier: BSD-3-Clause
"""What differs between two states of an entry."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncrepl_client import OPERATIONAL, AttributeChange, AttributeChangeKind, diff
from syncrepl_client.entries import attributes
from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.entries.differences import without

ADDED, REMOVED, REPLACED = AttributeChangeKind

ATTRIBUTES = st.dictionaries(
    st.sampled_from(["cn", "CN", "cn;lang-de", "sn", "mail"]),
    st.lists(st.sampled_from([b"", b"a", b"b", b"\xff"]), max_size=3),
)


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        (None, None, []),
        ({}, None, []),
        (None, {"cn": [b"b", b"a"]}, [("cn", ADDED, (b"a", b"b"), ())]),
        ({"cn": [b"a"]}, None, [("cn", REMOVED, (), (b"a",))]),
        ({"cn": [b"a", b"b"]}, {"CN": [b"b", b"a"]}, []),
        ({"cn": [b"a", b"b"]}, {"CN": [b"c", b"a"]}, [("CN", REPLACED, (b"c",), (b"b",))]),
        ({"cn": [b"a"]}, {"cn": [b"a", b"b"]}, [("cn", REPLACED, (b"b",), ())]),
        ({"cn": [b"a", b"b"]}, {"cn": [b"a"]}, [("cn", REPLACED, (), (b"b",))]),
        ({"cn": [b"a", b"a"]}, {"cn": [b"a"]}, [("cn", REPLACED, (), (b"a",))]),
        ({"cn": [b"a"], "CN": [b"b"]}, {"cn": [b"a", b"b"]}, []),
        ({"cn": [b"a"]}, {"cn": [b"A"]}, [("cn", REPLACED, (b"A",), (b"a",))]),
        (
            {"cn": [b"a"]},
            {"cn": [b"a"], "cn;lang-de": [b"a"]},
            [("cn;lang-de", ADDED, (b"a",), ())],
        ),
        (
            {"a": [b"1"], "b": [b"1"]},
            {"c": [b"1"], "a": [b"2"]},
            [
                ("a", REPLACED, (b"2",), (b"1",)),
                ("b", REMOVED, (), (b"1",)),
                ("c", ADDED, (b"1",), ()),
            ],
        ),
    ],
)
def test_diff(old: Attributes | None, new: Attributes | None, changes: list[object]) -> None:
    found = diff(old, new)
    assert found == changes
    assert all(type(each) is AttributeChange for each in found)


def counted(old: Attributes, new: Attributes) -> list[AttributeChange]:
    """The differences by counting each value of each name, whatever its order and spelling."""
    before, after = attributes.canonical(old), attributes.canonical(new)
    changes = []
    for lower, name in {name.lower(): name for name in (*old, *new)}.items():
        was, now = before.get(lower), after.get(lower)
        if was != now:
            kind = ADDED if was is None else REMOVED if now is None else REPLACED
            less, more = Counter(was or []), Counter(now or [])
            came, went = (more - less).elements(), (less - more).elements()
            changes.append(AttributeChange(name, kind, tuple(sorted(came)), tuple(sorted(went))))
    return changes


@given(ATTRIBUTES, ATTRIBUTES)
def test_each_value_counts(old: Attributes, new: Attributes) -> None:
    assert diff(old, new) == counted(old, new)
    assert attributes.changed(old, new) == [each.name for each in counted(old, new)]


MEMBERS = [b"uid=%d,dc=example" % number for number in range(50)]


@given(st.integers(0, 50), st.integers(0, 50), st.lists(st.sampled_from(MEMBERS)), st.booleans())
def test_a_few_of_many_members(start: int, end: int, others: list[bytes], both: bool) -> None:
    members = [*MEMBERS[:start], *others, *MEMBERS[end:]]
    for old, new in ((MEMBERS, members), (members, MEMBERS)):
        if both:
            old, new = [*old, b"x"], [b"x", *new]
        assert diff({"member": old}, {"member": new}) == counted({"member": old}, {"member": new})
        differs = sorted(old) != sorted(new)
        assert attributes.same({"member": old}, {"member": new}) != differs
        gone, come = attributes.trimmed(old, new)
        assert len(old) - len(gone) == len(new) - len(come)
        assert Counter(old) - Counter(gone) == Counter(new) - Counter(come)


@given(ATTRIBUTES, ATTRIBUTES)
def test_nothing_differs_where_nothing_changed(old: Attributes, new: Attributes) -> None:
    changes = diff(old, new)
    assert (changes == []) == attributes.same(old, new)
    for each in changes:
        assert not set(each.added) & set(each.removed)


@given(ATTRIBUTES, ATTRIBUTES)
def test_backwards(old: Attributes, new: Attributes) -> None:
    backwards = {each.name.lower(): (each.removed, each.added) for each in diff(new, old)}
    assert {each.name.lower(): each[2:] for each in diff(old, new)} == backwards


@given(ATTRIBUTES, ATTRIBUTES)
def test_the_differences_lead_from_one_to_the_other(old: Attributes, new: Attributes) -> None:
    state = attributes.canonical(old)
    for name, kind, added, removed in diff(old, new):
        values = state.pop(name.lower(), [])
        for value in removed:
            values.remove(value)
        if kind is not REMOVED:
            state[name.lower()] = sorted([*values, *added])
    assert state == attributes.canonical(new)


def test_what_is_left_out() -> None:
    old = {"cn": [b"a"], "entryCSN": [b"1"], "modifyTimestamp;x": [b"1"], "mail": [b"m"]}
    new = {"cn": [b"b"], "ENTRYCSN": [b"2"], "entryUUID": [b"2"]}
    assert [each.name for each in diff(old, new)] == [
        "cn", "ENTRYCSN", "modifyTimestamp;x", "mail", "entryUUID",
    ]  # fmt: skip
    assert [each.name for each in diff(old, new, leave_out=OPERATIONAL)] == ["cn", "mail"]
    assert [each.name for each in diff(old, new, leave_out=OPERATIONAL | {"Mail"})] == ["cn"]


def test_operational_names_are_in_lower_case() -> None:
    assert {name.lower() for name in OPERATIONAL} == OPERATIONAL
    assert {"entryuuid", "entrycsn", "modifytimestamp", "nsuniqueid"} < OPERATIONAL
    assert not {"memberof", "nsaccountlock", "userpassword", "objectclass"} & OPERATIONAL


def test_nothing_is_copied_where_nothing_is_left_out() -> None:
    attrs = {"cn": [b"a"]}
    assert without(attrs, ()) is attrs
    assert without(attrs, ["SN"]) == attrs
