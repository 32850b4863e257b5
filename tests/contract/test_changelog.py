# SPDX-License-Identifier: BSD-3-Clause
"""The log of changes in the file of a store: read beside a client, and not believed blindly."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from syncrepl_client import Changelog
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.exceptions import StoreError, StoreInvalid, StorePathError, UsageError
from syncrepl_client.store import (
    PostgreSQLStore,
    SQLiteStore,
    open_changelog,
    open_store,
    read_store,
)
from syncrepl_client.testing import Feed
from tests.contract.places import Place, die, in_child, record


@pytest.fixture
def feed(database_place: Place) -> Iterator[Feed]:
    yield from feed_of(database_place)


@pytest.fixture
def sqlite_feed(sqlite_place: Place) -> Iterator[Feed]:
    yield from feed_of(sqlite_place)


def feed_of(place: Place) -> Iterator[Feed]:
    store = place.open()
    with Feed(BaseCallback(), store=store, changelog=Changelog(initial="each")) as feed:
        feed.add("dc=x", {"dc": ["x"]})
        feed.refresh_done()
        yield feed


def test_a_reader_sees_one_commit(feed: Feed, database_place: Place) -> None:
    with read_store(database_place.where) as reader:
        feed.modify("dc=x", {"description": ["later"]})
        feed.commit()
        log = reader.changelog
        assert [each.seq for each in log.events()] == [1, 2]
        assert log.events()[1].differences[0].added == (b"x",)
        with pytest.raises(StoreError, match=r"read-?only"):
            log.sinks.add("me")
    with read_store(database_place.where) as reader:
        assert reader.changelog.newest == 3


def test_a_sink_beside_a_client(feed: Feed, database_place: Place) -> None:
    with open_changelog(database_place.where) as log:
        log.sinks.add("me", 0)
        assert [each.seq for each in log.events(log.sinks["me"].position)] == [1, 2]
        feed.modify("dc=x", {"description": ["not committed"]})
        assert log.newest == 2
        feed.commit()
        assert [each.seq for each in log.events(2)] == [3]
        log.sinks.move("me", 3)
        assert feed.store.changelog.sinks["me"].behind == 0
        assert log.sinks["me"].age is None
        feed.modify("dc=x", {"description": ["more"]})
        feed.commit()
        assert log.sinks["me"].behind == 1
        assert log.sinks["me"].age is not None
    log.close()


def test_a_sink_waits_for_the_client(sqlite_feed: Feed, sqlite_place: Place) -> None:
    sqlite_feed.modify("dc=x", {"description": ["in a transaction"]})
    with open_changelog(sqlite_place.prefix, patience=0.01) as log:
        with pytest.raises(StoreError, match="locked"):
            log.sinks.add("me")
        assert log.newest == 2  # reading takes its time from nobody
    done = threading.Event()

    def add() -> None:
        with open_changelog(sqlite_place.prefix) as log:
            log.sinks.add("me")
            done.set()

    thread = threading.Thread(target=add)
    thread.start()
    assert not done.wait(0.05)
    sqlite_feed.commit()
    thread.join()
    assert done.is_set()


def test_a_sink_in_the_transaction_of_the_store(feed: Feed) -> None:
    store = feed.store
    store.changelog.sinks.add("me")
    store.begin()
    store.changelog.sinks.move("me", 1)
    store.changelog.sinks.park("me", 2, bytes(16), "no")
    store.rollback()
    assert store.changelog.sinks["me"].position == 2
    assert store.changelog.sinks.parked() == []


def test_what_is_parked(feed: Feed) -> None:
    sinks = feed.store.changelog.sinks
    one, two = b"1" * 16, b"2" * 16
    for name in ("a", "b"):
        sinks.add(name)
        assert name in sinks
    for seq, uuid in ((1, one), (2, two), (3, one)):
        sinks.park("a", seq, uuid, "refused")
    sinks.park("b", 1, one, "refused")
    assert [each.seq for each in sinks.parked("a", uuid=one)] == [1, 3]
    assert len(sinks.parked()) == 4
    assert sinks["a"].parked == 3
    assert sinks.release("a", uuid=one) == 2
    assert [each.released for each in sinks.parked("a")] == [True, False, True]
    assert sinks.drop("a", uuid=one, seq=1) == 1
    assert sinks.drop("a") == 2
    assert [each.sink for each in sinks.parked()] == ["b"]
    sinks.remove("b")
    assert sinks.parked() == []
    for use in (lambda: sinks["b"], lambda: sinks.move("b", 1), lambda: sinks.remove("b"),
                lambda: sinks.park("b", 1, one, "no")):  # fmt: skip
        with pytest.raises(KeyError):
            use()


def test_no_log(database_place: Place) -> None:
    with pytest.raises(StorePathError):
        open_changelog(database_place.where)
    database_place.make(record(1))
    with pytest.raises(UsageError, match="no log"):
        open_changelog(database_place.where)
    with read_store(database_place.where) as reader, pytest.raises(UsageError):
        _ = reader.changelog


def test_a_kill_before_the_commit(feed: Feed, database_place: Place) -> None:
    def dies() -> None:
        store = open_store("sqlite", database_place.where)
        assert isinstance(store, (SQLiteStore, PostgreSQLStore))
        store.begin()
        store.changelog.sinks.add("me")
        store.log.append(store.log.rows(1, None, 1)[0])
        store.log.flush()
        die()

    feed.close()
    assert in_child(dies) == -9
    with closing(open_store("sqlite", database_place.where)) as store:
        assert store.changelog.newest == 2
        assert "me" not in store.changelog.sinks


@pytest.mark.parametrize("statement", [
    "UPDATE syncrepl_log SET id = 'text'",
    "UPDATE syncrepl_log SET uuid = X'00'",
    "UPDATE syncrepl_log SET time = 'now'",
    "UPDATE syncrepl_log SET differences = X'5b5d' WHERE seq = 2",
    "UPDATE syncrepl_log SET kind = 'modify', new_dn = X'00' WHERE seq = 2",
    "UPDATE syncrepl_log_settings SET settings = '[]'",
    "UPDATE syncrepl_log_settings SET settings = X'00'",
])  # fmt: skip
def test_damaged_cells(sqlite_feed: Feed, statement: str) -> None:
    sqlite_feed.store.connection.execute(statement)
    with pytest.raises(StoreInvalid):
        sqlite_feed.store.changelog.events()


@pytest.mark.parametrize("statement", [
    "CREATE VIEW syncrepl_log AS SELECT 1 AS seq",
    "CREATE TABLE Syncrepl_Log (seq INTEGER PRIMARY KEY)",
])  # fmt: skip
def test_other_tables_of_that_name(sqlite_place: Place, statement: str) -> None:
    sqlite_place.make(record(1))
    with closing(sqlite_place.open()) as store:
        store.connection.execute(statement)
    invalid = pytest.raises(StoreInvalid, match=r"(?i)syncrepl_log")
    with closing(sqlite_place.open()) as store, invalid:
        _ = store.changelog


def test_a_trigger_on_a_table(sqlite_feed: Feed, sqlite_place: Place) -> None:
    sqlite_feed.store.connection.execute(
        "CREATE TRIGGER evil AFTER INSERT ON syncrepl_log BEGIN DELETE FROM syncrepl_sink; END"
    )
    sqlite_feed.close()
    with pytest.raises(StoreInvalid, match="evil"):
        open_changelog(sqlite_place.prefix)


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "syncrepl.sqlite3").write_bytes(b"no database" * 100)
    with pytest.raises(StoreError):
        open_changelog(f"{tmp_path}/")
