# SPDX-License-Identifier: BSD-3-Clause
"""The log has each committed change once, in order, as the callbacks were told."""

from __future__ import annotations

import itertools
import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncrepl_client import Change, ChangeKind, Changelog, Keep, RetryCallback, exceptions
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.changelog import Entry, Event, recorder
from syncrepl_client.entries import attributes
from syncrepl_client.protocol.messages import Reference, State
from syncrepl_client.store import open_store
from syncrepl_client.testing import Feed

ALL = Changelog(None, exclude=(), initial="each")


class Told(BaseCallback):
    """Remembers what was committed."""

    def __init__(self) -> None:
        self.pending: list[Change] = []
        self.committed: list[Change] = []
        self.bad: Exception | None = None

    def dispatch(self, change: Change) -> None:
        if self.bad is not None:
            raise self.bad
        self.pending.append(change)

    def before_commit(self) -> None:
        self.committed += self.pending
        self.pending = []


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def feed(told: Told, tmp_path: Path) -> Iterator[Feed]:
    with Feed(told, store="sqlite", data_path=f"{tmp_path}/", changelog=ALL) as feed:
        yield feed


def canonical(change: Change | None) -> object:
    if change is None:
        return None
    old, new = (
        attrs if attrs is None else attributes.canonical(attrs)
        for attrs in (change.old_attrs, change.new_attrs)
    )
    return change._replace(old_attrs=old, new_attrs=new)


def same(events: list[Event], changes: list[Change]) -> bool:
    return list(map(canonical, (each.change for each in events))) == list(map(canonical, changes))


def fill(feed: Feed) -> None:
    feed.add("dc=x", {"dc": ["x"]})
    feed.add("ou=a,dc=x", {"ou": ["a"]})
    feed.add("cn=b,ou=a,dc=x", {"cn": ["b"], "mail": ["b@x", "c@x"], "userPassword": ["hunter2"]})
    feed.refresh_done()


def change_all(feed: Feed) -> None:
    """A change of each kind: five, as a container is renamed with what is in it."""
    feed.modify("cn=b,ou=a,dc=x", {"mail": ["d@x"], "userPassword": ["hunter3"]})
    feed.rename("ou=a,dc=x", "ou=z,dc=x")
    feed.add("cn=n,dc=x", {"cn": ["n"]})
    feed.delete("cn=b,ou=z,dc=x")
    feed.commit()


def test_every_change_once_and_in_order(feed: Feed, told: Told) -> None:
    fill(feed)
    change_all(feed)
    begin, *events = feed.store.changelog.events()
    assert begin.change is None
    assert same(events, told.committed)
    assert [each.seq for each in (begin, *events)] == list(range(1, 10))
    assert len({each.id for each in events}) == 8
    assert {len(each.id) for each in events} == {16}
    kinds = [each.change.kind.value for each in events if each.change]
    assert kinds == ["add"] * 3 + ["modify", "rename", "rename", "add", "delete"]
    assert all(abs(each.time - time.time()) < 600 for each in events)


def test_in_parts(feed: Feed, told: Told) -> None:
    fill(feed)
    change_all(feed)
    log = feed.store.changelog
    events: list[Event] = []
    while more := log.events(events[-1].seq if events else 1, limit=2):
        assert len(more) <= 2
        events += more
    assert same(events, told.committed)
    for position in range(1, 9):  # from anywhere
        assert same(feed.store.changelog.events(position), told.committed[position - 1 :])


def test_a_few_at_a_time_where_entries_are_large(feed: Feed, told: Told) -> None:
    members = [f"uid={number},dc=x" for number in range(60_000)]
    feed.add("cn=all,dc=x", {"member": members})
    feed.refresh_done()
    for number in range(1, 4):
        feed.modify("cn=all,dc=x", {"member": members[number:]})
    feed.commit()
    log = feed.store.changelog
    assert [each.seq for each in log.events()] == [1, 2, 3]
    assert [each.seq for each in log.events(3)] == [4, 5]
    assert log.newest == 5


def test_the_first_refresh_is_a_snapshot(told: Told) -> None:
    with Feed(told, store="sqlite", changelog=Changelog()) as feed:
        assert feed.store.changelog.events() == []
        assert feed.store.changelog.newest == 0
        fill(feed)
        [snapshot] = feed.store.changelog.events()
        assert snapshot.change is None
        told.committed.clear()
        change_all(feed)
        _, *events = feed.store.changelog.events()
        assert len(events) == len(told.committed) == 5


def test_a_log_for_a_store_that_is_there(told: Told, tmp_path: Path) -> None:
    store = open_store("sqlite", f"{tmp_path}/")
    with closing(store), Feed(told, store=store) as feed:
        fill(feed)
        with pytest.raises(exceptions.UsageError, match="Changelog"):
            _ = store.changelog
        feed._changelog = Changelog()
        feed.restart()
        [snapshot] = store.changelog.events()
        assert snapshot.change is None
        feed._changelog = None  # it goes on by itself
        feed.restart()
        told.committed.clear()
        change_all(feed)
        assert len(store.changelog.events(1)) == len(told.committed) == 5
        assert store.changelog.changelog == Changelog()
        feed._changelog = Changelog(60)
        feed.restart()
        assert store.changelog.changelog == Changelog(60)
        assert store.changelog.newest == 6


def test_secrets(told: Told, tmp_path: Path) -> None:
    with Feed(told, store="sqlite", data_path=f"{tmp_path}/", changelog=Changelog()) as feed:
        fill(feed)
        change_all(feed)
        events = feed.store.changelog.events(1)
        modified = events[0]
        assert modified.change is not None
        assert modified.change.new_attrs == {"cn": [b"b"], "mail": [b"d@x"]}
        hidden = [each for each in modified.differences if not (each.added or each.removed)]
        assert [each.name for each in hidden] == ["userPassword"]
        database = feed.store.connection
        ((dump,),) = database.execute("SELECT group_concat(hex(differences)) FROM syncrepl_log")
        assert b"hunter".hex().upper() not in dump


def test_a_reference(feed: Feed, told: Told) -> None:
    name = b"r" * 16
    feed.refresh_done()
    feed._tell(
        [Reference(State.ADD, name, ("ldap://h/",)), Reference(State.ADD, name, ("ldap://i/",))]
    )
    feed._tell([Reference(State.DELETE, name, ())], commit=True)
    assert len(told.committed) == 3
    assert same(feed.store.changelog.events(1), told.committed)


def test_a_callback_may_keep_what_it_is_given(feed: Feed) -> None:
    class Taker(Told):
        def dispatch(self, change: Change) -> None:
            for attrs in (change.old_attrs, change.new_attrs):
                for values in (attrs or {}).values():
                    values.clear()
                (attrs or {}).clear()

    feed.refresh_done()
    feed.restart(Taker())
    feed.add("cn=a,dc=x", {"cn": ["a"]})
    feed.modify("cn=a,dc=x", {"mail": ["m"]})
    feed.delete("cn=a,dc=x")
    feed.commit()
    added, modified, deleted = (each.change for each in feed.store.changelog.events(1))
    assert added is not None
    assert modified is not None
    assert deleted is not None
    assert added.new_attrs == modified.old_attrs == {"cn": [b"a"]}
    assert modified.new_attrs == deleted.old_attrs == {"cn": [b"a"], "mail": [b"m"]}


# --- what is not committed


def test_what_is_rolled_back_was_not(feed: Feed, told: Told) -> None:
    fill(feed)
    feed.modify("ou=a,dc=x", {"description": ["lost"]})
    feed.crash()
    assert feed.store.changelog.newest == 4
    told.pending.clear()
    feed.restart()
    told.bad = ValueError("no")
    with pytest.raises(ValueError, match="no"):
        feed.modify("ou=a,dc=x", {"description": ["refused"]})
    told.bad = None
    feed.restart()
    assert same(feed.store.changelog.events(1), told.committed)
    assert feed.store.changelog.newest == 6


def test_the_first_transaction_is_rolled_back(told: Told) -> None:
    with Feed(told, store="sqlite", changelog=ALL) as feed:
        feed.add("dc=x", {"dc": ["x"]})
        feed.crash()
        told.pending.clear()
        assert feed.store.changelog.events() == []
        feed.restart()
        assert same(feed.store.changelog.events(1), told.committed)


def test_a_dead_letter_counts(told: Told) -> None:
    letters: list[Change] = []
    policy = RetryCallback(0, dead_letter=lambda change, error: letters.append(change))
    with Feed(told, store="sqlite", changelog=ALL, on_callback_error=policy) as feed:
        feed.add("cn=1", {"cn": ["1"]})
        told.bad = ValueError("no")
        feed.add("cn=2", {"cn": ["2"]})
        told.bad = None
        feed.add("cn=3", {"cn": ["3"]})
        feed.refresh_done()
        first, third = told.committed
        assert same(feed.store.changelog.events(1), [first, *letters, third])


def test_the_log_within_a_transaction(feed: Feed, told: Told) -> None:
    """A callback sees what comes before it, and its own savepoints do the log no harm."""
    seen: list[int] = []

    class Looks(Told):
        def dispatch(self, change: Change) -> None:
            super().dispatch(change)
            database = feed.store.connection
            database.execute("SAVEPOINT mine")
            log = feed.store.changelog
            log.sinks.add("me", 0)
            seen.append(len(log.events()))
            log.sinks.move("me", 1)
            database.execute("ROLLBACK TO mine" if len(seen) % 2 else "RELEASE mine")

    fill(feed)
    told = Looks()
    feed.restart(told)
    change_all(feed)
    assert seen == [4, 5, 6, 7, 8]
    assert same(feed.store.changelog.events(4), told.committed)
    assert feed.store.changelog.sinks["me"].position == 1


# --- what is kept


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "_TRIM_EVERY", 1)


def kept(feed: Feed) -> list[int]:
    return [each.seq for each in feed.store.changelog.events()]


numbers = itertools.count()


def touch(feed: Feed, times: int) -> None:
    for _ in range(times):
        feed.modify("ou=a,dc=x", {"description": [f"{next(numbers):0100}"]})
        feed.commit()


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize(("keep", "least", "most"), [
    (Keep(changes=3), 3, 3), (Keep(size=1000), 4, 7), (Keep(age=1e-9), 1, 2), (None, 11, 11),
])  # fmt: skip
def test_trimming(keep: Keep | None, least: int, most: int, told: Told) -> None:
    with Feed(told, store="sqlite", changelog=Changelog(keep)) as feed:
        fill(feed)
        touch(feed, 10)
        assert least <= len(kept(feed)) <= most
        assert kept(feed)[-1] == 11


@pytest.mark.usefixtures("often")
def test_what_a_sink_has_not_had_is_kept(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    changelog = Changelog(Keep(changes=2), for_sinks=Keep(changes=8))
    with Feed(told, store="sqlite", changelog=changelog) as feed:
        fill(feed)
        sinks = feed.store.changelog.sinks
        sinks.add("slow")
        assert sinks["slow"].position == 1
        sinks.add("quick", 1)
        touch(feed, 5)
        assert kept(feed) == [2, 3, 4, 5, 6]
        sinks.move("quick", 6)
        sinks.move("slow", 4)
        touch(feed, 1)
        assert kept(feed) == [5, 6, 7]
        slow = sinks["slow"]
        assert (slow.position, slow.behind, slow.parked, slow.lost) == (4, 3, 0, 0)
        assert slow.age is not None
        assert sinks["quick"].behind == 1
        sinks.park("slow", 5, bytes(16), "it said no")
        sinks.move("slow", 7)
        touch(feed, 3)
        assert kept(feed) == [5, 6, 7, 8, 9, 10]
        assert sinks.drop("slow") == 1
        touch(feed, 1)
        assert kept(feed) == [7, 8, 9, 10, 11]
        assert not caplog.records
        caplog.set_level(logging.ERROR)
        touch(feed, 3)
        sinks.move("quick", 14)
        touch(feed, 6)
        assert sinks["slow"].lost == 7
        assert sinks["quick"].lost == 0
        touch(feed, 2)
        [record] = caplog.records
        assert (record.event, record.args) == ("sink-given-up", ("slow",))  # type: ignore[attr-defined]
        sinks.move("quick", 22)
        touch(feed, 1)
        assert kept(feed) == [22, 23]  # nobody waits for it any longer
        sinks.remove("slow")
        assert [each.name for each in sinks] == ["quick"]


# --- stores that can't


@pytest.mark.parametrize("store", ["shelve", "memory"])
def test_other_stores_say_so(store: str, tmp_path: Path) -> None:
    with pytest.raises(exceptions.ConfigurationError, match=f"(?i){store[:4]}.*SQLite"):
        Feed(BaseCallback(), store=store, data_path=f"{tmp_path}/", changelog=Changelog())
    with Feed(BaseCallback(), store=store, data_path=f"{tmp_path}/") as feed:
        feed.refresh_done()
        with pytest.raises(exceptions.ConfigurationError, match="SQLite"):
            _ = feed.store.changelog


def test_what_is_no_changelog() -> None:
    bad: Any = "30d"
    with pytest.raises(exceptions.ConfigurationError, match="Changelog"):
        Feed(BaseCallback(), store="sqlite", changelog=bad)


def test_a_log_is_dropped(feed: Feed, told: Told) -> None:
    fill(feed)
    feed.store.changelog.drop()
    with pytest.raises(exceptions.UsageError):
        _ = feed.store.changelog
    change_all(feed)
    feed.restart()
    assert [each.change for each in feed.store.changelog.events()] == [None]


# --- everything at once

NAMES = st.sampled_from(["a", "b", "c"])
DNS = st.lists(NAMES, min_size=1, max_size=3).map(
    lambda names: ",".join([*(f"cn={name}" for name in names), "dc=x"])
)
ATTRS = st.dictionaries(
    st.sampled_from(["mail", "sn", "SN"]), st.lists(NAMES, max_size=2, unique=True), max_size=2
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), DNS, ATTRS),
        st.tuples(st.just("modify"), DNS, ATTRS),
        st.tuples(st.just("rename"), DNS, DNS),
        st.tuples(st.just("delete"), DNS),
        st.tuples(st.sampled_from(["commit", "crash", "restart"])),
    ),
    max_size=25,
)


def do(feed: Feed, told: Told, step: tuple[Any, ...]) -> None:
    name, *arguments = step
    if name == "crash":
        feed.crash()
        told.pending.clear()
        name = "restart"
    if name == "restart":
        told.pending.clear()
    with suppress(exceptions.UsageError):
        getattr(feed, name)(*arguments)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, STEPS)
def test_any_changes(first: list[tuple[Any, ...]], later: list[tuple[Any, ...]]) -> None:
    told = Told()
    with (
        tempfile.TemporaryDirectory() as directory,
        Feed(told, store="sqlite", data_path=f"{directory}/", changelog=ALL) as feed,
    ):
        for step in first:
            if step[0] not in ("commit", "crash", "restart"):
                do(feed, told, step)
        feed.refresh_done()
        for step in later:
            do(feed, told, step)
        feed.commit()
        log = feed.store.changelog
        events = [each for part in iter_parts(log) for each in part]
        assert same(events, told.committed)
        states = log._states()
        mirror: dict[bytes, Entry] = {}
        for event in events:
            change = event.change
            assert change is not None
            uuid = change.uuid.bytes
            if change.kind is ChangeKind.DELETE:
                del mirror[uuid]
            else:
                mirror[uuid] = Entry(change.uuid, change.new_dn or "", change.new_attrs or {})
            for uuid in {each.change.uuid.bytes for each in events if each.change}:
                state, expected = states.at(uuid, event.seq), mirror.get(uuid)
                assert (state is None) is (expected is None)
                if state is not None and expected is not None:
                    assert state.dn == expected.dn
                    assert attributes.same(state.attrs, expected.attrs)
        newest_first = list(log.history())
        assert newest_first[-1].change is None
        assert same(newest_first[-2::-1], told.committed)
        assert same(list(log.history(newest_first=False))[1:], told.committed)


def iter_parts(log: Any) -> Iterator[list[Event]]:
    position = 1
    while part := log.events(position, limit=3):
        yield part
        position = part[-1].seq
