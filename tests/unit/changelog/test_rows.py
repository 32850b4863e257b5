# SPDX-License-Identifier: BSD-3-Clause
"""What differs between two states of an entry leads from the one to the other, and back."""

from __future__ import annotations

from datetime import datetime, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncrepl_client import AttributeChangeKind, Change, ChangeKind, Phase
from syncrepl_client.changelog import rows
from syncrepl_client.entries import attributes
from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.entries.differences import diff
from syncrepl_client.exceptions import StoreInvalid

NOTHING: frozenset[str] = frozenset()
NAMES = st.sampled_from(["cn", "CN", "mail", "Mail;lang-de", "userPassword", "description"])
VALUES = st.lists(
    st.sampled_from([b"a", b"b", b"c", b"", b"\0", b"\xff\n"]), min_size=1, max_size=4
)
ENTRIES: st.SearchStrategy[Attributes] = st.dictionaries(NAMES, VALUES, max_size=5)


@given(ENTRIES, ENTRIES)
def test_there_and_back(old: Attributes, new: Attributes) -> None:
    differences = list(rows.decode(rows.encode(old, new, NOTHING)))
    assert attributes.same(rows.forward(differences, old), new)
    assert attributes.same(rows.back(differences, new), old)
    found = {each.name.lower() for each in differences}
    assert found == {each.name.lower() for each in diff(old, new)}


@given(ENTRIES)
def test_what_comes_and_what_goes_is_there_as_a_whole(attrs: Attributes) -> None:
    came = list(rows.decode(rows.encode(None, attrs, NOTHING)))
    went = list(rows.decode(rows.encode(attrs, None, NOTHING)))
    assert attributes.same(rows.forward(came, {}), attrs)
    assert attributes.same(rows.back(went, {}), attrs)


@given(ENTRIES, ENTRIES)
def test_of_a_secret_it_is_kept_that_it_changed(old: Attributes, new: Attributes) -> None:
    secret = frozenset(["userpassword"])
    encoded = rows.encode(old, new, secret)
    kinds = {each.name: each.kind for each in diff(old, new)}
    for each in rows.decode(encoded):
        assert rows.is_left_out(each) is (each.name == "userPassword")
        if each.name == "userPassword":
            assert each.kind is kinds["userPassword"]
    differences = list(rows.decode(encoded))
    public = {name: values for name, values in new.items() if name != "userPassword"}
    kept = rows.forward(differences, old)
    if "userPassword" in kinds:
        assert attributes.same(kept, public)
    else:
        assert attributes.same(kept, new)


def test_no_value_of_a_secret_is_written() -> None:
    secret = frozenset(["userpassword"])
    old, new = {"userPassword;x": [b"hunter1"]}, {"userPassword;x": [b"hunter2"], "cn": [b"a"]}
    pairs: list[tuple[Attributes | None, Attributes | None]]
    pairs = [(None, new), (old, new), (old, None), (new, old)]
    for before, after in pairs:
        assert b"hunter" not in rows.encode(before, after, secret)


def test_a_member_of_many_is_a_line() -> None:
    many = [b"uid=%d,dc=x" % number for number in range(10_000)]
    encoded = rows.encode({"member": many}, {"member": [*many, b"uid=new,dc=x"]}, NOTHING)
    assert len(encoded) < 100
    [change] = rows.decode(encoded)
    assert (change.added, change.removed) == ((b"uid=new,dc=x",), ())
    assert change.kind is AttributeChangeKind.REPLACED


def test_what_does_not_fit() -> None:
    differences = list(rows.decode(rows.encode({"cn": [b"a"]}, {"cn": [b"b"]}, NOTHING)))
    with pytest.raises(StoreInvalid, match="does not fit"):
        rows.forward(differences, {"cn": [b"c"]})
    # Where its values were left out once, nobody knows what it was before.
    assert rows.back(differences, {}) == {}


@pytest.mark.parametrize("blob", [b"", b"[", attributes.encode({"cn": [b"a"]}),
                                  attributes.encode({"": []})])  # fmt: skip
def test_damaged_differences(blob: bytes) -> None:
    with pytest.raises(StoreInvalid):
        list(rows.decode(blob))


UUID_1 = UUID(int=1)


@pytest.mark.parametrize("change", [
    Change(ChangeKind.ADD, UUID_1, Phase.REFRESH, None, "cn=a", None, {"cn": [b"a"]}),
    Change(ChangeKind.MODIFY, UUID_1, Phase.PERSIST, "cn=a", "cn=a", {}, {"cn": [b"a"]}),
    Change(ChangeKind.RENAME, UUID_1, Phase.PRESENT, "cn=a", "cn=A", {}, {}),
    Change(ChangeKind.DELETE, UUID_1, Phase.DELETE, "cn=a", None, {"cn": [b"a"]}, None),
    Change(ChangeKind.REFERENCE, UUID_1, Phase.REFRESH, None, None, None, {"ref": [b"ldap://h"]}),
])  # fmt: skip
def test_a_row_is_the_change_again(change: Change) -> None:
    change = change._replace(time=datetime(2026, 11, 28, 12, 0, 0, 123457, timezone.utc))
    row = rows.row_of(UUID_1.bytes, change, NOTHING, bytes(16))
    assert rows.change_of(row, change.old_attrs, change.new_attrs) == change
    left = change.kind in (ChangeKind.RENAME, ChangeKind.DELETE)
    assert row.place == (rows.place_of(b"cn=a\0") if left else None)


@pytest.mark.parametrize(("attrs", "csn"), [
    ({"cn": [b"a"]}, None),
    ({"modifyTimestamp": [b"20261128120000Z"]}, "20261128120000Z"),
    ({"MODIFYTIMESTAMP": [b"1"], "entrycsn": [b"2"]}, "2"),
    ({"entryCSN": []}, None),
])  # fmt: skip
def test_the_servers_own_number(attrs: Attributes, csn: str | None) -> None:
    change = Change(ChangeKind.ADD, UUID_1, Phase.PERSIST, None, "cn=a", None, attrs)
    assert rows.row_of(UUID_1.bytes, change, NOTHING, bytes(16)).csn == csn


@pytest.mark.parametrize("field", [{"kind": "none"}, {"phase": "none"}, {"uuid": b"short"}])
def test_damaged_rows(field: dict[str, object]) -> None:
    change = Change(ChangeKind.ADD, UUID_1, Phase.PERSIST, None, "cn=a", None, {})
    row = rows.row_of(UUID_1.bytes, change, NOTHING, bytes(16))
    with pytest.raises(StoreInvalid):
        rows.change_of(row._replace(**field), None, {})  # type: ignore[arg-type]
