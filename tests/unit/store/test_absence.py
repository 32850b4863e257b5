# SPDX-License-Identifier: BSD-3-Clause
"""What a store that was empty does not have: never an entry that is there."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from syncrepl_client.entries import attributes, dn
from syncrepl_client.protocol.view import Record
from syncrepl_client.store import absence
from syncrepl_client.store.absence import Absence
from syncrepl_client.store.cache import EntryCache
from syncrepl_client.store.sqlite.store import SQLiteStore

NOT_FEW = 9
"""So many entries are read at once."""


def record(number: int, name: str = "") -> Record:
    name = name or f"uid={number},dc=x"
    return Record(number.to_bytes(16, "big"), dn.key(name), name, attributes.encode({}))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    with closing(SQLiteStore(f"{tmp_path}/syncrepl.sqlite3")) as store:
        store.create()
        yield store


def looked_for(store: SQLiteStore, records: Collection[Record]) -> list[str]:
    """Prefetch *records*; return the SELECTs that it took."""
    said: list[str] = []
    store.connection.set_trace_callback(said.append)
    store.prefetch({each.uuid: each.key for each in records})
    store.connection.set_trace_callback(None)
    return [sql for sql in said if sql.startswith("SELECT")]


def test_what_was_added_is_possible() -> None:
    chance = random.Random(4533)
    values = [chance.randbytes(16) for _ in range(20_000)]
    absent = Absence()
    absent.add(*values[:10_000])
    assert absent.possible(values[:10_000]) == values[:10_000]
    assert len(absent.possible(values[10_000:])) < 100


def test_what_was_claimed_is_possible_from_then_on() -> None:
    chance = random.Random(4533)
    values = [chance.randbytes(16) for _ in range(1000)]
    absent = Absence()
    assert len(absent.claim([*values, values[0], values[9]])) < 10
    assert absent.claim([values[0], b"another", values[9]]) == [values[0], values[9]]
    assert absent.possible(values) == values


def test_of_a_full_filter_everything_is_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(absence, "_BYTES", 1)
    absent = Absence()
    absent.add(*(bytes((number,)) for number in range(256)))
    assert absent.possible([b"any", b"thing"]) == [b"any", b"thing"]


def test_an_empty_store_is_not_searched(store: SQLiteStore) -> None:
    fresh = [record(number) for number in range(NOT_FEW)]
    assert looked_for(store, fresh) == []
    assert [store.get(each.uuid) for each in fresh] == [None] * NOT_FEW
    assert [store.at(each.key) for each in fresh] == [None] * NOT_FEW


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the cache keep nothing from one group to the next."""
    monkeypatch.setattr(EntryCache, "many", 0)


@pytest.mark.usefixtures("forgetful")
def test_what_was_put_since_is_found(store: SQLiteStore) -> None:
    known = [record(number) for number in range(NOT_FEW)]
    store.begin()
    for each in known:
        store.put(each)
    store.commit()
    again = [record(number + 100, each.dn) for number, each in enumerate(known)]
    assert looked_for(store, known)
    assert [store.get(each.uuid) for each in known] == known
    assert looked_for(store, again)
    assert [store.at(each.key) for each in again] == known


@pytest.mark.usefixtures("forgetful")
def test_a_new_key_of_an_old_entry_is_found(store: SQLiteStore) -> None:
    known = [record(number) for number in range(NOT_FEW)]
    renamed = [record(number, f"uid=new{number},dc=x") for number in range(NOT_FEW)]
    store.begin()
    for each in (*known, *renamed):
        store.put(each)
    store.commit()
    others = [record(number + 100, each.dn) for number, each in enumerate(renamed)]
    assert looked_for(store, others)
    assert [store.at(each.key) for each in others] == renamed


def test_what_was_rolled_back_is_not_there(store: SQLiteStore) -> None:
    gone = [record(number) for number in range(NOT_FEW)]
    store.begin()
    for each in gone:
        store.put(each)
    store.rollback()
    store.prefetch({each.uuid: each.key for each in gone})
    assert [store.get(each.uuid) for each in gone] == [None] * NOT_FEW


def test_a_store_with_entries_is_searched(tmp_path: Path, store: SQLiteStore) -> None:
    store.begin()
    store.put(record(1))
    store.commit()
    store.close()
    with closing(SQLiteStore(store.path)) as again:
        fresh = [record(number) for number in range(10, 10 + NOT_FEW)]
        assert len(looked_for(again, fresh)) == 2
