# SPDX-License-Identifier: BSD-3-Clause
"""DNs: when two are the same, which lies below which, and how they are renamed."""

from __future__ import annotations

import ldap.dn
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from syncrepl_client.entries import dn

SAME = [
    # case and spaces
    ["cn=Ann Lee,dc=Example,dc=com", "CN=ann lee,DC=EXAMPLE,dc=COM",
     "cn=ann  lee,dc=example,dc=com",
     "cn = Ann Lee , dc = example , dc = com"],
    ["cn=\\ a b\\ ,dc=x", "cn=\\20A  B\\20,dc=x"],
    # escapes
    ["cn=Lee\\, Ann,dc=x", "cn=lee\\2c ann,dc=x", "cn=\\4cee\\2C  ann,dc=x"],
    ["cn=a\\+b,dc=x", "cn=a\\2bb,dc=x"],
    ["cn=a\\\\b,dc=x", "cn=a\\5Cb,dc=x"],
    ['cn=a\\"b,dc=x', "cn=a\\22b,dc=x"],
    ["cn=a\\<\\>\\;b,dc=x", "cn=a\\3c\\3e\\3bb,dc=x"],
    ["cn=\\#a,dc=x", "cn=\\23a,dc=x"],
    ["cn=a#b,dc=x", "cn=a\\#b,dc=x", "cn=a\\23b,dc=x"],
    ["cn=a\\=b,dc=x", "cn=a\\3db,dc=x", "cn=a\\3DB,dc=x"],
    ["cn=a=b,dc=x", "CN=A=B,DC=X"],
    ["cn=\\61\\62,dc=x", "cn=ab,dc=x", "cn=AB,dc=x"],
    # multi-valued RDNs
    ["cn=a+sn=b,dc=x", "SN=B+CN=A,dc=x", "sn=b + cn=a,dc=x", "cn=a+sn=b , dc=x"],
    ["cn=a+cn=b+uid=c,dc=x", "uid=c+cn=b+cn=a,dc=x"],
    # not ASCII
    ["cn=Zoë,dc=x", "cn=ZOË,dc=x", "cn=zo\\c3\\ab,dc=x", "cn=zo\\C3\\AB,dc=x"],
    ["cn=ΣΊΣΥΦΟΣ,dc=x", "cn=σίσυφοσ,dc=x"],
    ["cn=ЖЁЊ,dc=x", "cn=жёњ,dc=x"],
    ["cn=Nguyễn Ỹ,dc=x", "cn=NGUYỄN ỹ,dc=x"],
    # attributes whose values heed case
    ["memberUid=Ann,dc=x", "MEMBERUID=Ann,dc=X", "memberuid = Ann,dc=x"],
    ["krbPrincipalName=a@EXAMPLE.COM,dc=x", "krbprincipalname=a@EXAMPLE.COM,DC=x"],
    ["automountKey=/Home,automountMapName=auto.Master",
     "AUTOMOUNTKEY=/Home,automountmapname=auto.Master"],
    ["labeledURI=http://h/A b,dc=x", "LABELEDURI=http://h/A b,DC=X"],
    ["homeDirectory=/Home/é+uid=ann", "uid=ANN+HOMEDIRECTORY=/Home/é"],
    ["cn=,dc=x", "CN= ,dc=x"],
    # octets that are no text
    ["cn=\\E9,dc=x", "cn=\\e9,DC=X"],
]  # fmt: skip
DIFFERENT = [
    ["cn=a,dc=x", "cn=b,dc=x", "sn=a,dc=x", "cn=a,dc=y", "cn=a", "dc=x", "cn=a,cn=a,dc=x", ""],
    ["cn=a b,dc=x", "cn=ab,dc=x"],
    ["cn=a,dc=x", "cn=a\\,dc=x"],
    ["cn=a+sn=b,dc=x", "cn=a\\+sn\\=b,dc=x", "cn=a,sn=b,dc=x", "cn=a,dc=x", "cn=b+sn=a,dc=x"],
    ["cn=a\\\\2cb", "cn=a\\2cb"],
    ["cn=a\\00b", "cn=a\\\\00b", "cn=a,b="],
    ["memberUid=Ann", "memberUid=ann", "uid=Ann"],
    ["krbPrincipalName=a@EXAMPLE.COM", "krbPrincipalName=a@example.com"],
    # What one server folds at least does not (OpenLDAP 2.5, 389-ds 2.3).
    ["cn=Weiss", "cn=Weiß", "cn=Wei\N{LATIN CAPITAL LETTER SHARP S}"],
    ["cn=σίσυφοσ", "cn=σίσυφος"],
    ["cn=é", "cn=e", "cn=e\N{COMBINING ACUTE ACCENT}"],
    ["cn=Ș", "cn=ș"],
    ["cn=²", "cn=2"],
    ["cn=ﬁ", "cn=fi"],
    ["cn=\N{LATIN SMALL LETTER LONG S}", "cn=s"],
    ["cn=K", "cn=\N{KELVIN SIGN}"],
    ["cn=İ", "cn=i", "cn=\N{LATIN SMALL LETTER DOTLESS I}"],
    ["cn=a b", "cn=a\N{NO-BREAK SPACE}b", "cn=a\N{IDEOGRAPHIC SPACE}b", "cn=a\tb", "cn=a\\20b"],
    ["cn=\\20a", "cn=a", "cn=a\\20", "cn=\\5c20a"],
    ["cn=a=b", "cn=a\\3Db", "cn=a\\5c3db"],
    ["commonName=a", "cn=a", "2.5.4.3=a"],
    # Attributes whose values heed case.
    *([f"{name}=/a", f"{name}=/A"] for name in (
        "labeledURI", "homeDirectory", "userPassword", "loginShell", "telephoneNumber", "ref",
        "memberNisNetgroup", "nisMapEntry", "javaClassName", "memberURL", "sudoHost",
    )),
    ["userPassword=a b", "userPassword=a  b"],
    ["cn=\\E9", "cn=\\EA", "cn=é"],
    ["cn=\\#41", "cn=41"],
]  # fmt: skip
NOT_DNS = [
    "a", ",", "=", "=a", "cn=a,", ",cn=a", "cn=a,,dc=b", "cn=a,b", "cn=a\\", "cn=a\\zz", "cn=a+",
    "cn=a+b", "cn=<a>", 'cn=a"b', "cn=a;dc=b", "cn=#zz", "cn=a,dc", "dc\u00e9", "cn=\ud800",
    "cn=a\0b", "cn=a,=b", " ", "cn=\\E9,b", "cn=\\E9,,dc=x",
]  # fmt: skip


@pytest.mark.parametrize("spellings", SAME, ids=lambda each: each[0])
def test_the_same(spellings: list[str]) -> None:
    assert {dn.key(each) for each in spellings} == {dn.key(spellings[0])}


@pytest.mark.parametrize("names", DIFFERENT, ids=lambda each: each[0])
def test_different(names: list[str]) -> None:
    assert len({dn.key(each) for each in names}) == len(names)


@pytest.mark.parametrize("name", NOT_DNS)
def test_not_a_dn(name: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        dn.key(name)


@given(st.text(max_size=30))
def test_any_text(name: str) -> None:
    try:
        key = dn.key(name)
    except ValueError:
        return
    assert dn.is_live(key)
    assert key == b"" or key.endswith(b"\0")
    assert key.count(b"\0") == (len(dn.split(name)) if name else 0)


# --- DNs of every kind: values, and a spelling of each

SPECIAL = ',+"\\<>;= #'
LETTERS = st.sampled_from([*SPECIAL, *"abAB/'.@-", "é", "É", "ß", "語", "𝄞", "\t", "\n", "\x7f"])
TYPES = st.sampled_from(["cn", "CN", "ou", "memberUid", "2.5.4.3", "x-y"])
RDNS = st.lists(st.tuples(TYPES, st.text(LETTERS, max_size=6)), min_size=1, max_size=2)
NAMES = st.lists(RDNS, min_size=1, max_size=4)


@st.composite
def spelled_values(draw: st.DrawFn, value: str) -> str:
    """One of the many ways in which RFC 4514 lets *value* be written."""
    spelled = []
    for place, letter in enumerate(value):
        at_an_end = place in (0, len(value) - 1)
        must = letter in ',+"\\<>;' or (letter.isspace() and at_an_end)
        must = must or (letter == "#" and place == 0)
        ways = [] if must else [letter]
        if letter in SPECIAL and (must or letter not in " ="):
            ways.append("\\" + letter)
        if must or letter not in " =":  # these are not the same everywhere if they are escaped
            ways.append("".join(f"\\{byte:02x}" for byte in letter.encode()))
            ways.append("".join(f"\\{byte:02X}" for byte in letter.encode()))
        spelled.append(draw(st.sampled_from(ways)))
    return "".join(spelled)


@st.composite
def spelled(draw: st.DrawFn, name: list[list[tuple[str, str]]]) -> str:
    rdns = (
        "+".join(f"{attribute}={draw(spelled_values(value))}" for attribute, value in rdn)
        for rdn in name
    )
    return ",".join(rdns)


@given(st.data())
def test_key_does_not_depend_on_the_spelling(data: st.DataObject) -> None:
    name = data.draw(NAMES)
    one, other = data.draw(spelled(name)), data.draw(spelled(name))
    assert dn.key(one) == dn.key(other)
    swapped = [[(attribute.swapcase(), value) for attribute, value in rdn[::-1]] for rdn in name]
    assert dn.key(data.draw(spelled(swapped))) == dn.key(one)


@given(st.data())
def test_split_is_str2dn(data: st.DataObject) -> None:
    name = data.draw(spelled(data.draw(NAMES)))
    rdns = dn.split(name)
    assert ",".join(rdns) == name
    assert [ldap.dn.str2dn(rdn)[0] for rdn in rdns] == ldap.dn.str2dn(name)


@given(st.data())
@example(None)
def test_rebase(data: st.DataObject) -> None:
    if data is None:
        leaf, above, base = "cn=a\\,b+sn=c", "ou=Old\\+", "ou=é"
    else:
        leaf, above, base = (data.draw(spelled(data.draw(NAMES))) for _ in range(3))
    name = f"{leaf},{above}"
    relative = dn.key(name)[len(dn.key(above)) :]
    assert dn.rebase(name, relative, base) == f"{leaf},{base}"
    assert dn.key(f"{leaf},{base}") == dn.key(base) + relative


@pytest.mark.parametrize("leaf", ["cn=a", "cn=\\E9", "cn=#0401E9", "cn=a\\2cb", "sn=b+cn=é"])
@pytest.mark.parametrize(
    "above", ["dc=x", "ou=a\\2Cb,dc=x", "ou=é,dc=x", "ou=b+cn=a", "ou=a  b", "OU = a , dc = x",
              "memberUid=A", "cn=\\E9,ou=é"],
)  # fmt: skip
def test_a_child_is_below_its_parent(leaf: str, above: str) -> None:
    key, parent = dn.key(f"{leaf},{above}"), dn.key(above)
    assert key.startswith(parent)
    assert dn.parent(key) == parent


# --- namesakes

CASES = st.lists(st.sampled_from(["x=a", "x=A", "X=a", "y=a", "y=A+x=b", "x=B+y=A"]), max_size=4)


@given(CASES, st.lists(CASES, max_size=3))
def test_key_among(name: list[str], namesakes: list[list[str]]) -> None:
    written = ",".join(name)
    keys = {dn.key(",".join(each)) for each in namesakes} - {b""}
    found = dn.key_among(written, keys)
    assert dn.plain(found) == dn.key(written)
    assert found.count(b"\0") == len(name)
    assert (found == dn.key(written)) is not any(dn.key(written).startswith(key) for key in keys)
    if name:
        assert dn.parent(found) == dn.key_among(dn.above(written), keys)


def test_spellings_of_namesakes() -> None:
    """Escapes and the case of types are none."""
    key = dn.key("x=a b,dc=x")
    names = ["x=A b,dc=x", "x=a b,dc=x", "x=a  b,dc=x", "X=\\41 b,DC=X", "x = A b , dc=x"]
    keys = [dn.key_among(name, {key}) for name in names]
    assert keys[0] == keys[3] == keys[4]
    assert len(set(keys)) == 3


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("cn=a,dc=x", "CN=a,DC=x", []),
        ("cn=a,dc=x", "cn=A,dc=x", [(b"dc=x\0cn=a\0", True)]),
        ("cn=a,x=b,dc=x", "cn=A,x=B,dc=x", [(b"dc=x\0x=b\0", False), (b"dc=x\0x=b\0cn=a\0", True)]),
        ("cn=a+x=b", "x=b+cn=A", [(b"cn=a+x=b\0", False)]),
        ("cn=a+uid=b", "uid=B+CN=a", [(b"cn=a+uid=b\0", True)]),
        ("", "", []),
    ],
)
def test_differences(one: str, other: str, expected: list[tuple[bytes, bool]]) -> None:
    assert list(dn.differences(one, other)) == expected
    assert dn.is_same(one, other) is all(caseless for _, caseless in expected)
    assert not dn.is_same(one, f"cn=z,{other}".rstrip(","))


def test_parent() -> None:
    key = dn.key("cn=a+sn=b,ou=c\\,d,dc=x")
    assert dn.parent(key) == dn.key("ou=c\\,d,dc=x")
    assert dn.parent(dn.parent(key)) == dn.key("dc=x")
    assert dn.parent(dn.key("dc=x")) == dn.key("") == b""


FEW = st.lists(
    st.sampled_from(["a=", "a=b", "a=bb", "a= b", "b=a", "a=b+b=a", "a=\\,", "a=é", "a=\\01"]),
    max_size=4,
)


@given(st.lists(FEW, min_size=1, max_size=20))
def test_a_subtree_is_a_contiguous_range_with_its_root_first(names: list[list[str]]) -> None:
    keys = {dn.key(",".join(name)): [rdn.replace(" ", "") for rdn in name] for name in names}
    in_order = sorted(keys)
    for key, name in keys.items():
        below = [each for each in in_order if keys[each][len(keys[each]) - len(name) :] == name]
        assert below == [each for each in in_order if each.startswith(key)]
        start = in_order.index(key)
        assert below == in_order[start : start + len(below)]


# --- displaced entries and references

UUIDS = st.binary(min_size=16, max_size=16)


@given(st.data(), UUIDS, UUIDS)
def test_displaced(data: st.DataObject, owner: bytes, uuid: bytes) -> None:
    relative = dn.key(data.draw(spelled(data.draw(NAMES))))
    key = dn.displaced(owner, relative, uuid)
    assert dn.is_displaced(key)
    assert not dn.is_live(key)
    assert not dn.is_reference(key)
    assert key >= dn.FIRST_DISPLACED
    assert dn.relative_to_owner(key) == relative
    assert key.startswith(dn.displaced_below(owner))
    below = dn.displaced(owner, relative + b"cn=a\0", bytes(16))
    assert key < below


def test_nobody_stands_where_a_uuid_does() -> None:
    assert dn.relative_to_owner(dn.displaced(dn.NOBODY, b"cn=a\0", bytes(16))) == b"cn=a\0"


@given(UUIDS, UUIDS)
def test_references_sort_between(uuid: bytes, other: bytes) -> None:
    key = dn.reference(uuid)
    assert dn.is_reference(key)
    assert not dn.is_live(key)
    assert not dn.is_displaced(key)
    assert dn.FIRST_NOT_LIVE <= key < dn.FIRST_DISPLACED
    assert (dn.reference(other) == key) is (other == uuid)


@given(st.data())
def test_live_keys_sort_first(data: st.DataObject) -> None:
    key = dn.key(data.draw(spelled(data.draw(NAMES))))
    assume(key)
    assert dn.is_live(key)
    assert key < dn.FIRST_NOT_LIVE
    assert not dn.is_displaced(key)
    assert not dn.is_reference(key)
