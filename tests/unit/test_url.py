# SPDX-License-Identifier: BSD-3-Clause
"""LDAP URLs: parsed, compared, and never shown with their password."""

from __future__ import annotations

import copy
import pickle
import traceback
from typing import Any

import ldap
import ldapurl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncrepl_client import url
from syncrepl_client.exceptions import ConfigurationError, LDAPUrlConflict, LDAPUrlError
from syncrepl_client.url import MATCH_ALL, SearchUrl, parse

BASE, ONE, SUB = ldap.SCOPE_BASE, ldap.SCOPE_ONELEVEL, ldap.SCOPE_SUBTREE


@pytest.mark.parametrize(
    ("text", "server", "base", "attributes", "scope", "filter"),
    [
        ("ldap://h/dc=x", "ldap://h", "dc=x", (), BASE, MATCH_ALL),
        ("ldap://h:3890/dc=x??sub", "ldap://h:3890", "dc=x", (), SUB, MATCH_ALL),
        ("ldaps://h/dc=x?cn,mail?one?(a=b)", "ldaps://h", "dc=x", ("cn", "mail"), ONE, "(a=b)"),
        ("LDAP://h/dc=x?*,+?sub?(a=b)", "ldap://h", "dc=x", ("*", "+"), SUB, "(a=b)"),
        ("ldap://[2001:db8::1]:389/dc=x", "ldap://[2001:db8::1]:389", "dc=x", (), BASE, MATCH_ALL),
        ("ldapi:///dc=x", "ldapi://", "dc=x", (), BASE, MATCH_ALL),
        ("ldapi://%2Frun%2Fslapd%2Fldapi/dc=x??sub", "ldapi://%2Frun%2Fslapd%2Fldapi", "dc=x", (),
         SUB, MATCH_ALL),
        ("ldap://h/ou=a%20b%2Cdc=x?%20cn%20,,sn?sub?(a=%3F%28)", "ldap://h", "ou=a b,dc=x",
         ("cn", "sn"), SUB, "(a=?()"),
        ("ldap://h/ou=%C3%A9??sub?(a=%C3%A9)", "ldap://h", "ou=é", (), SUB, "(a=é)"),
        ("ldap://h/ou=a%5C2Cb", "ldap://h", "ou=a\\2Cb", (), BASE, MATCH_ALL),
        ("ldap://h/dc=x??sub??unknown=1,other", "ldap://h", "dc=x", (), SUB, MATCH_ALL),
    ],
)  # fmt: skip
def test_parse(
    text: str, server: str, base: str, attributes: tuple[str, ...], scope: int, filter: str
) -> None:
    parsed = parse(text)
    assert parsed == SearchUrl(server, base, scope, filter, attributes)
    assert parsed.password is parsed.mechanism is None
    assert parse(ldapurl.LDAPUrl(text)) == parsed
    assert parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("", "does not begin"),
        ("h/dc=x", "does not begin"),
        ("http://h/dc=x", "does not begin"),
        ("cldap://h/dc=x", "does not begin"),
        (" ldap://h/dc=x", "does not begin"),
        ("ldap://h h/dc=x", "blank"),
        ("ldap://h\th/dc=x", "blank"),
        ("ldap://h\u2003ldap:/dc=x", "blank"),
        ("ldap://h/dc=x????bindname=PLAIN,X-BINDPW=pw", "not supported"),
        ("ldap://h/dc=x????bindname=digest-md5", "not supported"),
        ("ldap://h/dc=x????bindname=SCRAM-SHA-512", "not supported"),
        ("ldap:///dc=x", "no host"),
        ("ldaps:///dc=x", "no host"),
        ("ldap://h", "no search base"),
        ("ldap://h/", "no search base"),
        ("ldap://h/??sub", "no search base"),
        ("ldap://h/people", "not a DN"),
        ("ldap://h/dc=x,,dc=y", "not a DN"),
        ("ldap://h/dc=x??children", "scope"),
        ("ldap://h/dc=x??subordinates", "scope"),
        ("ldap://h/dc=x??(a=b)", "scope"),
        ("ldap://h/dc=x????!x-other=1", "critical"),
        ("ldap://h/dc=x????bindname=cn=a,!x-other", "critical"),
        ("ldap://h/dc=x??sub?(a=b)?bindname=cn=a?X-BINDPW=pw", "commas"),
        ("ldap://me@h/dc=x", "@"),
        (None, "NoneType"),
        (b"ldap://h/dc=x", "bytes"),
        (ldapurl.LDAPUrl(hostport="h"), "no search base"),
        (ldapurl.LDAPUrl(dn="dc=x"), "no host"),
        (ldapurl.LDAPUrl(urlscheme="http", hostport="h", dn="dc=x"), "scheme"),
        (ldapurl.LDAPUrl(hostport="h", dn="dc=x", scope=7), "scope"),
    ],
)
def test_bad_ones(bad: Any, reason: str) -> None:
    with pytest.raises(LDAPUrlError, match=reason) as caught:
        parse(bad)
    assert isinstance(caught.value, ConfigurationError)
    assert isinstance(caught.value, ValueError)


# --- whom to bind as


@pytest.mark.parametrize(
    ("extensions", "bindname", "password", "mechanism"),
    [
        ("", None, None, None),
        ("bindname=cn=a%2Cdc=x,X-BINDPW=pw", "cn=a,dc=x", "pw", None),
        ("!bindname=cn=a%2Cdc=x,!X-BINDPW=p%2Cw%3F%25%20", "cn=a,dc=x", "p,w?% ", None),
        ("BINDNAME=cn=a,x-bindpw=pw", "cn=a", "pw", None),
        ("x-bindpw=pw", None, "pw", None),
        ("bindname=GSSAPI", "GSSAPI", None, "GSSAPI"),
        ("bindname=external", "external", None, "EXTERNAL"),
        ("bindname=SCRAM-SHA-1", "SCRAM-SHA-1", None, "SCRAM-SHA-1"),
        ("bindname=scram-sha-256-plus,X-BINDPW=pw", "scram-sha-256-plus", "pw",
         "SCRAM-SHA-256-PLUS"),
        ("bindname,X-BINDPW", None, None, None),
        ("bindname=,X-BINDPW=", None, None, None),
    ],
)  # fmt: skip
def test_bindname(
    extensions: str, bindname: str | None, password: str | None, mechanism: str | None
) -> None:
    parsed = parse(f"ldap://h/dc=x??sub??{extensions}")
    assert (parsed.bindname, parsed.password, parsed.mechanism) == (bindname, password, mechanism)
    assert parse(str(parsed)) == parsed.replace(password=None)
    assert parse(str(parsed)).password is None


def test_a_url_object_says_whom_to_bind_as() -> None:
    made = ldapurl.LDAPUrl("ldap://h/dc=x")
    made.who, made.cred = "cn=a", "pw"
    parsed = parse(made)
    assert (parsed.bindname, parsed.password) == ("cn=a", "pw")


# --- the password is shown to nobody

SECRET = "s3cr3t"
WITH_SECRET = f"ldap://h/dc=x??sub??bindname=cn=a,X-BINDPW={SECRET}"


def test_the_password_is_not_shown() -> None:
    parsed = parse(WITH_SECRET)
    assert parsed.password == SECRET
    for shown in (str(parsed), repr(parsed), f"{parsed}", f"{parsed!r}", f"{[parsed]}"):
        assert SECRET not in shown
    assert parsed == parse(str(parsed))
    assert SECRET not in repr(vars(parsed.without_password()))
    assert copy.copy(parsed).password == SECRET
    assert SECRET in pickle.dumps(parsed).decode("latin-1")  # so stores keep str() instead


@pytest.mark.parametrize(
    "bad",
    [
        f"http://h/dc=x????X-BINDPW={SECRET}",
        f"h/dc=x????X-BINDPW={SECRET}",
        f"ldap:///dc=x????X-BINDPW={SECRET}",
        f"ldap://h/????X-BINDPW={SECRET}",
        f"ldap://h/people????X-BINDPW={SECRET}",
        f"ldap://h/dc=x??X-BINDPW={SECRET}",
        f"ldap://h/dc=x?cn?X-BINDPW={SECRET}",
        f"ldap://h/dc=x??children??X-BINDPW={SECRET}",
        f"ldap://h/dc=x????!other=1,X-BINDPW={SECRET}",
        f"ldap://h/dc=x????X-BINDPW=a,!{SECRET}",
        f"ldap://h/dc=x????X-BINDPW=a,!{SECRET}=b",
        f"ldap://h/dc=x????X-BINDPW=a?{SECRET}",
        f"ldap://me:{SECRET}@h/dc=x",
        f"ldap://me:{SECRET}@h",
        f"ldap://h/dc=x????X-BINDPW={SECRET}".encode(),
        {f"ldap://h/dc=x????X-BINDPW={SECRET}"},
        [f"ldap://h/dc=x????X-BINDPW={SECRET}", f"ldap://h/dc=y????X-BINDPW={SECRET}"],
        f"ldap://h/dc=x ldap://h/dc=x????X-BINDPW={SECRET}",
        f"ldap://h/dc=x????X-BINDPW={SECRET} ldap://h/dc=x????X-BINDPW={SECRET}2",
        [f"ldap://h/dc=x????X-BINDPW={SECRET}", b"ldap://h"],
        ["ldap://h/dc=x", f"ldap://h/????X-BINDPW={SECRET}"],
        ["ldap://h/dc=x", f"ldap://me:{SECRET}@h"],
        ldapurl.LDAPUrl(f"ldap:///dc=x????X-BINDPW={SECRET}"),
        ldapurl.LDAPUrl(urlscheme="x", hostport="h", dn="dc=x", cred=SECRET),
    ],
    ids=str,
)
def test_the_password_is_not_in_errors(bad: Any) -> None:
    with pytest.raises(LDAPUrlError) as caught:
        parse(bad)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)
    shown = "".join(traceback.format_exception_only(type(caught.value), caught.value))
    assert SECRET not in shown
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_the_password_is_not_in_conflicts() -> None:
    with pytest.raises(LDAPUrlConflict) as caught:
        parse(WITH_SECRET).check_same_search(parse(WITH_SECRET.replace("dc=x", "dc=y")))
    assert SECRET not in str(caught.value)


# --- the same search, or another


@pytest.mark.parametrize(
    "other",
    [
        "ldap://h/dc=x?cn,mail?sub?(a=b)",
        "ldaps://elsewhere:636/DC=X?cn,mail?sub?(a=b)",
        "ldapi:///dc%20=%20x?MAIL,CN?sub?(a=b)?bindname=EXTERNAL",
        "ldap://h/dc=x?cn,mail,cn?sub?(a=b)?bindname=cn=b,X-BINDPW=pw",
    ],
)
def test_same_search(other: str) -> None:
    stored = parse("ldap://h/dc=x?cn,mail?sub?(a=b)?bindname=cn=a")
    parse(other).check_same_search(stored)
    stored.check_same_search(parse(other))


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ("ldap://h/dc=y?cn?sub?(a=b)", ["base"]),
        ("ldap://h/dc=x?cn?one?(a=b)", ["scope"]),
        ("ldap://h/dc=x?cn?sub?(a=c)", ["filter"]),
        ("ldap://h/dc=x?cn?sub", ["filter"]),
        ("ldap://h/dc=x?sn?sub?(a=b)", ["attributes"]),
        ("ldap://h/dc=x?cn,sn?sub?(a=b)", ["attributes"]),
        ("ldap://h/dc=x??sub?(a=b)", ["attributes"]),
        ("ldap://h/dc=y?sn?base?(a=c)", ["base", "scope", "filter", "attributes"]),
    ],
)
def test_another_search(other: str, named: list[str]) -> None:
    with pytest.raises(LDAPUrlConflict) as caught:
        parse(other).check_same_search(parse("ldap://h/dc=x?cn?sub?(a=b)"))
    text = str(caught.value)
    assert [
        part for part in ("base", "scope", "filter", "attributes") if f"{part} (" in text
    ] == named


def test_no_attributes_are_all_attributes() -> None:
    parse("ldap://h/dc=x??sub").check_same_search(parse("ldap://h/dc=x?*?sub"))
    with pytest.raises(LDAPUrlConflict):
        parse("ldap://h/dc=x?*,%2B?sub").check_same_search(parse("ldap://h/dc=x?*?sub"))


@pytest.mark.parametrize(
    ("filter", "matches"),
    [("(objectClass=*)", True), ("(OBJECTCLASS=*)", True), ("( objectclass=* )", True),
     ("(objectClass=person)", False), ("(cn=*)", False), ("(!(objectClass=*))", False)],
)  # fmt: skip
def test_matches_all(filter: str, matches: bool) -> None:
    assert parse(f"ldap://h/dc=x??sub?{filter}").matches_all is matches


# --- several servers

FULL = "ldap://a/dc=x?cn,mail?sub?(a=b)?bindname=cn=r"


@pytest.mark.parametrize(
    ("several", "servers"),
    [
        (FULL, ["ldap://a"]),
        ([FULL], ["ldap://a"]),
        (f"{FULL} ldap://b", ["ldap://a", "ldap://b"]),
        (f"{FULL}  \t\nLDAPS://b:1636/", ["ldap://a", "ldaps://b:1636"]),
        (f"{FULL} ldap://b/??", ["ldap://a", "ldap://b"]),
        ([FULL, "ldap://b", "ldapi://%2Frun%2Fldapi"],
         ["ldap://a", "ldap://b", "ldapi://%2Frun%2Fldapi"]),
        ((FULL, ldapurl.LDAPUrl(hostport="b")), ["ldap://a", "ldap://b"]),
        ([ldapurl.LDAPUrl(FULL), "ldap://b ldap://c"], ["ldap://a", "ldap://b", "ldap://c"]),
        ([FULL, "ldap://b", "ldap://a"], ["ldap://a", "ldap://b"]),
        ([FULL, "ldap://b/DC=X?MAIL,CN?sub?(a=b)?bindname=cn=r"], ["ldap://a", "ldap://b"]),
        ([f"{FULL},X-BINDPW=pw", "ldap://b/dc=x?cn,mail?sub?(a=b)?bindname=cn=r,X-BINDPW=pw"],
         ["ldap://a", "ldap://b"]),
    ],
)  # fmt: skip
def test_several_servers(several: Any, servers: list[str]) -> None:
    parsed = parse(several)
    assert list(parsed.servers) == servers
    assert parsed.replace(servers=()) == parse(FULL)
    assert " ".join([str(parse(FULL)), *servers[1:]]) == str(parsed)
    assert parse(str(parsed)) == parsed
    assert SECRET not in str(parsed)
    parsed.check_same_search(parse(FULL))


def test_at_another_server() -> None:
    parsed = parse(f"{FULL},X-BINDPW=pw ldap://b ldaps://c")
    there = parsed.at("ldaps://c")
    assert (there.server, there.servers, there.password) == ("ldaps://c", parsed.servers, "pw")
    assert str(there) == str(parsed)  # what the store remembers does not depend on who answers
    assert there.at("ldap://a") == parsed
    with pytest.raises(ValueError, match="ldap://d is none of ldap://a, ldap://b, ldaps://c"):
        parsed.at("ldap://d")


@pytest.mark.parametrize(
    ("later", "named"),
    [
        ("ldap://b/dc=y?cn,mail?sub?(a=b)?bindname=cn=r", ["base"]),
        ("ldap://b/dc=x?cn,mail?one?(a=b)?bindname=cn=r", ["scope"]),
        ("ldap://b/dc=x?cn,mail??(a=b)?bindname=cn=r", ["scope"]),
        ("ldap://b/dc=x?cn,mail?sub??bindname=cn=r", ["filter"]),
        ("ldap://b/dc=x?cn?sub?(a=b)?bindname=cn=r", ["attributes"]),
        ("ldap://b/dc=x?cn,mail?sub?(a=b)", ["bindname"]),
        ("ldap://b/dc=x?cn,mail?sub?(a=b)?bindname=cn=R", ["bindname"]),
        ("ldap://b/dc=x?cn,mail?sub?(a=b)?bindname=EXTERNAL", ["bindname"]),
        ("ldap://b/dc=x?cn,mail?sub?(a=b)?bindname=cn=r,X-BINDPW=pw", ["X-BINDPW"]),
        ("ldap://b/dc=y", ["base", "scope", "filter", "attributes", "bindname"]),
    ],
)
@pytest.mark.parametrize("as_list", [False, True])
def test_several_that_disagree(later: str, named: list[str], as_list: bool) -> None:
    several = [FULL, "ldap://c", later] if as_list else f"{FULL} ldap://c {later}"
    with pytest.raises(LDAPUrlError, match="number 3 has another") as caught:
        parse(several)
    said = str(caught.value).partition("another ")[2].partition(" than")[0]
    assert said.split(", ") == named


@pytest.mark.parametrize(
    ("several", "reason"),
    [
        ([], "empty list"),
        ((), "empty list"),
        ("ldap://a ldap://b/dc=x", "no search base"),  # the first one says what to search
        (["ldap://a/dc=x", ""], "does not begin"),
        (["ldap://a/dc=x", "b"], "does not begin"),
        (["ldap://a/dc=x", " ldap://b"], "does not begin"),
        (["ldap://a/dc=x", None], "NoneType"),
        (["ldap://a/dc=x", b"ldap://b"], "bytes"),
        (["ldap://a/dc=x", ["ldap://b"]], "list"),
        (["ldap://a/dc=x", "ldap://"], "no host"),
        (["ldap://a/dc=x", "ldap:///"], "no host"),
        (["ldap://a/dc=x", "ldap://b,ldap://c"], "comma in a host"),
        (["ldap://a/dc=x", "ldap://b/??sub"], "no search base"),
        (["ldap://a/dc=x", "ldap://b/????bindname=cn=a"], "no search base"),
        (["ldap://a/dc=x", "ldap://b/????!x-other"], "critical"),
        (["ldap://a/dc=x", ldapurl.LDAPUrl(urlscheme="http", hostport="b")], "scheme"),
        ("ldap://a,ldap://b/dc=x", "comma in a host"),
        ("ldap://a,b/dc=x", "comma in a host"),
        ("ldap://h/dc=x,X-BINDPW=secret", "before its extensions"),
        ("ldap://h/dc=x?cn ldap://i,x-bindpw=secret", "before its extensions"),
        (["ldap://a/dc=x", "ldap://b,c"], "comma in a host"),
        ("ldap://a b/dc=x", "blank"),
        ({"ldap://a/dc=x": 1}, "dict"),
        (iter(["ldap://a/dc=x"]), "iterator"),
    ],
)
def test_bad_lists(several: Any, reason: str) -> None:
    with pytest.raises(LDAPUrlError, match=reason):
        parse(several)


PIECES = st.sampled_from(
    ["ldap://", "ldaps://b", " ", "\n", "ldap://a", "/", "/dc=x", "?", "??sub", "?(a=b)", ",",
     "cn", "bindname=cn=a", f"X-BINDPW={SECRET}", "!", "@", "%20ldap://", "ldapi://%2F", "\u2003",
     "[::1]"]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=12).map("".join)


@given(st.one_of(TEXTS, st.lists(TEXTS, max_size=4)), st.booleans())
@example(f"ldap://a/dc=x????X-BINDPW={SECRET} ldap://b", False)
@example([FULL, "ldap://a/dc=x%20ldap://b"], False)
def test_any_pieces(several: Any, whole: bool) -> None:
    """Whatever is put together: an error, or what can be remembered and read back."""
    if whole:
        several = [FULL, *([several] if isinstance(several, str) else several)]
    try:
        parsed = parse(several)
    except LDAPUrlError:
        return
    assert parsed.server == parsed.servers[0]
    assert len(set(parsed.servers)) == len(parsed.servers)
    assert not any(character.isspace() for server in parsed.servers for character in server)
    assert parse(str(parsed)) == parsed.replace(password=None)
    assert all(str(parsed.at(server)) == str(parsed) for server in parsed.servers)


# --- what a store remembers is read back

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(
    st.sampled_from(["ldap://h", "ldaps://h:1636", "ldapi://%2Ftmp%2Fa%20b"]),
    NAMES,
    st.lists(NAMES.filter(lambda name: "," not in name), max_size=3),
    st.sampled_from([BASE, ONE, SUB]),
    NAMES,
    st.one_of(st.none(), NAMES),
    NAMES,
)
@example("ldap://h", "a?b", ["a?b", "c"], SUB, " (a=b) ", "cn=a ", "p,w")
@example("ldap://h", "%3F", ["%2C"], SUB, "%20", "%2C", "%")
def test_str_is_parsed_back(
    server: str,
    name: str,
    attributes: list[str],
    scope: int,
    filter: str,
    bindname: str | None,
    password: str,
) -> None:
    made = ldapurl.LDAPUrl(f"{server}/dc=x")
    made.dn = f"cn={ldap.dn.escape_dn_chars(name)},dc=x"
    made.attrs, made.scope, made.filterstr = attributes, scope, filter
    made.who, made.cred = bindname, password
    try:
        parsed = parse(made)
    except LDAPUrlError:
        return
    again = parse(str(parsed))
    assert again == parsed
    assert again.password is None
    parsed.check_same_search(again)


@given(st.text(max_size=40), st.sampled_from(["", "ldap://", "ldap://h/dc=x", "ldap://h/dc=x????"]))
def test_any_text(text: str, start: str) -> None:
    try:
        parsed = url.parse(start + text)
    except LDAPUrlError:
        return
    assert parse(str(parsed)) == parsed.replace(password=None)


def test_a_comma_in_a_bind_name_is_not_lost() -> None:
    with pytest.raises(LDAPUrlError, match="%2C, or use the arguments bind_dn"):
        parse("ldap://h/dc=x??sub??bindname=cn=reader,ou=services,dc=x")


def test_bound_as() -> None:
    where = parse("ldap://h/dc=x??sub")
    assert where.bound_as(None) is where
    assert where.bound_as("cn=reader,ou=services,dc=x").bindname == "cn=reader,ou=services,dc=x"
    assert parse(str(where.bound_as("cn=a,dc=x"))).bindname == "cn=a,dc=x"
    for bad in ("", "reader", 5):
        with pytest.raises(LDAPUrlError, match="bind_dn is a DN"):
            where.bound_as(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("part", ["base", "filter", "attributes"])
@pytest.mark.parametrize("octets", ["\udcff", "a\0b"], ids=["not UTF-8", "NUL"])
def test_octets_that_cannot_be_sent(part: str, octets: str) -> None:
    value: Any = (octets,) if part == "attributes" else octets
    with pytest.raises(LDAPUrlError, match="no UTF-8, or NUL"):
        parse("ldap://h/dc=x??sub").replace(**{part: value})
