# SPDX-License-Identifier: BSD-3-Clause
"""LDIFState in a store's transaction: the same, whether the store is a database or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncrepl_client.formats.ldifstate import (
    LDIFState,
    LDIFStateInDatabase,
    LDIFStateInMemory,
    open_state,
)
from syncrepl_client.store import Store
from tests.contract.places import Place, make_place


class Kept:
    """LDIFState with their store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        store.create()
        self.state: LDIFState = open_state(store)
        store.begin()

    def commit(self) -> None:
        self.state.committing()
        self.store.commit()
        self.store.begin()

    def roll_back(self) -> None:
        self.store.rollback()
        self.state.rolled_back()
        self.store.begin()

    def keys(self, below: bytes = b"") -> list[bytes]:
        found, key = [], self.state.following(below, below)
        while key is not None:
            found.append(key)
            key = self.state.following(key, below)
        return found


@pytest.fixture(params=["sqlite", "postgresql", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    place = make_place(request, request.param, tmp_path)
    yield place
    place.close()


@pytest.fixture
def kept(place: Place) -> Kept:
    kept = Kept(place.open())
    wanted = LDIFStateInMemory if place.kind == "memory" else LDIFStateInDatabase
    assert isinstance(kept.state, wanted)
    return kept


def test_keys_are_in_order(kept: Kept) -> None:
    for key in (b"o=x\0ou=b\0", b"o=x\0ou=a\0cn=1\0", b"o=x\0ou=a\0", b"o=x\0ou=b\0", b"o=x\0\xc3"):
        kept.state.add(key, bytes(16))
    assert kept.keys() == [b"o=x\0ou=a\0", b"o=x\0ou=a\0cn=1\0", b"o=x\0ou=b\0", b"o=x\0\xc3"]
    assert kept.keys(b"o=x\0ou=a\0") == [b"o=x\0ou=a\0cn=1\0"]
    kept.state.remove(b"o=x\0ou=a\0")
    kept.state.remove(b"o=x\0ou=c\0")
    assert kept.keys(b"o=x\0") == [b"o=x\0ou=a\0cn=1\0", b"o=x\0ou=b\0", b"o=x\0\xc3"]
    assert b"o=x\0ou=b\0" in kept.state
    assert b"o=x\0ou=a\0" not in kept.state


def test_a_rollback_undoes_it_all(kept: Kept) -> None:
    kept.state.add(b"1", bytes(16))
    kept.state.write("written out\n")
    assert list(kept.state.records()) == ["written out\n"]
    kept.commit()
    kept.state.add(b"2", bytes(16))
    kept.state.remove(b"1")
    kept.state.write("never\n")
    kept.roll_back()
    assert kept.keys() == [b"1"]
    kept.state.write("ä\n")
    kept.state.write("b\n")
    assert list(kept.state.records()) == ["ä\n", "b\n"]
    assert list(kept.state.records()) == []


@pytest.mark.parametrize("place", ["sqlite", "postgresql"], indirect=True)
def test_keys_outlive_the_process(place: Place) -> None:
    for expected in ([], [b"key"]):
        kept = Kept(place.open())
        assert kept.keys() == expected
        assert list(kept.state.records()) == []
        kept.state.add(b"key", bytes(16))
        kept.state.write("in vain\n")
        kept.commit()
        kept.store.close()
