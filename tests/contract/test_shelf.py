# SPDX-License-Identifier: BSD-3-Clause
"""The shelf: whenever it is killed, it reopens as it was before a commit or after it."""

from __future__ import annotations

import dbm
import errno
import importlib
import os
import random
import select
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Callable

import pytest

from syncrepl_client.exceptions import StoreError, StoreInvalid
from syncrepl_client.protocol.view import Record
from syncrepl_client.store import Store
from syncrepl_client.store.shelve import dbmfile, journal
from tests.contract.places import (
    Place,
    consistent,
    die,
    fill,
    in_child,
    origin,
    record,
    shelf_format_1,
    uid,
)

TREE = [record(100, "dc=x"), record(22, "ou=a,dc=x"), record(23, "cn=b,ou=a,dc=x")]


def dbm_kinds() -> list[str]:
    """Every kind of dbm file that this Python can write."""
    found = []
    for name in ("dbm.sqlite3", "dbm.gnu", "dbm.ndbm", "dbm.dumb"):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
        found.append(name)
    return found


@pytest.fixture(params=dbm_kinds())
def dbm_kind(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """New dbm files are of that kind."""
    (tmp_path / "first").mkdir()
    dbm.open(str(tmp_path / "first" / "file"), "n").close()  # it looks which kinds there are
    monkeypatch.setattr(dbm, "_defaultmod", importlib.import_module(request.param))
    return str(request.param)


@pytest.fixture
def place(dbm_kind: str, tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "shelf").mkdir()
    place = Place("shelve", tmp_path / "shelf")
    yield place
    place.close()


def journal_of(place: Place) -> Path:
    return Path(journal.journal_path(str(place.path)))


def bases(place: Place) -> set[str]:
    """The dbm files that are there, whatever else each of them consists of."""
    names = {path.name for path in place.directory.iterdir()}
    return {end for end in (".base1", ".base2") if any(end in name for name in names)}


# --- states that can be told from each other


def state(number: int) -> set[Record]:
    """What the store holds after so many steps: each changes, moves and removes something."""
    found = {record(100, "dc=x")}
    for each in range(1, 10):
        if (each + number) % 4:
            name = f"cn={each} {(each + number) % 3},dc=x"
            found.add(record(each, name, description="x" * (each * number % 700)))
    return found


def step(store: Store, number: int) -> None:
    there = state(number)
    store.begin()
    for each in range(1, 101):
        if uid(each) not in {entry.uuid for entry in there}:
            store.remove(uid(each))
    for entry in there:
        store.put(entry)
    store.commit(origin(b"%d" % number))


def found_state(place: Place) -> int:
    """Open the store, see that it is exactly one of the states, return which."""
    store = place.open()
    if not store.exists:
        return 0
    assert store.trusted
    cookie = store.origin.cookie
    number = 0 if cookie is None else int(cookie)
    assert set(store.live()) == (state(number) if number else set())
    consistent(store)
    store.close()
    return number


def steps(place: Place, first: int, last: int) -> None:
    store = place.open()
    store.create()
    for number in range(first, last + 1):
        step(store, number)
    store.close()


# --- kills


def dying_at_line(count: int, act: Callable[[], None]) -> Callable[[], None]:
    """Do *act*, and die before the n-th line in the modules that handle the files."""
    traced = {path.__file__ for path in (journal, dbmfile, sys.modules["dbm.dumb"])}
    left = [count]

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename not in traced:
            return None
        if event == "line":
            left[0] -= 1
            if left[0] < 0:
                die()
        return trace

    def run() -> None:
        sys.settrace(trace)
        act()
        sys.settrace(None)

    return run


@pytest.mark.parametrize("limit", [0, 5000])
def test_killed_at_any_line(place: Place, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Making it, opening it, committing, checkpoints, closing it."""
    importlib.import_module("dbm.dumb")
    monkeypatch.setattr(journal, "CHECKPOINT_BYTES", limit)
    number = line = deaths = 0
    while True:
        act = partial(steps, place, number + 1, number + 2)
        status = in_child(dying_at_line(line, act))
        after = found_state(place)
        if status == 0:
            assert after == number + 2
            break
        assert status == -signal.SIGKILL
        deaths += 1
        assert number <= after <= number + 2
        number = after
        line += 61
    assert deaths > 5
    assert number > 2


def acknowledging(place: Place, first: int, pipe: int) -> None:
    store = place.open()
    store.create()
    for number in range(first, first + 100_000):
        step(store, number)
        os.write(pipe, b"%d\n" % number)


def kill_in_passing(place: Place, first: int, chance: random.Random) -> int:
    """Kill a writer at a random instant; return the last step that it said it had done."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            acknowledging(place, first, writing)
        finally:
            os._exit(1)
    os.close(writing)
    try:
        select.select([reading], [], [])
        time.sleep(chance.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        said = b""
        while more := os.read(reading, 65536):
            said += more
    finally:
        os.close(reading)
    return int(said.split()[-1])


@pytest.mark.parametrize("limit", [0, 20_000])
def test_killed_at_any_instant(place: Place, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "CHECKPOINT_BYTES", limit)
    number, chance = 0, random.Random(limit)
    for _ in range(45):
        said = kill_in_passing(place, number + 1, chance)
        number = found_state(place)
        assert said <= number <= said + 1
    assert len(bases(place)) <= 2


# --- the journal's end


def test_a_journal_that_is_cut_off_anywhere(place: Place) -> None:
    """Then the commits of which all is there have happened."""
    store = place.open()
    store.create()
    ends = [journal_of(place).stat().st_size]
    for number in (1, 2):
        step(store, number)
        ends.append(journal_of(place).stat().st_size)
    store.close()
    whole = journal_of(place).read_bytes()
    assert len(whole) == ends[-1]
    for size in [*range(ends[0], ends[1], 37), ends[1] - 1, *range(ends[1], ends[2] + 1, 41)]:
        journal_of(place).write_bytes(whole[:size])
        expected = sum(size >= end for end in ends[1:])
        assert found_state(place) == expected
        assert journal_of(place).stat().st_size == ends[expected]
    journal_of(place).write_bytes(whole + bytes(5000))  # as a power failure leaves it
    assert found_state(place) == 2
    steps(place, 3, 3)
    assert found_state(place) == 3


@pytest.mark.parametrize("bits", [1, 0x80])
def test_a_damaged_journal(place: Place, bits: int) -> None:
    """It is refused; only half a commit at the end may be no damage, but a kill's."""
    steps(place, 1, 1)
    last = journal_of(place).stat().st_size
    steps(place, 2, 2)
    whole = journal_of(place).read_bytes()
    for at in [*range(40), *range(40, len(whole), 53)]:
        spoilt = bytearray(whole)
        spoilt[at] ^= bits
        journal_of(place).write_bytes(spoilt)
        if at < last + 16:
            with pytest.raises(StoreInvalid, match=r"journal.*damaged"):
                place.open()
            assert journal_of(place).read_bytes() == spoilt
        else:
            assert found_state(place) == 1


@pytest.mark.parametrize("size", [0, 1, 19])
def test_a_journal_without_its_beginning(place: Place, size: int) -> None:
    steps(place, 1, 1)
    os.truncate(journal_of(place), size)
    with pytest.raises(StoreInvalid, match="damaged"):
        place.open()


def test_a_journal_that_is_gone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is below it may be old: it is neither believed nor wiped."""
    monkeypatch.setattr(journal, "CHECKPOINT_BYTES", 0)
    steps(place, 1, 2)
    journal_of(place).unlink()
    before = place.files()
    with pytest.raises(StoreInvalid, match="missing"):
        place.open()
    assert place.files() == before


def test_a_base_that_is_gone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "CHECKPOINT_BYTES", 0)
    steps(place, 1, 2)
    for path in place.directory.glob("*.base*"):
        path.unlink()
    before = place.files()
    with pytest.raises(StoreInvalid, match="dbm file"):
        place.open()
    assert place.files() == before


# --- failures


def failing(*_: object, **__: object) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("for_good", [False, True])
@pytest.mark.parametrize("written", [0, 10, 500])
def test_a_commit_that_fails(
    place: Place, written: int, for_good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is there; the same client goes on, once the disk has room again."""

    def write(self: Any, data: bytes) -> None:
        self._file.seek(self.end)
        self._file.write(data[:written])
        failing()

    steps(place, 1, 1)
    store = place.open()
    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "_write", write)
        if for_good:
            patch.setattr(journal.Journal, "_cut", failing)
        with pytest.raises(StoreError, match="No space"):
            step(store, 2)
        store.rollback()
        assert set(store.live()) == state(1)
        if for_good:
            with pytest.raises(StoreError, match="No space"):
                store.begin()
    step(store, 2)
    assert set(store.live()) == state(2)
    store.close()
    assert found_state(place) == 2


def test_a_commit_whose_sync_fails_is_not_there(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps(place, 1, 1)
    store = place.open()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        with pytest.raises(StoreError, match="No space"):
            step(store, 2)
    store.close()
    assert found_state(place) == 1


@pytest.mark.parametrize("what", ["copy", "sync", "remove", "open_dbm"])
def test_a_checkpoint_that_fails(place: Place, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next commit is refused before it begins; nothing is lost."""
    monkeypatch.setattr(journal, "CHECKPOINT_BYTES", 0)
    steps(place, 1, 3)
    store = place.open()
    with monkeypatch.context() as patch:
        patch.setattr(dbmfile, what, lambda *_: (_ for _ in ()).throw(StoreError("no space")))
        with pytest.raises(StoreError, match="no space"):
            store.begin()
        assert not store.in_transaction
        assert set(store.live()) == state(3)
    step(store, 4)
    store.close()
    assert found_state(place) == 4
    assert len(bases(place)) == 1


def test_a_journal_that_was_replaced_under_a_client(place: Place) -> None:
    steps(place, 1, 1)
    store = place.open()
    content = journal_of(place).read_bytes()
    journal_of(place).unlink()
    journal_of(place).write_bytes(content)
    with pytest.raises(StoreError, match="replaced"):
        store.begin()


# --- checkpoints


def test_memory_is_bounded_by_checkpoints(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "CHECKPOINT_BYTES", 20_000)
    store: Any = place.open()
    store.create()
    most = 0
    for number in range(200):
        fill(store, record(number, description="x" * 500), cookie=b"%d" % number)
        most = max(most, len(store._shelf._journal.changes))
        assert journal_of(place).stat().st_size < 25_000
    assert most < 150
    assert len(store) == 200
    store.close()
    assert len(bases(place)) == 1
    store = place.open()
    assert len(store) == 200
    consistent(store)


def test_every_file_is_private(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "CHECKPOINT_BYTES", 0)
    before = os.umask(0)
    try:
        store = place.create()
        for number in range(1, 4):
            step(store, number)
        assert {mode & 0o777 for mode, _ in place.files().values()} == {0o600}
    finally:
        os.umask(before)


@pytest.mark.parametrize("end", [".base1", ".base1.dat", ".base1.db", ".journal.new"])
def test_a_link_where_a_checkpoint_goes(
    place: Place, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is removed, at worst; what it points to is not touched."""
    store = place.create(*TREE)
    monkeypatch.setattr(journal, "CHECKPOINT_BYTES", 0)
    target = place.directory / "target"
    target.write_text("precious")
    Path(f"{place.path}{end}").symlink_to(target)
    step(store, 1)
    store.close()
    assert target.read_text() == "precious"
    assert found_state(place) == 1


# --- format 1


def test_a_shelf_of_format_1_is_taken_over(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    later = ("identity", "epoch", "reconciled", "known", "tally")
    kept = origin(b"c")._replace(**dict.fromkeys(later))
    shelf_format_1(place.path, TREE, kept)
    for _ in range(2):
        store = place.open()
        assert store.trusted
        assert store.origin == kept
        assert set(store.live()) == set(TREE)
        consistent(store)
        store.close()
    monkeypatch.setattr(journal, "CHECKPOINT_BYTES", 0)
    steps(place, 1, 2)
    assert found_state(place) == 2
    names = {path.name for path in place.directory.iterdir()} - {"syncrepl.shelve.lock"}
    assert all(".base" in name or "journal" in name for name in names)


@pytest.mark.parametrize("limit", [0, 100_000])
def test_a_torn_shelf_of_format_1_is_not_trusted_until_a_cookie_is_committed(
    place: Place, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "CHECKPOINT_BYTES", limit)
    shelf_format_1(place.path, TREE, origin(b"c"))
    with dbm.open(str(place.path), "w") as file:
        file[b"ounclean"] = b"1"
        del file[b"k" + TREE[1].key]
        file[b"b"] = b"77"
    for number in range(2):
        store = place.open()
        assert not store.trusted
        fill(store, record(10 + number))
        assert not store.trusted
        assert {each.uuid for each in store.live()} >= {each.uuid for each in TREE}
        consistent(store)
        store.close()
    fill(place.open(), cookie=b"1")
    place.close()
    store = place.open()
    assert store.trusted
    assert len(store) == 5
    consistent(store)


# --- cells


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        (b"ourl", b"\xff", lambda store: store.origin),
        (b"oreconciled", b"yesterday", lambda store: store.origin),
        (b"oreconciled", b"inf", lambda store: store.origin),
        (b"b", b"many", lambda store: list(store.below(b""))),
        (b"e" + uid(23), b"\0\0\0\0\0\0\0\1\xff", lambda store: store.get(uid(23))),
        (b"e" + uid(23), b"\0\0\0\3\0\0\0\1dc", lambda store: store.get(uid(23))),
        (b"e" + uid(23), b"\0", lambda store: store.get(uid(23))),
        (b"e" + b"short", b"\0" * 8, lambda store: list(store.seen.to_delete(unseen=True))),
    ],
)
def test_a_damaged_shelf(
    place: Place, name: bytes, value: bytes, read: Callable[[Store], Any]
) -> None:
    place.make(*TREE)
    with journal_of(place).open("ab") as file:
        file.write(journal.record({name: value}))
    store = place.open()
    with pytest.raises(StoreInvalid, match="damaged"):
        read(store)
