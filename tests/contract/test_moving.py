# SPDX-License-Identifier: BSD-3-Clause
"""A store moves to another place, with everything in it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Callable

import pytest

from syncrepl_client import Changelog
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.changelog.rows import Row
from syncrepl_client.changelog.tables import ParkedRow, SnapshotRow
from syncrepl_client.exceptions import (
    ConfigurationError,
    StoreError,
    StoreLocked,
    StorePathError,
)
from syncrepl_client.store import Store, moving, open_changelog
from syncrepl_client.store.moving import move
from syncrepl_client.testing import Feed
from tests.contract.places import (
    Place,
    die,
    displaced,
    fill,
    in_child,
    make_place,
    origin,
    record,
    reference,
    uid,
)

WAYS = [
    ("sqlite", "postgresql"),
    ("postgresql", "sqlite"),
    ("postgresql", "postgresql"),
    ("sqlite", "sqlite"),
    ("shelve", "sqlite"),
    ("shelve", "postgresql"),
]
MANY = 1100


@pytest.fixture
def place_of(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Place]]:
    made: list[Place] = []

    def place_of(kind: str) -> Place:
        directory = tmp_path / str(len(made))
        directory.mkdir()
        made.append(make_place(request, kind, directory))
        return made[-1]

    yield place_of
    for place in made:
        place.close()


def content(store: Store) -> tuple[Any, ...]:
    """Everything in a store but its log."""
    return store.origin, set(store.namesakes), list(moving._records(store))


def log_of(place: Place) -> tuple[list[Row], Any]:
    with closing(place.open()) as store:
        tables = store.log
        assert tables is not None
        rows = tables.rows(0, None, 10**6)
        kept = tables.settings(), tables.sinks(), tables.parked(), tables.requested()
        return rows, kept


def make(place: Place) -> tuple[Any, ...]:
    with closing(place.create()) as store:
        store.begin()
        store.tell_apart(record(1).key)
        store.commit()
        some = (record(number, mail=f"{number}@x") for number in range(MANY))
        fill(store, *some, displaced(MANY + 1, "cn=é"), reference(MANY + 2), cookie=b"c\xff")
        return content(store)


@pytest.mark.parametrize(("source", "target"), WAYS)
def test_entries(place_of: Callable[[str], Place], source: str, target: str) -> None:
    old, new = place_of(source), place_of(target)
    made = make(old)
    told: list[tuple[int, int]] = []
    moved = move(old.where, new.where, lambda done, total: told.append((done, total)))
    assert (moved.entries, moved.changes, moved.sinks) == (MANY, 0, 0)
    assert told == [(1000, MANY)]
    for place in (old, new):
        with closing(place.open()) as store:
            assert content(store) == made
            assert store.log is None or not store.log.exist


@pytest.mark.parametrize(("source", "target"), WAYS[:4])
def test_the_log_and_its_sinks(place_of: Callable[[str], Place], source: str, target: str) -> None:
    old, new = place_of(source), place_of(target)
    with Feed(BaseCallback(), store=old.open(), changelog=Changelog(initial="each")) as feed:
        feed.add("dc=x", {"dc": ["x"]})
        feed.refresh_done()
        for number in range(19):
            feed.add(f"cn={number},dc=x", {"cn": [f"{number}"]})
        feed.delete("cn=3,dc=x")
        feed.commit()
    with closing(old.open()) as store:
        log = store.log
        assert log is not None
        store.begin()
        log.trim(7)
        store.commit()
    with open_changelog(old.where) as shared:
        shared.sinks.add("behind", 12)
        shared.sinks.add("ahead", snapshot=True)
    with closing(old.open()) as store:
        assert store.log is not None
        store.begin()
        store.log.put_parked([ParkedRow("behind", 9, uid(3), 1.5, "no é", False, b"")])
        store.log.put_requested(SnapshotRow("ahead", uid(4), uid(5), 6))
        store.commit()
    rows, kept = log_of(old)
    assert (rows[0].seq, rows[-1].seq) == (8, 22)
    assert kept[0] is not None
    moved = move(old.where, new.where)
    assert (moved.changes, moved.sinks) == (15, len(kept[1]))
    assert log_of(old) == log_of(new) == (rows, kept)
    with closing(new.open()) as store:
        assert store.log is not None
        store.begin()
        store.log.append(rows[0])
        store.commit()
        newest = store.log.newest()
        assert newest is not None
        assert newest.seq == rows[-1].seq + 1


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_a_kill_leaves_nothing_half(place_of: Callable[[str], Place], target: str) -> None:
    old, new = place_of("sqlite"), place_of(target)
    made = make(old)

    def dies() -> None:
        move(old.where, new.where, lambda done, total: die() if done == 1000 else None)

    assert in_child(dies) == -signal.SIGKILL
    with closing(new.open()) as store:
        assert list(moving._records(store)) == []
    move(old.where, new.where)
    with closing(new.open()) as store:
        assert content(store) == made


def test_what_was_written_is_compared(
    place_of: Callable[[str], Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = place_of("sqlite"), place_of("postgresql")
    make(old)
    put = type(new.open()).put

    def put_wrongly(self: Store, each: Any) -> None:
        put(self, each._replace(attrs=b"") if each.uuid == uid(77) else each)

    monkeypatch.setattr(type(new.open()), "put", put_wrongly)
    with pytest.raises(StoreError, match=r"differ .* nothing was moved"):
        move(old.where, new.where)
    monkeypatch.undo()
    move(old.where, new.where)


@pytest.mark.parametrize("what", ["an entry", "an origin", "a log"])
def test_it_must_be_empty_there(place_of: Callable[[str], Place], what: str) -> None:
    old, new = place_of("sqlite"), place_of("postgresql")
    make(old)
    with closing(new.create()) as store:
        store.begin()
        if what == "a log":
            assert store.log is not None
            store.log.create()
        elif what == "an entry":
            store.put(record(5))
        store.commit(origin(None) if what == "an origin" else None)
    with pytest.raises(StoreError, match="is not empty"):
        move(old.where, new.where)


def test_in_use(place_of: Callable[[str], Place]) -> None:
    old, new = place_of("sqlite"), place_of("postgresql")
    with pytest.raises(StorePathError, match="no data store at"):
        move(old.where, new.where)
    with pytest.raises(ConfigurationError, match="where it is"):
        move(old.where, old.where)
    with closing(old.create()), pytest.raises(StoreLocked):
        move(old.where, new.where)
    with closing(new.create()), pytest.raises(StoreLocked):
        move(old.where, new.where)
    with closing(old.open()) as store:
        assert store.log is not None
        store.begin()
        store.log.create()
        store.commit()
    with open_changelog(old.where) as shared:
        shared.sinks.add("me")
        unlock = shared.lock("me")
        with pytest.raises(StoreLocked):
            move(old.where, new.where)
        unlock()
    assert move(old.where, new.where).sinks == 1
