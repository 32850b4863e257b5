# SPDX-License-Identifier: BSD-3-Clause
"""The temporary set: what is in it, where it is kept, and what happens where there is no room."""

from __future__ import annotations

import sqlite3

import pytest

from syncrepl_client.exceptions import StoreError
from syncrepl_client.store.scratch import ScratchSet
from tests.conftest import open_descriptors


def test_what_was_added_is_in() -> None:
    with ScratchSet() as scratch:
        assert b"a" not in scratch
        for value in (b"a", b"", bytes(16), b"a"):
            scratch.add(value)
        for value in (b"a", b"", bytes(16)):
            assert value in scratch
        assert bytes(15) not in scratch
        assert b"A" not in scratch


def test_each_is_its_own() -> None:
    with ScratchSet() as one, ScratchSet() as other:
        one.add(b"a")
        assert b"a" not in other


def test_it_leaves_memory_for_a_file_that_nobody_sees() -> None:
    before = open_descriptors()
    with ScratchSet() as scratch:
        assert open_descriptors() == before
        for number in range(20_000):
            scratch.add(number.to_bytes(1024, "big"))
        [(_, name)] = open_descriptors() - before
        assert name.endswith(" (deleted)")
        assert all(number.to_bytes(1024, "big") in scratch for number in (0, 1, 10_000, 19_999))


def test_no_room_is_an_error_that_says_where() -> None:
    with ScratchSet() as scratch:
        scratch._connection.execute("PRAGMA max_page_count = 8")
        with pytest.raises(StoreError, match=r"full.*SQLITE_TMPDIR"):
            fill(scratch)


def fill(scratch: ScratchSet) -> None:
    for number in range(1000):
        scratch.add(number.to_bytes(256, "big"))


def test_it_ends_with_its_block() -> None:
    with ScratchSet() as scratch:
        pass
    with pytest.raises(StoreError), scratch:
        scratch.add(b"a")


def test_a_set_that_cannot_be_made_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(sqlite3.Connection):
        closed = False

        def executescript(self, script: str) -> sqlite3.Cursor:
            raise sqlite3.OperationalError("disk I/O error")

        def close(self) -> None:
            Broken.closed = True
            super().close()

    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda name, **options: connect(name, factory=Broken, **options)
    )
    with pytest.raises(StoreError, match="disk I/O error"):
        ScratchSet()
    assert Broken.closed
