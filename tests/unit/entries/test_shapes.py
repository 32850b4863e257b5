# SPDX-License-Identifier: BSD-3-Clause
"""Entries of a known shape are encoded as all others are, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncrepl_client.entries import attributes, shapes
from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.entries.shapes import Shapes

PERSON: Attributes = {"objectClass": [b"top", b"person"], "cn": [b"Eva"], "sn": [b"Ek"]}
NAMES = ("cn", "sn", "mail", "objectClass")
VALUES = st.lists(st.sampled_from((b"", b"a", b"b", b"a\0b", b"\0", b"a\nb")), max_size=3)
ENTRIES = st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4), max_size=6)


def is_clean(attrs: Attributes) -> bool:
    return all(values and len(set(values)) == len(values) for values in attrs.values())


@given(ENTRIES, ENTRIES)
def test_encodes_as_ever_or_not_at_all(learned: list[Attributes], others: list[Attributes]) -> None:
    known = Shapes()
    for attrs in filter(is_clean, learned):
        known.learn(attrs)
    for attrs in (*learned, *others):
        assert known.encode(attrs) in (None, attributes.encode(attrs))
        assert is_clean(attrs) or known.encode(attrs) is None


def test_what_was_learned_is_encoded() -> None:
    known = Shapes()
    assert known.encode(PERSON) is None
    known.learn(PERSON)
    for other in (PERSON, {**PERSON, "cn": [b"Ada"], "objectClass": [b"top", b"account"]}):
        assert known.encode(other) == attributes.encode(other)


def test_numbers_of_values_are_learned_one_after_the_other() -> None:
    known = Shapes()
    groups = [{"member": [b"cn=%d" % number for number in range(size)]} for size in (1, 3, 2)]
    for each in groups:
        assert known.encode(each) is None
        known.learn(each)
    known.learn(groups[0])  # attributes with several values have forgotten the ones before
    assert [known.encode(each) for each in groups] == list(map(attributes.encode, groups))


@pytest.mark.parametrize(
    "wrong",
    [
        {"cn": []},
        {"sn": [b"Ek", b"Ek"]},
        {"objectClass": [b"top", b"top"]},
        {"objectClass": [b"top"], "cn": [b"a\0b"]},
        {"cn": [b"a\0b"]},
        {"cn": [b"a", b"b"], "sn": []},
    ],
)  # fmt: skip
def test_what_is_not_as_the_others_is_not_encoded(wrong: Attributes) -> None:
    known = Shapes()
    known.learn(PERSON)
    assert known.encode({**PERSON, **wrong}) is None


def test_an_order_of_names_is_a_shape() -> None:
    known = Shapes()
    known.learn(PERSON)
    assert known.encode(dict(reversed(PERSON.items()))) is None


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("_SHAPES", "_HEADS", "_LISTS"):
        monkeypatch.setattr(shapes, limit, 2)
    known = Shapes()
    entries = [{f"x{number}": [b"a", b"b%d" % number]} for number in range(5)]
    entries += [{"y": [b"%d" % value for value in range(size)]} for size in range(2, 7)]
    for each in entries:
        known.learn(each)
        assert known.encode(each) == attributes.encode(each)
    assert known.encode(entries[0]) is None
    known.learn({f"z{number}": [b"a"] for number in range(shapes._NAMES + 1)})
    assert known.encode({f"z{number}": [b"a"] for number in range(shapes._NAMES + 1)}) is None
