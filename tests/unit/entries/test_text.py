# SPDX-License-Identifier: BSD-3-Clause
"""The view of an entry's attributes as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap.schema import SubSchema

from syncrepl_client import Text
from syncrepl_client.entries import attributes
from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.entries.text import BINARY, is_binary

OCTETS = "1.3.6.1.4.1.1466.115.121.1.40"
STRING = "1.3.6.1.4.1.1466.115.121.1.15"
SCHEMA = SubSchema(
    {
        "ldapSyntaxes": [
            f"( {STRING} DESC 'Directory String' )".encode(),
            b"( 1.2.3 DESC 'Blob' X-NOT-HUMAN-READABLE 'TRUE' )",
        ],
        "attributeTypes": [
            f"( 2.5.4.41 NAME 'name' SYNTAX {STRING}{{32768}} )".encode(),
            b"( 2.5.4.3 NAME ( 'cn' 'commonName' ) SUP name )",
            f"( 1.1.1 NAME 'secret' SYNTAX {OCTETS} )".encode(),
            b"( 1.1.2 NAME 'blob' SYNTAX 1.2.3 )",
            f"( 1.1.3 NAME 'photo' SYNTAX {STRING} )".encode(),
            b"( 1.1.4 NAME 'bare' )",
        ],
    }
)
ATTRS: Attributes = {
    "cn": ["Änne".encode(), b"Anna"],
    "Mail": [],
    "jpegPhoto": [b"text, by chance"],
    "userCertificate;binary": [b"0"],
    "odd;BINARY": [b"0"],
    "description": [b"fine", b"\xff"],
    "cn;lang-de": ["Änne".encode()],
}


def test_names_are_found_in_any_case() -> None:
    text = Text(ATTRS)
    assert text["CN"] == text["cn"] == ["Änne", "Anna"]
    assert "Cn" in text
    assert text["CN;Lang-DE"] == ["Änne"]
    assert text["mail"] == []


def test_what_is_text() -> None:
    text = Text(ATTRS)
    assert list(text) == ["cn", "Mail", "cn;lang-de"]
    assert len(text) == 3
    assert dict(text) == {"cn": ["Änne", "Anna"], "Mail": [], "cn;lang-de": ["Änne"]}
    assert repr(text) == f"Text({dict(text)!r})"


def test_what_is_not() -> None:
    text = Text(ATTRS)
    assert text.binary == {name: ATTRS[name] for name in ATTRS if name not in text}
    assert len(text.binary) == 4
    for name in [*text.binary, "sn"]:
        assert name not in text
        assert text.get(name) is None
        with pytest.raises(KeyError):
            text[name]


def test_first() -> None:
    text = Text(ATTRS)
    assert text.first("CN") == "Änne"
    assert text.first("mail") is None
    assert text.first("mail", "none") == text.first("description", "none") == "none"
    assert text.first("sn", default="none") == "none"


def test_two_spellings_of_a_name() -> None:
    text = Text({"cn": [b"a"], "CN": [b"b"], "Cn": [b"c"]})
    assert dict(text) == {"cn": ["a", "b", "c"]}
    assert Text({"cn": [b"a"], "CN": [b"\xff"]}).binary == {"cn": [b"a", b"\xff"]}


def test_no_attributes() -> None:
    assert dict(Text(None)) == dict(Text({})) == {}


@pytest.mark.parametrize(
    ("name", "binary"),
    [
        ("cn", False),  # by inheritance
        ("commonName;lang-de", False),
        ("SECRET", True),
        ("secret;x", True),
        ("blob", True),
        ("photo", False),  # the table says otherwise
        ("cn;binary", True),
        ("bare", False),
        ("jpegPhoto", True),  # not in the schema
        ("unknown", False),
    ],
)
def test_the_schema_decides(name: str, binary: bool) -> None:
    assert is_binary(name, SCHEMA) == binary
    assert (name in Text({name: [b"text"]}, SCHEMA)) != binary


def test_the_table_is_in_lower_case() -> None:
    assert {name.lower() for name in BINARY} == BINARY


@given(st.dictionaries(st.text(), st.lists(st.binary())))
def test_nothing_is_lost_and_nothing_raises(attrs: Attributes) -> None:
    for schema in (None, SCHEMA):
        text = Text(attrs, schema)
        encoded = {name: [each.encode() for each in values] for name, values in text.items()}
        together = attributes.canonical({**encoded, **text.binary})
        assert together == attributes.canonical(attrs)
        assert len(together) == len(text) + len(text.binary)
