# SPDX-License-Identifier: BSD-3-Clause
"""What counts as a difference, and when one is believed: without a network."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pytest

from syncrepl_client import DifferenceKind, exceptions
from syncrepl_client.engine.verification import BOOKKEEPING, Difference, compare, verify
from syncrepl_client.entries.attributes import Attributes, encode
from syncrepl_client.network.parentage import Place
from syncrepl_client.protocol.dialect import DS389, OPENLDAP, OTHER, Dialect
from syncrepl_client.protocol.unreported import DERIVED
from syncrepl_client.protocol.view import Record
from syncrepl_client.protocol.wire import SearchEntry
from syncrepl_client.store import MemoryStore
from tests.contract.places import displaced, fill, record, reference

MISSING, SURPLUS = DifferenceKind.MISSING, DifferenceKind.SURPLUS
DIFFERENT, RESPELLED = DifferenceKind.DIFFERENT, DifferenceKind.RESPELLED


def found(number: int, name: str | None = None, **attrs: str) -> SearchEntry:
    """What the search finds of record(number)."""
    values = {key: [value.encode()] for key, value in attrs.items()}
    return SearchEntry(f"cn={number},dc=x" if name is None else name, values)


class Directory:
    """A directory that is one thing when it is searched, and another when it is read again."""

    def __init__(self, *entries: SearchEntry) -> None:
        self.entries = list(entries)
        self.now: dict[str, SearchEntry | None] = {}
        self.read: list[str] = []
        self.sizes: list[int] = []
        self.uuids: dict[str, bytes] = {}
        self.where: dict[bytes, Place] = {}
        self.stops_after: int | None = None
        self.closed = False

    def pages(self, size: int) -> Iterator[SearchEntry]:
        self.sizes.append(size)
        yield from self.entries

    def read_entry(self, name: str) -> SearchEntry | None:
        self.read.append(name)
        return self.now.get(name, {each.dn: each for each in self.entries}.get(name))

    def identify(self, name: str) -> bytes | None:
        return self.uuids.get(name)

    def places(self, uuids: Collection[bytes]) -> Mapping[bytes, Place]:
        return {uuid: self.where[uuid] for uuid in uuids if uuid in self.where}

    def raise_if_stopped(self) -> None:
        if self.stops_after == 0:
            raise exceptions.Stopped("stop")
        if self.stops_after is not None:
            self.stops_after -= 1

    def close(self) -> None:
        self.closed = True


def stored(*records: Record) -> MemoryStore:
    store = MemoryStore()
    store.create()
    fill(store, *records)
    return store


def check(
    store: MemoryStore, directory: Directory, limit: int = 1000, dialect: Dialect = OTHER
) -> list[Difference]:
    """Verify, and see that the directory was left."""
    try:
        return verify(lambda: directory, store, dialect, 100, limit)
    finally:
        assert directory.closed


# --- one entry


def test_nothing_and_nothing_are_the_same() -> None:
    assert compare(None, None) is None


def test_each_kind_says_where_and_what() -> None:
    assert compare(None, found(1)) == Difference(MISSING, "cn=1,dc=x")
    assert compare(record(1), None) == Difference(SURPLUS, "cn=1,dc=x", "cn=1,dc=x")
    assert compare(record(1, sn="a", l="b", cn="1"), found(1, sn="x", cn="1", o="y")) == (
        Difference(DIFFERENT, "cn=1,dc=x", "cn=1,dc=x", ("l", "o", "sn"))
    )
    assert compare(record(1, sn="a"), found(1, "CN=1, dc=x", sn="a")) == (
        Difference(RESPELLED, "CN=1, dc=x", "cn=1,dc=x")
    )
    assert compare(record(1, sn="a"), found(1, "CN=1,dc=x", sn="b")) == (
        Difference(DIFFERENT, "CN=1,dc=x", "cn=1,dc=x", ("sn",))
    )


@pytest.mark.parametrize(
    ("one", "other", "names"),
    [
        ({"cn": [b"a", b"b"]}, {"CN": [b"b", b"a"]}, ()),
        ({"cn": [b"a", b"b"], "sn": [b"c"]}, {"sn": [b"c"], "cn": [b"b", b"a"]}, ()),
        ({"cn": [b"a"]}, {"cn": [b"A"]}, ("cn",)),
        ({"cn": [b"a"]}, {"cn": [b"a", b"b"]}, ("cn",)),
        ({"cn": [b"a"]}, {}, ("cn",)),
        ({}, {"cn;lang-en": [b"a"]}, ("cn;lang-en",)),
    ],
)
def test_attributes_are_compared_as_the_store_does(
    one: Attributes, other: Attributes, names: tuple[str, ...]
) -> None:
    in_store = record(1)._replace(attrs=encode(one))
    difference = compare(in_store, SearchEntry("cn=1,dc=x", other))
    assert (() if difference is None else difference.attributes) == names


def test_a_difference_is_immutable() -> None:
    with pytest.raises(AttributeError):
        Difference(MISSING, "cn=1,dc=x").dn = "cn=2"  # type: ignore[misc]


@pytest.mark.parametrize("dialect", [OPENLDAP, DS389, OTHER])
def test_what_no_server_tells_of_is_not_compared(dialect: Dialect) -> None:
    derived: dict[str, Any] = {name.title(): "old" for name in DERIVED}
    store = stored(record(1, sn="a", **derived))
    assert check(store, Directory(found(1, sn="a", contextCSN="new")), dialect=dialect) == []


def test_bookkeeping_is_compared_where_a_resume_sends_it() -> None:
    before: dict[str, Any] = dict.fromkeys(BOOKKEEPING, "old")
    after: dict[str, Any] = dict.fromkeys(BOOKKEEPING, "new")
    store = stored(record(1, **before))
    assert check(store, Directory(found(1, **after)), dialect=DS389) == []
    [difference] = check(store, Directory(found(1, **after)), dialect=OPENLDAP)
    assert set(difference.attributes) == BOOKKEEPING


@pytest.mark.parametrize("name", ["memberOf", "nsAccountLock", "pwdAccountLockedTime"])
def test_what_decides_who_gets_in_is_compared_everywhere(name: str) -> None:
    assert name.lower() not in DERIVED | BOOKKEEPING
    store = stored(record(1))
    for dialect in (OPENLDAP, DS389):
        [difference] = check(store, Directory(found(1, **{name: "x"})), dialect=dialect)
        assert difference.attributes == (name,)


# --- all of them


def test_equal() -> None:
    directory = Directory(found(2, sn="b"), found(1, sn="a"))
    assert check(stored(record(1, sn="a"), record(2, sn="b")), directory) == []
    assert directory.sizes == [100]
    assert directory.read == []


def test_found_ones_come_in_their_order_and_then_surplus_ones() -> None:
    store = stored(
        record(1, "dc=x"), record(3, "cn=3,cn=2,dc=x"), record(2, "cn=2,dc=x"), record(9, sn="a")
    )
    directory = Directory(found(9, sn="b"), found(8), found(0, "DC=x"))
    assert [(each.kind, each.dn) for each in check(store, directory)] == [
        (DIFFERENT, "cn=9,dc=x"),
        (MISSING, "cn=8,dc=x"),
        (RESPELLED, "DC=x"),
        (SURPLUS, "cn=2,dc=x"),
        (SURPLUS, "cn=3,cn=2,dc=x"),
    ]


def test_what_has_no_dn_is_not_an_entry() -> None:
    store = stored(record(1), reference(2), displaced(3, "cn=3,dc=x"))
    assert check(store, Directory(found(1))) == []
    assert check(store, Directory(found(1), found(3))) == [Difference(MISSING, "cn=3,dc=x")]


def test_what_is_right_at_the_second_look_was_none() -> None:
    store = stored(record(1, sn="a"), record(2, sn="b"))
    directory = Directory(found(1, sn="passing"), found(3))
    directory.now = {
        "cn=1,dc=x": found(1, sn="a"),
        "cn=2,dc=x": found(2, sn="b"),
        "cn=3,dc=x": None,
    }
    assert check(store, directory) == []
    assert directory.read == ["cn=1,dc=x", "cn=3,dc=x", "cn=2,dc=x"]


def test_the_second_look_has_the_last_word() -> None:
    store = stored(record(1, sn="a"), record(2))
    directory = Directory(found(1, sn="b"))
    directory.now = {"cn=1,dc=x": found(1, sn="a", l="c"), "cn=2,dc=x": found(2, l="d")}
    assert check(store, directory) == [
        Difference(DIFFERENT, "cn=1,dc=x", "cn=1,dc=x", ("l",)),
        Difference(DIFFERENT, "cn=2,dc=x", "cn=2,dc=x", ("l",)),
    ]


OLD = "cn=2,cn=old,dc=x"


def misnamed(
    *,
    parent: bytes | None = b"1",
    shown: str = "CN=2,cn=old,dc=x",
    above: str = "cn=new,dc=x",
    **attrs: str,
) -> tuple[MemoryStore, Directory]:
    """A directory that shows record 2, which is below record 1, with the DN that it had before."""
    store = stored(record(1, "cn=new,dc=x"), record(2, "cn=2,cn=new,dc=x", sn="a"))
    directory = Directory(found(1, "cn=new,dc=x"), found(2, OLD, **attrs))
    directory.uuids[OLD] = record(2).uuid
    directory.where[record(1).uuid] = Place(above, b"1", b"0")
    directory.where[record(2).uuid] = Place(shown, b"2", parent)
    return store, directory


def test_what_389_ds_names_by_an_old_dn_is_where_its_parent_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, directory = misnamed(sn="a")
    assert check(store, directory, dialect=DS389) == []
    [said] = caplog.records
    assert said.__dict__["event"] == "misnamed"
    assert f"1 entry with an old DN, {OLD} for example" in said.getMessage()
    assert len(check(store, directory, dialect=OPENLDAP)) == 2


def test_its_attributes_are_compared_all_the_same() -> None:
    store, directory = misnamed(sn="b", entryDN="cn=2,cn=old,dc=x")
    name = "cn=2,cn=new,dc=x"
    assert check(store, directory, dialect=DS389) == [Difference(DIFFERENT, name, name, ("sn",))]


@pytest.mark.parametrize(
    "truth",
    [
        {"parent": b"7"},  # below another one
        {"parent": None},  # this can't be read
        {"shown": "cn=other,cn=old,dc=x"},  # renamed in its place
        {"above": "cn=renamed,dc=x"},  # along with its parent
    ],
)
def test_what_is_elsewhere_than_in_the_store(truth: dict[str, Any]) -> None:
    store, directory = misnamed(sn="a", **truth)
    assert [each.kind for each in check(store, directory, dialect=DS389)] == [MISSING, SURPLUS]
    directory.where.clear()
    assert [each.kind for each in check(store, directory, dialect=DS389)] == [MISSING, SURPLUS]
    directory.uuids.clear()  # who may not read nsUniqueId can't tell
    assert [each.kind for each in check(store, directory, dialect=DS389)] == [MISSING, SURPLUS]


@pytest.mark.parametrize("limit", [1, 3, 4, 5, 8, 9, 10, 1000])
def test_the_limit_counts_what_is_confirmed(limit: int) -> None:
    store = stored(*(record(number) for number in range(5, 10)))
    directory = Directory(*(found(number) for number in range(5)))
    directory.now = {"cn=0,dc=x": None, "cn=6,dc=x": found(6)}
    differences = check(store, directory, limit)
    expected = [(MISSING, f"cn={number},dc=x") for number in (1, 2, 3, 4)]
    expected += [(SURPLUS, f"cn={number},dc=x") for number in (5, 7, 8, 9)]
    assert [(each.kind, each.dn) for each in differences] == expected[:limit]


@pytest.mark.parametrize("value", [0, -1, 2**31, True, 1.0, "10", None])
@pytest.mark.parametrize("name", ["page_size", "limit"])
def test_numbers_that_are_none(name: str, value: Any) -> None:
    numbers = {"page_size": 10, "limit": 10, name: value}
    with pytest.raises(exceptions.ConfigurationError, match=name):
        verify(pytest.fail, MemoryStore(), OTHER, **numbers)


@pytest.mark.parametrize("name", ["", "nonsense", "cn=a,"])
def test_a_dn_that_is_none(name: str) -> None:
    with pytest.raises(exceptions.ProtocolError, match="not a DN"):
        check(stored(), Directory(found(1, name)))


def test_a_stop_is_heard_while_the_store_is_read() -> None:
    store = stored(*(record(number) for number in range(600)))
    directory = Directory(*(found(number) for number in range(600)))
    assert check(store, directory) == []
    directory.stops_after = 2
    with pytest.raises(exceptions.Stopped):
        check(store, directory)


def test_the_store_is_only_read(monkeypatch: pytest.MonkeyPatch) -> None:
    store = stored(record(1, sn="a"), record(2))
    for method in ("begin", "put", "remove", "commit", "rollback", "create"):
        monkeypatch.setattr(store, method, pytest.fail)
    assert len(check(store, Directory(found(1, sn="b"), found(3)))) == 3
