# SPDX-License-Identifier: BSD-3-Clause
"""Attribute types: which names mean the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncrepl_client.entries.schema import AttributeTypes

TYPES = AttributeTypes(
    [
        b"( 2.5.4.41 NAME 'name' EQUALITY caseIgnoreMatch )",
        b"( 2.5.4.3 NAME ( 'cn' 'commonName' ) DESC 'no SUP sn here' SUP name X-A 'b' )",
        b"(2.5.4.4 NAME 'sn' SUP 2.5.4.41 USAGE userApplications)",
        b"( nick-oid NAME 'Nick' DESC 'USAGE directoryOperation' SUP CN )",
        b"( 2.5.18.2 NAME 'modifyTimestamp' USAGE directoryOperation NO-USER-MODIFICATION )",
        b"( 1.3 NAME ( 'vendorName' 'VN' ) USAGE dSAOperation )",
        b"( 1.4 NAME   'x' USAGE  distributedOperation X-ORIGIN 'y' )",
        b"( 1.5 DESC 'nameless' USAGE directoryOperation )",
        b"( 1.6 NAME 'loop' SUP pool )",
        b"( 1.7 NAME 'pool' SUP loop )",
        b"( 1.8 NAME 'orphan' SUP parentless )",
        b"NAME 'nothing'",
        b"( ",
        b"",
        b"\xff\xfe",
    ]
)


@pytest.mark.parametrize("name", ["cn", "CN", "commonName", "COMMONNAME", "2.5.4.3"])
def test_names_of_one_type(name: str) -> None:
    assert TYPES.identifier(name) == "2.5.4.3"


def test_an_unknown_name_is_itself() -> None:
    assert TYPES.identifier("Nothing") == "nothing"
    assert AttributeTypes().identifier("cn") == "cn"


@pytest.mark.parametrize(
    ("name", "lineage"),
    [
        ("commonName", ["2.5.4.3", "2.5.4.41"]),
        ("sn", ["2.5.4.4", "2.5.4.41"]),
        ("nick", ["nick-oid", "2.5.4.3", "2.5.4.41"]),
        ("name", ["2.5.4.41"]),
        ("mail", ["mail"]),
        ("orphan", ["1.8", "parentless"]),
        ("loop", ["1.6", "1.7"]),
    ],
)
def test_lineage(name: str, lineage: list[str]) -> None:
    assert list(TYPES.lineage(name)) == lineage


def test_operational() -> None:
    names = ["modifyTimestamp", "2.5.18.2", "vn", "X", "1.5", "cn", "sn", "nick", "mail", "nothing"]
    assert [name for name in names if TYPES.is_operational(name)] == names[:5]


@given(st.lists(st.binary(max_size=60), max_size=3), st.text(max_size=5))
def test_any_bytes(descriptions: list[bytes], name: str) -> None:
    types = AttributeTypes(descriptions)
    assert next(types.lineage(name)) == types.identifier(name)
