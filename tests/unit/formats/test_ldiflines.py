# SPDX-License-Identifier: BSD-3-Clause
"""LDIF records are, byte by byte, what python-ldap's writer makes of the same."""

from __future__ import annotations

import io
import random
import string
from collections.abc import Iterator
from typing import Any

import ldap
import ldif
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.exceptions import StoreInvalid
from syncrepl_client.formats import ldiflines
from tests.servers.people import person, person_dn
from tests.unit.entries.test_descriptions import UNFIT

MODES = {"add": ldap.MOD_ADD, "delete": ldap.MOD_DELETE, "replace": ldap.MOD_REPLACE}


class Writer(ldif.LDIFWriter):
    """python-ldap's writer, but with control characters in base64."""

    def _needs_base64_encoding(self, attr_type: str, attr_value: bytes) -> bool:
        controls = min(attr_value, default=32) < 32 or 127 in attr_value
        return controls or bool(super()._needs_base64_encoding(attr_type, attr_value))


def theirs(dn: str, record: Any) -> str:
    stream = io.StringIO()
    Writer(stream).unparse(dn, record)
    return stream.getvalue()


def parsed(text: str) -> list[tuple[str, dict[str, list[bytes]]]]:
    parser = ldif.LDIFRecordList(io.StringIO(text))
    parser.parse()
    return list(parser.all_records)


# Each octet alone, at both ends, and in the middle; lengths around those of one line and of two.
OCTETS = [bytes([octet]) for octet in range(256)]
NASTY = [
    b"", b" ", b"  ", b":", b"<", b"< file:///etc/passwd", b": x", b"-", b"#", b"x ", b" x", b"x\n",
    b"\nx", b"x\n\ndn: o=victim\nchangetype: delete\n\n", b"\x1b[31m", b"\r", b"\0", b"\xff\xfe",
    "Änne \u202e\u2028\x85".encode(), b"x" * 100_000, b" " * 100_000, b"x" + b" " * 100_000,
    *OCTETS, *(octet + b"x" for octet in OCTETS), *(b"x" + octet for octet in OCTETS),
    *(b"x" + octet + b"x" for octet in OCTETS),
    *(b"x" * length for length in range(60, 160)), *(b"\xe4" * length for length in range(30, 130)),
]  # fmt: skip

names = st.from_regex("[A-Za-z0-9_][A-Za-z0-9_.=;-]{0,90}", fullmatch=True)
octets = st.binary(max_size=250) | st.sampled_from(NASTY)
printable = st.text(string.printable, max_size=250).map(str.encode)
values = st.lists(octets | printable, max_size=4)
entries = st.dictionaries(names, values, max_size=6)
dns = st.text(st.characters(codec="utf-8"), max_size=200)


@given(dns, entries)
@example("", {})
@example("cn=x", {"cn": NASTY})
def test_content(dn: str, attrs: Attributes) -> None:
    assert ldiflines.content(dn, attrs) == theirs(dn, attrs)


@given(dns, st.dictionaries(names, values.filter(bool), min_size=1, max_size=6))
@example("cn=x\n\ndn: o=victim", {"cn": NASTY})
def test_add_and_delete(dn: str, attrs: Attributes) -> None:
    assert ldiflines.add(dn, attrs) == theirs(dn, list(attrs.items()))
    assert ldiflines.delete(dn) == theirs(dn, {"changetype": [b"delete"]})


@given(dns, st.lists(st.tuples(st.sampled_from([*MODES]), names, values), min_size=1, max_size=6))
@example("cn=x", [("replace", "cn", NASTY), ("delete", "sn" * 50, []), ("add", "a", [b"1"])])
def test_modify(dn: str, modifications: list[tuple[str, str, list[bytes]]]) -> None:
    record = [(MODES[how], name, some) for how, name, some in modifications]
    assert ldiflines.modify(dn, modifications) == theirs(dn, record)


@given(dns, dns, st.none() | dns, st.booleans())
def test_modrdn(dn: str, rdn: str, superior: str | None, delete_old: bool) -> None:
    """python-ldap's writer has no such record; its lines are those of values."""
    lines = [("changetype", "modrdn"), ("newrdn", rdn), ("deleteoldrdn", str(int(delete_old)))]
    lines += [] if superior is None else [("newsuperior", superior)]
    wanted = theirs(dn, {}).removesuffix("\n")
    for name, value in lines:
        line = theirs("", {name: [value.encode()]})
        wanted += line.removeprefix(theirs("", {}).removesuffix("\n")).removesuffix("\n")
    assert ldiflines.modrdn(dn, rdn, superior, delete_old=delete_old) == f"{wanted}\n"


def varied(count: int) -> Iterator[tuple[str, Attributes]]:
    """Entries as directories have them, some with values of other kinds."""
    chance = random.Random(count)
    for number in range(count):
        attrs = person(number)
        if number % 3:
            attrs["description"] = [chance.choice(NASTY[:22]) for _ in range(number % 4)]
        if number % 5 == 0:
            attrs["cn;lang-de"] = [f"{chance.choice('ÄÖÜ')}nne {number}".encode()]
        if number % 7 == 0:
            attrs["jpegPhoto"] = [chance.randbytes(chance.randrange(2000))]
        if number % 11 == 0:
            attrs["seeAlso"] = [f"cn={'x' * (number % 300)},o=y".encode()] * 2
        yield person_dn(number) if number % 13 else f"cn=Ä {number}\\2C,o=ü", attrs


def test_twenty_thousand_entries() -> None:
    for number, (dn, attrs) in enumerate(varied(20_000)):
        attrs = {name: some for name, some in attrs.items() if len(b"".join(some)) < 50_000}
        text = ldiflines.content(dn, attrs)
        assert text == theirs(dn, attrs)
        if number % 20 == 0:
            here = {name: some for name, some in attrs.items() if some}
            assert parsed(text) == [(dn, here)]


@pytest.mark.parametrize("name", UNFIT)
def test_names_that_would_break_the_lines(name: str) -> None:
    attrs = {"cn": [b"x"], name: [b"x"]}
    with pytest.raises(StoreInvalid, match="no schema allows"):
        ldiflines.content("cn=x", attrs)
    with pytest.raises(StoreInvalid, match="no schema allows"):
        ldiflines.add("cn=x", attrs)
    with pytest.raises(StoreInvalid, match="no schema allows"):
        ldiflines.modify("cn=x", [("replace", name, [b"x"])])


@given(dns, entries)
@example("cn=x\n\ndn: o=victim", {"cn": NASTY})
def test_nothing_but_printable_ascii_in_lines_that_are_not_too_long(
    dn: str, attrs: Attributes
) -> None:
    lines = ldiflines.content(dn, attrs).removesuffix("\n\n").split("\n")
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert all(0 < len(line) <= ldiflines.COLUMNS for line in lines)
