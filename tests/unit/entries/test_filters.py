# SPDX-License-Identifier: BSD-3-Clause
"""Filters without a server."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.entries.filters import Filter
from syncrepl_client.exceptions import ConfigurationError

ADA: Attributes = {
    "objectClass": [b"top", b"inetOrgPerson"],
    "cn": [b"Ada  Lovelace", "Ada Zoë".encode()],
    "cn;lang-de": [b"Adchen"],
    "uidNumber": [b"1000"],
    "mail": [b"ada@example.com"],
    "description": [b"a (b) *c* \\d"],
    "jpegPhoto": [b"\xff\xd8\0"],
    "empty": [b""],
}


@pytest.mark.parametrize("text", [
    "(objectClass=*)", "(objectclass=INETORGPERSON)", "objectClass=top", "(cn=ada lovelace)",
    "(cn=ada*)", "(cn=*LOVE*)", "(cn=*lace)", "(cn=a*a l*e*)", "(cn=ADA ZOË)", "(cn=adchen)",
    "(cn;lang-de=adchen)", "(uidNumber>=999)", "(uidNumber<=1000)", "(uidNumber>=1000)",
    "(mail>=a)", "(mail<=b)", "(cn~=ada lovelace)", "(description=a \\28b\\29 \\2ac\\2a \\5cd)",
    "(description=*\\2ac*)", "(jpegPhoto=\\ff\\d8\\00)", "(empty=)", "(empty=*)",
    "(&(cn=ada*)(mail=*))", "(|(cn=bob)(mail=ada*))", "(!(cn=bob))", "(&)", "(!(|))",
    "(&(|(cn=bob)(!(cn=bob)))(!(&(cn=ada*)(cn=bob))))", "(cn=a*)", "(cn=*)", "(cn=**)",
])  # fmt: skip
def test_matches(text: str) -> None:
    assert Filter(text).matches(ADA)


@pytest.mark.parametrize("text", [
    "(sn=*)", "(cn=ada)", "(cn=lovelace*)", "(cn=ad*x*)", "(cn;lang-de=ada*e)", "(cn;x=adchen)",
    "(uidNumber>=1001)", "(uidNumber<=999)", "(sn<=z)", "(mail=ada\\2a)", "(|)", "(!(&))",
    "(&(cn=ada*)(cn=bob))", "(jpegPhoto=\\ff\\d8)",
])  # fmt: skip
def test_matches_not(text: str) -> None:
    assert not Filter(text).matches(ADA)


@pytest.mark.parametrize("text", [
    "", "()", "(", "cn", "(cn)", "(=a)", "(cn=a", "(cn=a))", "cn=a)", "(cn=\\2)", "(cn=\\zz)",
    "(!(cn=a)(cn=b))", "(!)", "(cn:=a)", "(cn:dn:2.4.8=a)", "(&(cn=a)", "(&cn=a)", "(cn=a(b)",
    "(!" * 5000 + "(cn=a)" + ")" * 5000,
])  # fmt: skip
def test_what_is_none(text: str) -> None:
    with pytest.raises(ConfigurationError, match="not a filter"):
        Filter(text)


@given(st.text(max_size=30))
def test_any_text(text: str) -> None:
    with suppress(ConfigurationError):
        Filter(text).matches(ADA)


@given(st.binary(min_size=1, max_size=8))
def test_any_value_is_found(value: bytes) -> None:
    escaped = "".join(f"\\{octet:02x}" for octet in value)
    assert Filter(f"(x={escaped})").matches({"X": [value]})
    assert Filter(f"(x=*{escaped}*)").matches({"X": [value]})
