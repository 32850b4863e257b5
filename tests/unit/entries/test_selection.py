# SPDX-License-Identifier: BSD-3-Clause
"""The attribute list of a search: what of an entry was asked for."""

from __future__ import annotations

import pytest

from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.entries.schema import AttributeTypes
from syncrepl_client.entries.selection import Selection, needs_types

TYPES = AttributeTypes(
    [
        b"( 2.5.4.41 NAME 'name' )",
        b"( 2.5.4.3 NAME ( 'cn' 'commonName' ) SUP name )",
        b"( 2.5.4.4 NAME ( 'sn' 'surname' ) SUP name )",
        b"( 0.9.2342.19200300.100.1.3 NAME ( 'mail' 'rfc822Mailbox' ) )",
        b"( 2.5.18.2 NAME 'modifyTimestamp' USAGE directoryOperation )",
        b"( 2.16.840.1.113730.3.1.55 NAME 'aci' USAGE directoryOperation )",
        b"( 2.16.840.1.113730.3.1.610 NAME 'nsAccountLock' USAGE directoryOperation )",
    ]
)
NAMES = [
    "cn", "CN", "cn;lang-de", "cn;x-y;LANG-de", "cn;lang-en-us", "commonName", "2.5.4.3",
    "sn", "mail", "jpegPhoto;binary", "modifyTimestamp", "aci", "1.1",
]  # fmt: skip
CN = ["cn", "CN", "cn;lang-de", "cn;x-y;LANG-de", "cn;lang-en-us", "commonName", "2.5.4.3"]
USER = [*CN, "sn", "mail", "jpegPhoto;binary", "1.1"]
OPERATIONAL = ["modifyTimestamp", "aci"]


@pytest.mark.parametrize(
    ("requested", "taken"),
    [
        ([], USER),
        (["*"], USER),
        (["*", "+"], NAMES),
        (["cn", "*"], USER),
        (["modifytimestamp", "*"], [*USER, "modifyTimestamp"]),
        (["+"], OPERATIONAL),
        (["+", "sn"], ["sn", *OPERATIONAL]),
        (["1.1"], []),
        (["cn", "1.1"], CN),
        (["CN", "RFC822Mailbox"], [*CN, "mail"]),
        (["commonName"], CN),
        (["2.5.4.3"], CN),
        (["name"], [*CN, "sn"]),
        (["2.5.4.41"], [*CN, "sn"]),
        (["2.5.18.2"], ["modifyTimestamp"]),
        (["cn;lang-de"], ["cn;lang-de", "cn;x-y;LANG-de"]),
        (["commonName;lang-de"], ["cn;lang-de", "cn;x-y;LANG-de"]),
        (["name;lang-de;x-y"], ["cn;x-y;LANG-de"]),
        (["cn;lang-"], ["cn;lang-de", "cn;x-y;LANG-de", "cn;lang-en-us"]),
        (["cn;lang-en-"], ["cn;lang-en-us"]),
        (["mailbox", "c", "unheardOf"], []),
        (["@person"], USER),
    ],
)
def test_what_was_asked_for(requested: list[str], taken: list[str]) -> None:
    selection = Selection(requested, TYPES)
    assert set(filter(selection.takes, NAMES)) == set(taken)
    attrs: Attributes = {name: [b"1"] for name in NAMES}
    for _ in range(2):  # what was decided is remembered
        assert selection.take(attrs).keys() == set(taken)


@pytest.mark.parametrize(
    ("requested", "taken"),
    [
        (["name"], []),
        (["commonName"], CN),
        (["2.5.4.3"], CN),
        (["commonName;lang-de"], []),
        (["cn;lang-de"], ["cn;lang-de", "cn;x-y;LANG-de"]),
        (["cn;lang-"], []),
        (["@person"], []),
        (["*"], [*USER, "aci"]),
        (["*", "cn"], [*USER, "aci"]),
        ([], USER),
    ],
)
def test_as_389_selects(requested: list[str], taken: list[str]) -> None:
    selection = Selection(requested, TYPES, literal=True, star_brings="aci")
    assert set(filter(selection.takes, NAMES)) == set(taken)


def test_nothing_is_copied_where_all_was_asked_for() -> None:
    attrs: Attributes = {"cn": [b"1"], "userPassword": [b"2"], "modifyTimestamp": [b"3"]}
    for requested in (["*", "+"], ["cn", "userPassword", "modifyTimestamp"]):
        selection = Selection(requested, TYPES)
        selection.take(attrs)
        assert selection.take(attrs) is attrs


def test_names_without_end() -> None:
    selection = Selection(["*"], TYPES)
    for number in range(10_000):
        assert selection.take({f"x{number}": [b"1"]}) == {f"x{number}": [b"1"]}
    assert selection.take({"modifyTimestamp": [b"1"], "y": [b"1"]}) == {"y": [b"1"]}


# --- without the schema


@pytest.mark.parametrize(
    ("requested", "taken"),
    [
        (["cn"], ["cn", "CN", "cn;lang-de", "cn;x-y;LANG-de", "cn;lang-en-us"]),
        (["commonName"], ["commonName"]),
        (["*"], [*USER, "aci"]),
    ],
)
def test_blind(requested: list[str], taken: list[str]) -> None:
    """An attribute has but one name, and those are operational that are so everywhere."""
    selection = Selection(requested)
    assert selection.blind
    assert set(filter(selection.takes, NAMES)) == set(taken)


def test_blind_does_not_take_away_what_is_stored() -> None:
    """It was asked for when it was stored, by whichever name."""
    attrs: Attributes = {"cn": [b"1"], "userPassword": [b"2"]}
    assert Selection(["commonName"]).take(attrs, {"cn": [b"0"]}) == {"cn": [b"1"]}
    assert Selection(["commonName"]).take(attrs) == {}
    assert Selection(["sn"], TYPES).take(attrs, {"cn": [b"0"]}) == {}


@pytest.mark.parametrize(
    ("requested", "needs"),
    [
        ((), True),
        (("*",), True),
        (("cn",), True),
        (("+",), True),
        (("*", "+"), False),
        (("+", "cn", "*"), False),
        (("1.1",), False),
    ],
)
def test_needs_types(requested: tuple[str, ...], needs: bool) -> None:
    assert needs_types(requested) is needs


# --- what 389-ds sends on resume


@pytest.mark.parametrize(
    ("requested", "sent", "old", "mended"),
    [
        (["cn"], {"cn": [b"1"], "sn": [b"2"]}, {}, {"cn": [b"1"]}),
        (["cn"], {"sn": [b"2"]}, {"cn": [b"1"]}, {}),
        (["cn", "modifyTimestamp"], {"cn": [b"2"], "sn": [b"2"]},
         {"cn": [b"1"], "modifyTimestamp": [b"3"]}, {"cn": [b"2"], "modifyTimestamp": [b"3"]}),
        (["*", "+"], {"cn": [b"2"]}, {"sn": [b"1"], "nsAccountLock;x": [b"r"]},
         {"cn": [b"2"], "nsAccountLock;x": [b"r"]}),
        (["modifyTimestamp"], {"MODIFYTIMESTAMP": [b"4"]}, {"modifyTimestamp": [b"3"]},
         {"modifyTimestamp": [b"4"]}),
        (["commonName"], {"cn": [b"1"], "cn;x": [b"2"], "sn": [b"3"]},
         {"commonName": [b"0"], "cn;x": [b"2"]}, {"commonName": [b"1"], "cn;x": [b"2"]}),
        (["2.5.4.3", "CommonName"], {"cn": [b"1"]}, {}, {"2.5.4.3": [b"1"]}),
        (["cn", "commonName"], {"cn": [b"1"]}, {}, {"cn": [b"1"]}),
        (["*", "CN"], {"cn": [b"1"], "sn": [b"2"]}, {}, {"CN": [b"1"], "sn": [b"2"]}),
        (["2.5.18.2"], {"cn": [b"1"]}, {"2.5.18.2": [b"3"]}, {"2.5.18.2": [b"3"]}),
        (["commonName;lang-de", "CN;LANG-DE"], {"cn": [b"1"], "cn;lang-de": [b"2"]}, {},
         {"CN;LANG-DE": [b"2"]}),
    ],
)  # fmt: skip
def test_complete(
    requested: list[str], sent: Attributes, old: Attributes, mended: Attributes
) -> None:
    selection = Selection(requested, TYPES, literal=True, star_brings="aci")
    assert selection.complete(sent, old) == mended
