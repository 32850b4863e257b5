# SPDX-License-Identifier: BSD-3-Clause
"""Notes in a store's transaction: the same, whether the store is a database or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncrepl_client.formats.heldback import Notes, NotesInDatabase, NotesInMemory, open_notes
from syncrepl_client.store import MemoryStore, SQLiteStore, Store


class Kept:
    """Notes with their store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        store.create()
        self.notes: Notes = open_notes(store)
        store.begin()

    def commit(self) -> None:
        self.notes.committing()
        self.store.commit()
        self.store.begin()

    def roll_back(self) -> None:
        self.store.rollback()
        self.notes.rolled_back()
        self.store.begin()

    def keys(self, below: bytes = b"") -> list[bytes]:
        found, key = [], self.notes.following(below, below)
        while key is not None:
            found.append(key)
            key = self.notes.following(key, below)
        return found


@pytest.fixture(params=["database", "memory"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    database = request.param == "database"
    kept = Kept(SQLiteStore(str(tmp_path / "store")) if database else MemoryStore())
    assert isinstance(kept.notes, NotesInDatabase if database else NotesInMemory)
    yield kept
    kept.store.close()


def test_keys_are_in_order(kept: Kept) -> None:
    for key in (b"o=x\0ou=b\0", b"o=x\0ou=a\0cn=1\0", b"o=x\0ou=a\0", b"o=x\0ou=b\0", b"o=x\0\xc3"):
        kept.notes.add(key)
    assert kept.keys() == [b"o=x\0ou=a\0", b"o=x\0ou=a\0cn=1\0", b"o=x\0ou=b\0", b"o=x\0\xc3"]
    assert kept.keys(b"o=x\0ou=a\0") == [b"o=x\0ou=a\0cn=1\0"]
    kept.notes.remove(b"o=x\0ou=a\0")
    kept.notes.remove(b"o=x\0ou=c\0")
    assert kept.keys(b"o=x\0") == [b"o=x\0ou=a\0cn=1\0", b"o=x\0ou=b\0", b"o=x\0\xc3"]
    assert b"o=x\0ou=b\0" in kept.notes
    assert b"o=x\0ou=a\0" not in kept.notes


def test_a_rollback_undoes_it_all(kept: Kept) -> None:
    kept.notes.add(b"1")
    kept.notes.write("written out\n")
    assert list(kept.notes.records()) == ["written out\n"]
    kept.commit()
    kept.notes.add(b"2")
    kept.notes.remove(b"1")
    kept.notes.write("never\n")
    kept.roll_back()
    assert kept.keys() == [b"1"]
    kept.notes.write("ä\n")
    kept.notes.write("b\n")
    assert list(kept.notes.records()) == ["ä\n", "b\n"]
    assert list(kept.notes.records()) == []


def test_keys_outlive_the_process(tmp_path: Path) -> None:
    for expected in ([], [b"key"]):
        kept = Kept(SQLiteStore(str(tmp_path / "store")))
        assert kept.keys() == expected
        assert list(kept.notes.records()) == []
        kept.notes.add(b"key")
        kept.notes.write("in vain\n")
        kept.commit()
        kept.store.close()
