# SPDX-License-Identifier: BSD-3-Clause
"""What every store promises."""

from __future__ import annotations

import tempfile
from collections.abc import ItemsView, Mapping, ValuesView
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncrepl_client.entries import dn
from syncrepl_client.exceptions import ConfigurationError, StoreError
from syncrepl_client.protocol.view import Record
from syncrepl_client.store import MemoryStore, Origin, Store, open_store
from syncrepl_client.store.cache import EntryCache
from tests.contract.places import (
    LOCAL_KINDS,
    Place,
    Refused,
    Schema,
    consistent,
    displaced,
    fill,
    in_savepoint,
    origin,
    record,
    reference,
    uid,
)
from tests.servers.postgresql import PostgreSQL

TREE = [
    record(1, "dc=x"),
    record(2, "ou=a,dc=x"),
    record(3, "cn=b,ou=a,dc=x"),
    record(4, "cn=c,ou=a,dc=x"),
    record(5, "ou=ab,dc=x"),
    record(6, "cn=é,ou=ab,dc=x"),
]
BY_KEY = sorted(TREE, key=lambda each: each.key)


# --- life


def test_nothing_exists_before_it_is_made(place: Place) -> None:
    store = place.open()
    assert not store.exists
    assert not store.in_transaction
    assert place.files() == {}
    store.close()
    assert place.files() == {}


READS: list[Callable[[Store], Any]] = [
    lambda store: store.get(uid(1)),
    lambda store: store.at(b"cn=1\0"),
    lambda store: list(store.below(b"")),
    lambda store: store.has_displaced(),
    lambda store: store.origin,
    lambda store: len(store),
    lambda store: list(store.live()),
    lambda store: list(store.items()),
    lambda store: list(store.seen.to_delete(unseen=True)),
]
WRITES: list[Callable[[Store], Any]] = [
    lambda store: store.put(record(1)),
    lambda store: store.remove(uid(1)),
    lambda store: store.tell_apart(b"cn=1\0"),
]


@pytest.mark.parametrize("use", [*READS, *WRITES])
def test_no_use_before_it_is_made(place: Place, use: Callable[[Store], Any]) -> None:
    with pytest.raises(StoreError):
        use(place.open())


@pytest.mark.parametrize("use", [*READS, *WRITES])
def test_no_use_after_close(lasting_place: Place, use: Callable[[Store], Any]) -> None:
    store = lasting_place.create(record(1))
    store.close()
    assert not store.exists
    with pytest.raises(StoreError):
        use(store)


def test_create_makes_it_once(place: Place) -> None:
    store = place.create(record(1))
    assert store.exists
    assert store.trusted
    store.create()
    assert len(store) == 1


def test_a_new_one_is_empty(store: Store) -> None:
    assert store.origin == Origin(None, None, None, None, None, None)
    assert len(store) == 0
    assert list(store.live()) == list(store.below(b"")) == []
    assert not store.has_displaced()
    assert store.get(uid(1)) is store.at(b"cn=1\0") is None


def test_what_was_committed_is_there_again(place: Place) -> None:
    place.make(*TREE, displaced(8, "cn=8"), reference(9), cookie=b"\0\xff")
    store = place.open()
    assert store.exists
    assert store.trusted
    assert store.origin == origin(b"\0\xff")
    assert list(store.live()) == BY_KEY
    assert store.get(uid(8)) == displaced(8, "cn=8")
    assert store.get(uid(9)) == reference(9)
    consistent(store)


def test_closing_rolls_back(place: Place) -> None:
    store = place.create(record(1), cookie=b"1")
    store.begin()
    store.put(record(2))
    store.remove(uid(1))
    store.close()
    store.close()
    store = place.open()
    assert list(store.live()) == [record(1)]
    assert store.origin.cookie == b"1"
    assert not store.in_transaction


def test_open_store(tmp_path: Path) -> None:
    mine = MemoryStore()
    assert open_store(mine, "anywhere") is mine
    assert isinstance(open_store("memory", "anywhere"), MemoryStore)
    for kind in ("berkeley", "", None, 5):
        with pytest.raises(ConfigurationError, match="sqlite"):
            open_store(kind, str(tmp_path))  # type: ignore[arg-type]


# --- entries


def test_put_get_at_remove(store: Store) -> None:
    store.begin()
    first = record(1, "CN=Ann Lee,dc=x", cn="Ann")
    store.put(first)
    assert store.get(uid(1)) == store.at(first.key) == first
    changed = record(1, "CN=Ann Lee,dc=x", cn="Anna")
    store.put(changed)
    assert store.get(uid(1)) == store.at(first.key) == changed
    moved = record(1, "cn=ann,dc=x", cn="Anna")
    store.put(moved)
    assert store.get(uid(1)) == store.at(moved.key) == moved
    assert store.at(first.key) is None
    assert len(store) == 1
    store.remove(uid(1))
    assert store.get(uid(1)) is store.at(moved.key) is None
    store.remove(uid(1))
    store.commit()
    assert len(store) == 0
    consistent(store)


def test_records_are_kept_byte_by_byte(place: Place) -> None:
    kept = [
        Record(bytes(range(16)), b"cn=\xc3\xa9\0", "cn=é\U0001f4a1\n", bytes(range(256))),
        Record(b"\xff" * 16, dn.key("dc=x"), "", b""),
        Record(bytes(16), dn.key("cn=big"), "cn=big", b"x" * 300_000),
    ]
    place.make(*kept)
    store = place.open()
    assert [store.get(each.uuid) for each in kept] == kept


def test_two_entries_cannot_have_one_key(store: Store) -> None:
    fill(store, record(1, "cn=a"))
    store.begin()
    with pytest.raises(StoreError):
        store.put(record(2, "CN=A"))
    store.rollback()
    assert store.at(dn.key("cn=a")) == record(1, "cn=a")
    consistent(store)


@pytest.mark.parametrize("pending", [False, True])
@pytest.mark.parametrize(
    ("root", "names"),
    [
        ("", ["dc=x", "ou=a,dc=x", "cn=b,ou=a,dc=x", "cn=c,ou=a,dc=x", "ou=ab,dc=x",
              "cn=é,ou=ab,dc=x"]),
        ("dc=x", ["ou=a,dc=x", "cn=b,ou=a,dc=x", "cn=c,ou=a,dc=x", "ou=ab,dc=x",
                  "cn=é,ou=ab,dc=x"]),
        ("ou=a,dc=x", ["cn=b,ou=a,dc=x", "cn=c,ou=a,dc=x"]),
        ("ou=ab,dc=x", ["cn=é,ou=ab,dc=x"]),
        ("cn=b,ou=a,dc=x", []),
        ("ou=nobody,dc=x", []),
    ],
)  # fmt: skip
def test_below(store: Store, pending: bool, root: str, names: list[str]) -> None:
    store.begin()
    for each in reversed(TREE):
        store.put(each)
    if not pending:
        store.commit()
    assert [each.dn for each in store.below(dn.key(root))] == names
    assert [each.dn for each in store.below(dn.key(root), reverse=True)] == names[::-1]


def test_below_a_missing_parent(store: Store) -> None:
    fill(store, record(3, "cn=b,ou=a,dc=x"))
    assert [each.dn for each in store.below(dn.key("dc=x"))] == ["cn=b,ou=a,dc=x"]


def test_below_displaced(store: Store) -> None:
    """They wait by owner, parents first, whatever bytes its UUID has."""
    owner, other = 0xFF << 120, 1
    root, child = displaced(8, "ou=a", owner), displaced(9, "cn=b,ou=a", owner)
    fill(store, record(1), child, root, displaced(10, "ou=a", other))
    prefix = dn.displaced_below(uid(owner))
    assert list(store.below(prefix)) == [root, child]
    assert list(store.below(prefix, reverse=True)) == [child, root]


def test_below_nothing_is_everything(store: Store) -> None:
    most = displaced(8, "ou=a", (1 << 128) - 1)
    everything = [record(1), record(2, "cn=b"), reference(9), displaced(10, "ou=a"), most]
    fill(store, *everything[::-1])
    assert list(store.below(b"")) == sorted(everything, key=lambda each: each.key)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("how", ["remove", "displace"])
@pytest.mark.parametrize("pending", [False, True])
def test_below_while_the_row_at_hand_goes(
    store: Store, reverse: bool, how: str, pending: bool
) -> None:
    many = [record(number, f"cn={number},ou=a,dc=x") for number in range(10, 400)]
    fill(store, *TREE)
    store.begin()
    for each in many:
        store.put(each)
    if not pending:
        store.commit()
        store.begin()
    seen = []
    for each in store.below(dn.key("ou=a,dc=x"), reverse=reverse):
        seen.append(each.dn)
        if how == "remove":
            store.remove(each.uuid)
        else:
            store.put(each._replace(key=dn.displaced(uid(2), each.key, each.uuid)))
    store.commit()
    expected = sorted([*many, TREE[2], TREE[3]], key=lambda each: each.key, reverse=reverse)
    assert seen == [each.dn for each in expected]
    assert len(store) == 4
    assert store.has_displaced() is (how == "displace")
    consistent(store)


def test_live_leaves_out_the_displaced_and_references(store: Store) -> None:
    fill(store, displaced(8, "cn=8"), record(1), reference(9))
    assert list(store.live()) == [record(1)]
    assert len(store) == 1


def test_has_displaced(store: Store) -> None:
    fill(store, record(1), reference(2))
    assert not store.has_displaced()
    fill(store, displaced(1, "cn=1"))
    assert store.has_displaced()
    fill(store, record(1))
    assert not store.has_displaced()


# --- transactions


def test_commit(place: Place) -> None:
    store = place.create()
    store.begin()
    assert store.in_transaction
    store.put(record(1))
    store.commit(origin(b"1"))
    assert not store.in_transaction
    assert store.origin == origin(b"1")
    store.begin()
    store.put(record(2))
    store.commit()
    assert store.origin == origin(b"1")
    store.begin()
    store.commit(Origin(None, "other", None))
    assert store.origin == Origin(None, "other", None)
    store.close()
    assert place.open().origin == Origin(None, "other", None)


@pytest.mark.parametrize("name", Origin._fields)
def test_each_field_of_the_origin_comes_back(place: Place, name: str) -> None:
    """With its type; and it can be taken back."""
    value = getattr(origin(b"\0\xff"), name)
    store = place.create()
    for kept in (Origin(**{name: value}), Origin(), Origin(**{name: value})):
        store.begin()
        store.commit(kept)
        assert store.origin == kept
    store.close()
    found = getattr(place.open().origin, name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("undone", [False, True])
def test_one_origin_after_another(place: Place, undone: bool) -> None:
    """Each is written as a whole, whatever of it changed, and was rolled back before."""
    first = origin(b"1")
    series = [
        first,
        first._replace(cookie=b"2", known="2"),
        first._replace(cookie=b"3", known="3", tally="t"),
        first._replace(cookie=b"4"),
        first._replace(cookie=None, known=None),
        first._replace(cookie=b"5", known=None),
    ]
    store = place.create()
    for kept in series:
        if undone:
            store.begin()
            store.rollback()
        store.begin()
        store.commit(kept)
        assert store.origin == kept
    store.close()
    assert place.open().origin == series[-1]


def test_the_cookies_bytes_are_kept(place: Place) -> None:
    place.make(cookie=bytes(range(256)))
    assert place.open().origin.cookie == bytes(range(256))


def test_rollback(store: Store) -> None:
    fill(store, *TREE, cookie=b"1")
    store.begin()
    store.put(record(1, "dc=other"))
    store.put(record(7))
    store.remove(uid(3))
    store.put(displaced(4, "cn=4"))
    store.rollback()
    assert not store.in_transaction
    assert list(store.live()) == BY_KEY
    assert not store.has_displaced()
    assert store.origin == origin(b"1")
    store.rollback()
    consistent(store)


@pytest.mark.parametrize(
    "use", [*WRITES, lambda store: store.commit(), lambda store: store.commit(origin(b"2"))]
)
def test_no_writes_outside_a_transaction(store: Store, use: Callable[[Store], Any]) -> None:
    fill(store, record(1), cookie=b"1")
    with pytest.raises(StoreError):
        use(store)
    assert list(store.live()) == [record(1)]
    assert store.origin == origin(b"1")


def test_transactions_do_not_nest(store: Store) -> None:
    store.begin()
    store.put(record(1))
    with pytest.raises(StoreError):
        store.begin()
    store.rollback()
    assert len(store) == 0


# --- savepoints


def use_everything(store: Store) -> None:
    store.put(record(1, "dc=other"))
    store.put(record(7))
    store.put(record(7, "cn=seven"))
    store.remove(uid(3))
    store.put(displaced(4, "cn=4"))
    store.remove(uid(8))
    store.put(record(8, "cn=8"))
    store.seen.mark_present([uid(1), uid(9)])
    store.seen.mark_deleted([uid(2), uid(5)])
    store.seen.mark_placed(uid(5))


def what_is_seen(store: Store) -> list[Any]:
    return [
        list(store.live()), len(store), store.has_displaced(), list(store.below(b"")),
        [store.get(uid(number)) for number in range(10)],
        store.seen.any_unknown(), [store.seen.is_placed(uid(number)) for number in range(10)],
        list(store.seen.to_delete(unseen=True)), list(store.seen.to_delete(unseen=False)),
    ]  # fmt: skip


def in_the_middle(store: Store) -> None:
    """Open a transaction in which something has been written."""
    fill(store, *TREE, displaced(8, "cn=8"), cookie=b"1")
    store.begin()
    store.put(record(2, "ou=moved,dc=x"))
    store.remove(uid(6))
    store.seen.mark_placed(uid(2))
    store.seen.mark_deleted([uid(3)])


@pytest.mark.parametrize("steps", ["use", "clear use", "use clear", "use clear use",
                                   "clear use clear"])  # fmt: skip
def test_a_savepoint_undoes_what_was_in_it(place: Place, steps: str) -> None:
    store = place.create()
    in_the_middle(store)
    before = what_is_seen(store)
    inside: list[Any] = []
    acts = {"use": lambda: use_everything(store), "clear": store.seen.clear}

    def see() -> None:
        inside[:] = what_is_seen(store)

    for _ in range(2):
        with pytest.raises(Refused):
            in_savepoint(store, *(acts[step] for step in steps.split()), see)
        assert inside != before
        assert store.in_transaction
        assert what_is_seen(store) == before
    store.put(record(9))
    store.commit(origin(b"2"))
    store.seen.clear()
    store.close()
    store = place.open()
    assert store.get(uid(2)) == record(2, "ou=moved,dc=x")
    assert store.get(uid(3)) == TREE[2]
    assert store.get(uid(7)) is store.get(uid(6)) is None
    assert store.get(uid(9)) == record(9)
    assert store.origin == origin(b"2")
    consistent(store)


@pytest.mark.parametrize("clear", [False, True])
def test_a_savepoint_keeps_what_was_in_it(place: Place, clear: bool) -> None:
    store, other = place.create(), MemoryStore()
    other.create()
    in_the_middle(store)
    in_the_middle(other)
    with store.savepoint():
        for each in (store, other):
            if clear:
                each.seen.clear()
            use_everything(each)
    assert store.in_transaction
    assert what_is_seen(store) == what_is_seen(other)
    store.commit(origin(b"2"))
    store.close()
    store = place.open()
    assert list(store.live()) == list(other.live())
    consistent(store)


@pytest.mark.parametrize("inner_fails", [False, True])
@pytest.mark.parametrize("outer_fails", [False, True])
def test_savepoints_nest(store: Store, inner_fails: bool, outer_fails: bool) -> None:
    def put(number: int) -> None:
        store.put(record(number))
        store.seen.mark_placed(uid(number))

    def inner() -> None:
        with suppress(Refused):
            in_savepoint(store, lambda: put(3), refuse=inner_fails)

    store.begin()
    put(1)
    with suppress(Refused):
        in_savepoint(store, lambda: put(2), inner, lambda: put(4), refuse=outer_fails)
    store.commit()
    kept = {1} if outer_fails else {1, 2, 4} if inner_fails else {1, 2, 3, 4}
    assert {each.uuid for each in store.live()} == set(map(uid, kept))
    assert {number for number in range(6) if store.seen.is_placed(uid(number))} == kept
    consistent(store)


def test_no_savepoint_outside_a_transaction(store: Store) -> None:
    with pytest.raises(StoreError):
        in_savepoint(store)


@pytest.mark.parametrize(("refuse", "error"), [(False, StoreError), (True, Refused)])
def test_a_savepoint_that_the_transaction_does_not_outlive(
    store: Store, refuse: bool, error: type[Exception]
) -> None:
    store.begin()
    with pytest.raises(error):
        in_savepoint(store, lambda: store.put(record(1)), store.rollback, refuse=refuse)
    assert not store.in_transaction
    assert len(store) == 0


def test_a_rollback_after_a_savepoint(store: Store) -> None:
    fill(store, record(1))
    store.begin()
    store.put(record(2))
    with store.savepoint():
        store.put(record(3))
    with pytest.raises(Refused):
        in_savepoint(store, lambda: store.put(record(4)))
    store.rollback()
    assert list(store.live()) == [record(1)]
    consistent(store)


# --- what a refresh named


def to_delete(store: Store, *, unseen: bool) -> list[int]:
    return [int.from_bytes(each.uuid, "big") for each in store.seen.to_delete(unseen=unseen)]


def test_named(store: Store) -> None:
    fill(store, *TREE)
    seen = store.seen
    assert to_delete(store, unseen=False) == []
    assert sorted(to_delete(store, unseen=True)) == [1, 2, 3, 4, 5, 6]
    seen.mark_present([uid(1), uid(2)])
    seen.mark_placed(uid(5))
    seen.mark_deleted([uid(3), uid(77)])
    assert to_delete(store, unseen=False) == [3]
    assert sorted(to_delete(store, unseen=True)) == [3, 4, 6]
    assert [number for number in range(8) if seen.is_placed(uid(number))] == [5]
    seen.clear()
    assert to_delete(store, unseen=False) == []
    assert len(to_delete(store, unseen=True)) == 6
    assert not seen.is_placed(uid(5))


def test_where_all_were_named_nothing_is_deleted_but_what_came_since(store: Store) -> None:
    fill(store, *TREE)
    store.seen.mark_present(uid(number) for number in range(1, 7))
    assert to_delete(store, unseen=True) == []
    assert store.seen.count_to_delete(unseen=True) == 0
    store.begin()
    store.remove(uid(6))
    store.put(record(9))
    assert to_delete(store, unseen=True) == [9]
    store.seen.mark_placed(uid(9))
    assert to_delete(store, unseen=True) == []
    store.seen.mark_deleted([uid(9)])
    assert to_delete(store, unseen=True) == [9]
    assert store.seen.count_to_delete(unseen=True) == 1
    store.commit()


def test_leavers_are_the_stored_ones_children_first(store: Store) -> None:
    fill(store, *TREE, displaced(8, "ou=a,dc=x"), reference(9))
    found = list(store.seen.to_delete(unseen=True))
    assert [each.dn for each in found if dn.is_live(each.key)] == [each.dn for each in BY_KEY[::-1]]
    assert len(found) == 8
    assert store.seen.count_to_delete(unseen=True) == 6
    store.seen.mark_deleted(uid(number) for number in range(1, 100))
    assert list(store.seen.to_delete(unseen=False)) == found


def test_the_last_word_counts(store: Store) -> None:
    fill(store, *TREE)
    seen = store.seen
    seen.mark_deleted([uid(1)])
    seen.mark_placed(uid(1))
    seen.mark_placed(uid(2))
    seen.mark_deleted([uid(2)])
    seen.mark_placed(uid(3))
    seen.mark_present([uid(3)])
    assert [number for number in range(8) if seen.is_placed(uid(number))] == [1, 3]
    assert [number for number in range(8) if seen.is_deleted(uid(number))] == [2]
    assert to_delete(store, unseen=False) == [2]


def test_unknown(store: Store) -> None:
    fill(store, record(1))
    seen = store.seen
    assert not seen.any_unknown()
    seen.mark_present([uid(1)])
    seen.mark_deleted([uid(2)])
    seen.mark_placed(uid(3))
    assert not seen.any_unknown()
    seen.mark_present([uid(4)])
    assert seen.any_unknown()
    fill(store, record(4))
    assert not seen.any_unknown()
    store.begin()
    store.remove(uid(4))
    assert seen.any_unknown()
    store.rollback()
    seen.clear()
    assert not seen.any_unknown()


def test_what_a_refresh_puts_into_an_empty_store_is_placed(store: Store) -> None:
    seen = store.seen
    seen.clear()
    fill(store, *TREE, displaced(8, "cn=8"), reference(9))
    assert [number for number in range(11) if seen.is_placed(uid(number))] == [*range(1, 7), 8, 9]
    seen.mark_present([uid(3)])
    assert not seen.any_unknown()
    seen.mark_present([uid(10)])
    assert seen.any_unknown()
    assert to_delete(store, unseen=True) == to_delete(store, unseen=False) == []
    seen.mark_deleted([uid(1), uid(2)])
    seen.mark_placed(uid(2))
    assert [number for number in range(5) if seen.is_placed(uid(number))] == [2, 3, 4]
    assert [number for number in range(5) if seen.is_deleted(uid(number))] == [1]
    assert to_delete(store, unseen=True) == to_delete(store, unseen=False) == [1]
    assert seen.count_to_delete(unseen=True) == 1
    store.begin()
    store.remove(uid(4))
    assert not seen.is_placed(uid(4))
    store.rollback()
    assert seen.is_placed(uid(4))
    seen.clear()
    assert not any(seen.is_placed(uid(number)) for number in range(10))
    assert len(to_delete(store, unseen=True)) == 8


@pytest.mark.parametrize("unseen", [False, True])
def test_live_entries_to_delete_are_counted(store: Store, unseen: bool) -> None:
    """Neither displaced entries, which were told gone already, nor references are any."""
    assert store.seen.count_to_delete(unseen=unseen) == 0
    fill(store, *TREE, displaced(8, "cn=8"), displaced(10, "cn=10"), reference(9), reference(11))
    assert store.seen.count_to_delete(unseen=unseen) == (6 if unseen else 0)
    store.seen.mark_deleted([uid(1), uid(2), uid(8), uid(9), uid(77)])
    store.seen.mark_placed(uid(3))
    store.seen.mark_present([uid(4)])
    assert store.seen.count_to_delete(unseen=unseen) == (4 if unseen else 2)
    store.begin()
    store.remove(uid(1))
    assert store.seen.count_to_delete(unseen=unseen) == (3 if unseen else 1)


@pytest.mark.parametrize("unseen", [False, True])
def test_entries_to_delete_are_removed_on_the_way(store: Store, unseen: bool) -> None:
    many = [record(number) for number in range(1, 400)]
    fill(store, *many)
    store.seen.mark_present(uid(number) for number in range(1, 100))
    store.seen.mark_deleted(uid(number) for number in range(100, 400))
    store.begin()
    seen = []
    for each in store.seen.to_delete(unseen=unseen):
        store.remove(each.uuid)
        seen.append(each.uuid)
    store.commit()
    assert sorted(seen) == [uid(number) for number in range(100, 400)]
    assert len(store) == 99


def test_what_was_named_is_not_kept(lasting_place: Place) -> None:
    store = lasting_place.create(record(1))
    store.seen.mark_present([uid(7)])
    store.seen.mark_placed(uid(1))
    store.begin()
    store.commit(origin(b"1"))
    store.close()
    store = lasting_place.open()
    assert not store.seen.any_unknown()
    assert not store.seen.is_placed(uid(1))


# --- namesakes

X, Y = dn.key("x=a,dc=x"), dn.key("y=b,x=a,dc=x")


def told_apart(store: Store, *names: bytes) -> None:
    for name in names:
        store.tell_apart(name)


def test_namesakes_outlive_the_store(place: Place) -> None:
    store = place.create(record(1, "x=A,dc=x", o="1"))
    assert store.namesakes == set()
    assert store.key("x=A,dc=x") == X
    store.begin()
    told_apart(store, X, Y, X)
    upper, lower = (
        record(number, f"x={name},dc=x", o=name) for number, name in ((1, "A"), (2, "a"))
    )
    for each in (upper, lower):
        store.put(each._replace(key=store.key(each.dn)))
    store.commit(origin(b"1"))
    store.close()
    store = place.open()
    store.create()
    assert store.namesakes == {X, Y}
    assert store.origin == origin(b"1")
    items = store.items()
    assert items["X=A,DC=x"] == {"o": [b"A"]}
    assert items["x=a,dc=x"] == {"o": [b"a"]}
    assert "x=A ,dc=x" in items
    keys = [
        store.key(name) for name in ("x=A,dc=x", "y=B,x=A,dc=x", "y=b,x=A,dc=x", "y=b,x=a,dc=x")
    ]
    assert len(set(keys)) == 4
    assert [each.startswith(keys[0]) for each in keys] == [True, True, True, False]
    assert {dn.plain(each) for each in keys} == {X, Y}
    consistent(store)


def test_namesakes_are_rolled_back(store: Store) -> None:
    fill(store, record(1))
    store.begin()
    store.tell_apart(X)
    store.rollback()
    assert store.namesakes == set()
    store.begin()
    store.tell_apart(X)
    with pytest.raises(Refused):
        in_savepoint(store, lambda: store.tell_apart(Y), lambda: store.tell_apart(b"z\0"))
    assert store.namesakes == {X}
    with store.savepoint():
        store.tell_apart(Y)
    store.commit()
    store.begin()
    store.rollback()
    assert store.namesakes == {X, Y}


# --- by DN


def test_items(store: Store) -> None:
    fill(store, record(1, "dc=x", o="1"), record(2, "cn=Ann Lee,dc=x", o="2"), reference(3),
         displaced(4, "cn=gone,dc=x"))  # fmt: skip
    items = store.items()
    assert isinstance(items, Mapping)
    assert len(items) == 2
    assert list(items) == list(items.keys()) == ["dc=x", "cn=Ann Lee,dc=x"]
    assert dict(items) == {"dc=x": {"o": [b"1"]}, "cn=Ann Lee,dc=x": {"o": [b"2"]}}
    for spelling in ("cn=Ann Lee,dc=x", "CN=ann  lee, DC=X", "cn=\\41nn \\4cee,dc=x"):
        assert items[spelling] == {"o": [b"2"]}
        assert spelling in items
    missing: Any
    for missing in ("cn=gone,dc=x", "cn=nobody,dc=x", "no DN", "", "cn=a,,", None, 5, b"dc=x"):
        assert missing not in items
        assert items.get(missing) is None
        with pytest.raises(KeyError):
            items[missing]
    assert not hasattr(items, "__setitem__")
    assert "2" in repr(items)


def test_views_of_items(store: Store) -> None:
    fill(store, *TREE)
    items = store.items()
    assert isinstance(items.items(), ItemsView)
    assert isinstance(items.values(), ValuesView)
    assert list(items.items()) == [(each.dn, {}) for each in BY_KEY]
    assert list(items.values()) == [{}] * 6
    assert len(items.items()) == len(items.values()) == 6
    assert ("DC=x", {}) in items.items()
    assert ("dc=x", {"cn": [b"a"]}) not in items.items()
    assert {} in items.values()
    assert {"cn": [b"a"]} not in items.values()


def test_items_see_what_happens(store: Store) -> None:
    items = store.items()
    store.begin()
    store.put(record(1, "dc=x"))
    assert list(items) == ["dc=x"]
    store.rollback()
    assert list(items) == []


def test_items_are_read_one_by_one(store: Store) -> None:
    """The first ones are there before a damaged one is met."""
    fill(store, record(1, "cn=a"), record(2, "cn=b")._replace(attrs=b"damaged"))
    iterator = iter(store.items().items())
    assert next(iterator) == ("cn=a", {})
    assert next(iter(store.items().values())) == {}
    assert list(store.items()) == ["cn=a", "cn=b"]
    with pytest.raises(StoreError, match="damaged"):
        next(iterator)


# --- all stores do the same


NUMBERS = st.integers(1, 5)
RECORDS = [
    *(lambda number, name=name: record(number, name)
      for name in ("dc=x", "ou=a,dc=x", "cn=b,ou=a,dc=x", "cn=b,dc=x", "DC=X", "ou=a b,dc=x")),
    lambda number: displaced(number, "ou=a,dc=x"),
    lambda number: displaced(number, "cn=b,ou=a,dc=x"),
    reference,
]  # fmt: skip
STEPS = st.one_of(
    st.tuples(st.just("put"), NUMBERS, st.sampled_from(range(len(RECORDS)))),
    st.tuples(st.just("remove"), NUMBERS),
    st.tuples(st.sampled_from(["commit", "rollback", "clear"])),
    st.tuples(st.sampled_from(["present", "deleted"]), st.lists(NUMBERS, max_size=3)),
    st.tuples(st.just("placed"), NUMBERS),
    st.tuples(st.just("prefetch"), st.dictionaries(NUMBERS, st.sampled_from(range(len(RECORDS))))),
)


def apply(store: Store, step: Any) -> None:
    word, *rest = step
    if word == "put":
        number, which = rest
        new = RECORDS[which](number)
        held = store.at(new.key)
        if held is None or held.uuid == new.uuid:
            store.put(new)
    elif word == "remove":
        store.remove(uid(rest[0]))
    elif word == "commit":
        store.commit(origin(b"c"))
        store.begin()
    elif word == "rollback":
        store.rollback()
        store.seen.clear()
        store.begin()
    elif word == "placed":
        store.seen.mark_placed(uid(rest[0]))
    elif word == "clear":
        store.seen.clear()
    elif word == "prefetch":
        store.prefetch(
            {uid(number): RECORDS[which](number).key for number, which in rest[0].items()}
        )
    else:
        getattr(store.seen, f"mark_{word}")(map(uid, rest[0]))


def seen(store: Store) -> list[Any]:
    """Everything that can be asked."""
    keys = sorted({RECORDS[which](1).key for which in range(7)})
    record_of: Callable[[bytes], Record | None] = store.get
    return [
        [record_of(uid(number)) for number in range(7)],
        [store.at(key) for key in keys],
        [list(store.below(key)) for key in keys],
        [list(store.below(key, reverse=True)) for key in keys],
        list(store.below(dn.displaced_below(dn.NOBODY))),
        list(store.live()),
        len(store),
        store.has_displaced(),
        store.origin,
        [store.seen.is_placed(uid(number)) for number in range(7)],
        store.seen.any_unknown(),
        list(store.seen.to_delete(unseen=False)),
        list(store.seen.to_delete(unseen=True)),
        [store.seen.count_to_delete(unseen=unseen) for unseen in (False, True)],
        dict(store.items()),
    ]


@pytest.mark.parametrize("misses", [None, 1, 2])
@pytest.mark.parametrize("many", [0, 3, 1024])
@settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)
@given(steps=st.lists(STEPS, max_size=30))
def test_reading_ahead_changes_nothing(many: int, misses: int | None, steps: list[Any]) -> None:
    """Each step asks for what only a database has read ahead, or not written yet."""
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(EntryCache, "few", 0)
        patch.setattr(EntryCache, "many", many)
        patch.setattr(EntryCache, "misses", misses)
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        memory = MemoryStore()
        place = Place("sqlite", directory)
        stack.callback(place.close)
        stores = [memory, place.create()]
        memory.create()
        for store in stores:
            store.begin()
        for step in steps:
            for store in stores:
                apply(store, step)
            one, other = (
                [
                    [store.get(uid(number)) for number in range(7)],
                    [
                        store.at(RECORDS[which](number).key)
                        for which in range(9)
                        for number in (1, 2)
                    ],
                ]
                for store in stores
            )
            assert one == other
        assert seen(memory) == seen(stores[1])


def do_the_same(steps: list[Any], places: list[Place]) -> None:
    with ExitStack() as stack:
        stores = []
        for place in places:
            stack.callback(place.close)
            stores.append(place.create())
            stores[-1].begin()
        for step in steps:
            for store in stores:
                apply(store, step)
            first, *others = map(seen, stores)
            for other in others:
                assert other == first, step
        for store in stores:
            store.rollback()
            consistent(store)


@settings(max_examples=40)
@given(st.lists(STEPS, max_size=30))
def test_all_stores_do_the_same(steps: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        do_the_same(steps, [Place(kind, Path(directory)) for kind in LOCAL_KINDS])


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=30))
def test_postgresql_does_the_same(postgresql: PostgreSQL, tmp_path: Path, steps: list[Any]) -> None:
    do_the_same(steps, [Place("memory", tmp_path), Schema(postgresql, tmp_path)])
