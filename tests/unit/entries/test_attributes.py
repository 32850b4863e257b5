# SPDX-License-Identifier: BSD-3-Clause
"""Attributes: their stored form, and equality."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncrepl_client.entries.attributes import (
    Attributes,
    canonical,
    decode,
    encode,
    same,
    with_entry_dn,
)
from syncrepl_client.exceptions import StoreInvalid

ATTRIBUTES = st.dictionaries(
    st.text(max_size=8), st.lists(st.binary(max_size=12), max_size=4), max_size=5
)
FEW = st.lists(st.sampled_from([b"1", b"2"]), max_size=3)


@given(ATTRIBUTES)
@example({})
@example({"": [], "a": [b""], "b": [b"", b"\n", b"\0"], "ü;lang-de": [b"\xff" * 300]})
def test_round_trip(attrs: Attributes) -> None:
    decoded = decode(encode(attrs))
    assert decoded == attrs
    assert list(decoded) == list(attrs)


def error_of(blob: bytes) -> str:
    """What is wrong with *blob*; ``damaged``, like every error, where nothing is."""
    try:
        attrs = decode(blob)
    except StoreInvalid as error:
        return str(error)
    assert all(isinstance(value, bytes) for values in attrs.values() for value in values)
    return "damaged"


@given(ATTRIBUTES, st.data())
def test_damaged(attrs: Attributes, data: st.DataObject) -> None:
    blob = bytearray(encode(attrs))
    blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    assert "damaged" in error_of(bytes(blob))  # a changed letter of a value goes unnoticed


@given(ATTRIBUTES, st.data())
def test_cut_off(attrs: Attributes, data: st.DataObject) -> None:
    blob = encode(attrs)
    with pytest.raises(StoreInvalid):
        decode(blob[: data.draw(st.integers(0, len(blob) - 1))])


@given(st.binary(max_size=40))
def test_any_bytes(blob: bytes) -> None:
    assert "damaged" in error_of(blob)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
)


@given(VALUES, st.binary(max_size=8))
@example({"a": [10**30]}, b"")
@example({"a": 1}, b"a")
@example({"a": [3, -1]}, b"ab")
def test_any_json(value: object, rest: bytes) -> None:
    assert "damaged" in error_of(json.dumps(value).encode() + b"\n" + rest)


@pytest.mark.parametrize(
    "blob",
    [b"", b"\n", b"{}", b"[]\n", b"null\n", b'{"a":[1]}\n', b'{"a":[1]}\nab', b"{}\nx",
     b"[" * 100_000 + b"\n", b'{"a":[' + b"9" * 5000 + b"]}\n", b"\xff\xfe\n"],
)  # fmt: skip
def test_not_attributes(blob: bytes) -> None:
    with pytest.raises(StoreInvalid, match="damaged"):
        decode(blob)


# --- same


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({}, {}, True),
        ({"cn": [b"a", b"b"]}, {"cn": [b"b", b"a"]}, True),
        ({"cn": [b"a"], "sn": [b"b"]}, {"sn": [b"b"], "cn": [b"a"]}, True),
        ({"cn": [b"a"]}, {"CN": [b"a"]}, True),
        ({"cn": [b"a"], "CN": [b"b"]}, {"cN": [b"b", b"a"]}, True),
        ({"cn": [b"a"]}, {"cn": [b"A"]}, False),
        ({"cn": [b"a"]}, {"cn": [b"a", b"a"]}, False),
        ({"cn": [b"a"]}, {"cn": []}, False),
        ({"cn": [b"a"]}, {}, False),
        ({"cn": [b"a"]}, {"sn": [b"a"]}, False),
        ({"cn": [b"a"]}, {"cn;lang-de": [b"a"]}, False),
    ],
)
def test_same(one: Attributes, other: Attributes, equal: bool) -> None:
    assert same(one, other) is equal
    assert same(other, one) is equal


@given(ATTRIBUTES, st.randoms())
def test_same_whatever_the_order(attrs: Attributes, random) -> None:  # type: ignore[no-untyped-def]
    shuffled = {name: random.sample(attrs[name], len(attrs[name])) for name in
                random.sample(list(attrs), len(attrs))}  # fmt: skip
    before = {name: list(values) for name, values in shuffled.items()}
    assert same(attrs, shuffled)
    assert shuffled == before


# --- entryDN


@given(*[st.dictionaries(st.sampled_from(["a", "A", "b", "aa"]), FEW)] * 2)
@example({"a": [b"1"], "A": [b"2"]}, {"A": [b"1"], "a": [b"2"]})
@example({"a": [b"1"], "A": [b"2"]}, {"a": [b"1", b"2"], "b": [b"3"]})
@example({"a": []}, {})
def test_same_is_equality_of_all_values(one: Attributes, other: Attributes) -> None:
    assert same(one, other) == (canonical(one) == canonical(other))


def test_with_entry_dn() -> None:
    attrs = {"cn": [b"a"], "EntryDN": [b"cn=a,ou=old"]}
    assert with_entry_dn(attrs, "cn=ä,ou=new") == {
        "cn": [b"a"], "EntryDN": ["cn=ä,ou=new".encode()],
    }  # fmt: skip
    assert attrs["EntryDN"] == [b"cn=a,ou=old"]
    without = {"cn": [b"a"]}
    assert with_entry_dn(without, "cn=a") is without
