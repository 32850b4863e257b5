# SPDX-License-Identifier: BSD-3-Clause
"""What undoes changes: applied to a tree that is as strict as a server, it is as it was."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable

import pytest

from syncrepl_client import Change, ChangeKind, Changelog
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.changelog.undo import Undo, merge
from syncrepl_client.entries import attributes, dn
from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.exceptions import ConfigurationError, UsageError
from syncrepl_client.testing import Feed

Content = dict[str, dict[str, list[bytes]]]


class Refused(AssertionError):
    """What a server would refuse."""


class Tree:
    """Entries by DN, with the rules of a server."""

    def __init__(self, entries: Content) -> None:
        self.entries = {name: dict(attrs) for name, attrs in entries.items()}

    def apply(self, change: Change) -> None:
        kind, old_dn, new_dn = change.kind, change.old_dn or "", change.new_dn or ""
        if kind is ChangeKind.ADD:
            self._check_place(new_dn)
        elif old_dn not in self.entries:
            raise Refused(f"there is no {old_dn}")
        if kind is ChangeKind.DELETE:
            if self._below(old_dn):
                raise Refused(f"{old_dn} has children")
            del self.entries[old_dn]
            return
        if kind is ChangeKind.RENAME:
            self._rename(old_dn, new_dn)
        old, new = (
            attributes.canonical(each or {}) for each in (change.old_attrs, change.new_attrs)
        )
        attrs = self.entries.get(new_dn, {})
        if any(attrs.get(name) != values for name, values in old.items()):
            raise Refused(f"{new_dn} is {attrs}, not {old}")
        gone = old.keys() - new.keys()
        kept = {name: values for name, values in attrs.items() if name not in gone}
        self.entries[new_dn] = {**kept, **new}

    def _rename(self, old_dn: str, new_dn: str) -> None:
        if f",{new_dn}".endswith(f",{old_dn}"):
            raise Refused(f"{new_dn} is below {old_dn}")
        self._check_place(new_dn)
        for name in [old_dn, *self._below(old_dn)]:
            self.entries[name[: len(name) - len(old_dn)] + new_dn] = self.entries.pop(name)

    def _check_place(self, name: str) -> None:
        if name in self.entries:
            raise Refused(f"there is {name}")
        if name != "dc=x" and name.partition(",")[2] not in self.entries:
            raise Refused(f"nothing is above {name}")

    def _below(self, name: str) -> list[str]:
        return [each for each in self.entries if each.endswith(f",{name}")]


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    with Feed(
        BaseCallback(), store="sqlite", changelog=Changelog(), data_path=f"{tmp_path}/"
    ) as feed:
        feed.add("dc=x", {"dc": ["x"]})
        feed.refresh_done()
        yield feed


def content(feed: Feed) -> Content:
    return {name: attributes.canonical(attrs) for name, attrs in feed.store.items().items()}


def now() -> datetime:
    return datetime.now(timezone.utc)


def applied(feed: Feed, undo: Undo) -> Content:
    tree = Tree(content(feed))
    for change in undo.changes:
        tree.apply(change)
    return tree.entries


def undone(feed: Feed, since: datetime, **how: Any) -> Content:
    """What the directory is after an undo that leaves nothing out."""
    feed.commit()
    undo = feed.store.changelog.undo(since, **how)
    assert undo.kept == []
    return applied(feed, undo)


class Strict:
    """Changes in a feed that a server would allow."""

    def __init__(self, feed: Feed, chance: random.Random) -> None:
        self.feed = feed
        self.chance = chance

    @property
    def names(self) -> list[str]:
        return [name for name in self.feed.store.items() if "ou=others" not in name]

    def _leaf(self, name: str) -> bool:
        return not any(each.endswith(f",{name}") for each in self.feed.store.items())

    def some(self, times: int) -> None:
        for _ in range(times):
            with suppress(UsageError):
                self.chance.choice([self.add, self.modify, self.modify, self.rename, self.delete])()

    def _new(self) -> str:
        return f"cn={self.chance.choice('abcde')}"

    def add(self) -> None:
        above = self.chance.choice(self.names)
        if above.count(",") < 3:
            rdn = self._new()
            values = {"cn": [rdn[3:]], "sn": ["1"], "userPassword": ["x"]}
            self.feed.add(f"{rdn},{above}", values)

    def modify(self) -> None:
        name = self.chance.choice([each for each in self.names if each != "dc=x"] or ["dc=x"])
        values = self.chance.sample("123456", self.chance.randint(0, 3))
        self.feed.modify(name, {self.chance.choice(["sn", "mail", "member"]): values})

    def rename(self) -> None:
        old = self.chance.choice([each for each in self.names if each != "dc=x"] or ["dc=x"])
        above = self.chance.choice([self.chance.choice(self.names), old.partition(",")[2]])
        if old != "dc=x" and not f",{above}".endswith(f",{old}"):
            self.feed.rename(old, f"{self._new()},{above}")

    def delete(self) -> None:
        name = self.chance.choice(self.names)
        if name != "dc=x" and self._leaf(name):
            self.feed.delete(name)


def without_secrets(entries: Content) -> Content:
    return {
        name: {each: values for each, values in attrs.items() if each != "userpassword"}
        for name, attrs in entries.items()
    }


@pytest.mark.parametrize("seed", range(40))
def test_anything_is_undone(feed: Feed, seed: int) -> None:
    chance = random.Random(seed)
    strict = Strict(feed, chance)
    strict.some(chance.randint(0, 25))
    feed.commit()
    before, since = content(feed), now()
    for _ in range(3):
        strict.some(chance.randint(1, 12))
        feed.commit()
    found = undone(feed, since)
    assert without_secrets(found) == without_secrets(before)


@pytest.mark.parametrize("seed", range(20))
def test_what_changed_since_is_not_touched(feed: Feed, seed: int) -> None:
    """Others change entries of their own, and other attributes, before and after."""
    chance = random.Random(seed)
    strict = Strict(feed, chance)
    feed.add("ou=others,dc=x", {"ou": ["others"]})
    for number in range(5):
        feed.add(f"uid={number},ou=others,dc=x", {"uid": [f"{number}"], "member": ["a", "b"]})
    strict.some(10)
    feed.commit()
    before, since = content(feed), now()
    names = [f"uid={number},ou=others,dc=x" for number in range(5)]
    for name in names:
        feed.modify(name, {"member": ["b", "wrong"], "title": ["wrong"]})
    feed.delete(names[4])
    feed.commit()
    until = now()
    for name in names[:4]:
        feed.modify(name, {"member": ["b", "wrong", "later"], "description": ["later"]})
    strict.some(10)
    feed.commit()
    found = undone(feed, since, until=until)
    expected = content(feed)
    for name in names[:4]:
        expected[name] = {
            "uid": before[name]["uid"],
            "member": [b"a", b"b", b"later"],
            "description": [b"later"],
        }
    expected[names[4]] = before[names[4]]
    assert found == expected


# --- one by one


def test_a_subtree_is_added_again(feed: Feed) -> None:
    feed.add("ou=a,dc=x", {"ou": ["a"], "entryUUID": ["1"]})
    feed.add("cn=1,ou=a,dc=x", {"cn": ["1"], "userPassword": ["secret"]})
    feed.add("cn=2,cn=1,ou=a,dc=x", {"cn": ["2"]})
    feed.commit()
    since = now()
    for name in ("cn=2,cn=1,ou=a,dc=x", "cn=1,ou=a,dc=x", "ou=a,dc=x"):
        feed.delete(name)
    feed.commit()
    undo = feed.store.changelog.undo(since)
    assert [(each.kind, each.new_dn) for each in undo.changes] == [
        (ChangeKind.ADD, "ou=a,dc=x"),
        (ChangeKind.ADD, "cn=1,ou=a,dc=x"),
        (ChangeKind.ADD, "cn=2,cn=1,ou=a,dc=x"),
    ]
    assert undo.hidden == {"cn=1,ou=a,dc=x": ["userPassword"]}
    assert undo.changes[1].new_attrs == {"cn": [b"1"]}


def test_entries_swap_names(feed: Feed) -> None:
    feed.add("cn=a,dc=x", {"cn": ["a"], "sn": ["was a"]})
    feed.add("cn=b,dc=x", {"cn": ["b"], "sn": ["was b"]})
    feed.commit()
    before, since = content(feed), now()
    feed.rename("cn=a,dc=x", "cn=t,dc=x")
    feed.rename("cn=b,dc=x", "cn=a,dc=x")
    feed.rename("cn=t,dc=x", "cn=b,dc=x")
    assert undone(feed, since) == before
    assert len(feed.store.changelog.undo(since).changes) == 3


def test_into_a_container_that_is_gone(feed: Feed) -> None:
    feed.add("ou=a,dc=x", {"ou": ["a"]})
    feed.add("cn=1,ou=a,dc=x", {"cn": ["1"]})
    feed.commit()
    before, since = content(feed), now()
    feed.rename("cn=1,ou=a,dc=x", "cn=1,dc=x")
    feed.delete("ou=a,dc=x")
    feed.add("ou=new,dc=x", {"ou": ["new"]})
    feed.rename("cn=1,dc=x", "cn=one,ou=new,dc=x")
    assert undone(feed, since) == before


def test_entries_that_follow_a_renamed_one(feed: Feed) -> None:
    feed.add("ou=a,dc=x", {"ou": ["a"]})
    for number in range(3):
        feed.add(f"cn={number},ou=a,dc=x", {"cn": [f"{number}"]})
    feed.commit()
    before, since = content(feed), now()
    feed.rename("ou=a,dc=x", "ou=b,dc=x")
    assert undone(feed, since) == before
    assert len(feed.store.changelog.undo(since).changes) == 1
    feed.rename("cn=1,ou=b,dc=x", "cn=one,ou=b,dc=x")
    feed.commit()
    kept = feed.store.changelog.undo(since, below=["cn=one,ou=b,dc=x"])
    assert [each.new_dn for each in kept.changes] == ["cn=1,ou=b,dc=x"]


def test_the_parent_was_told_of_first(feed: Feed) -> None:
    """389-ds names what was deleted while nobody listened in any order."""
    feed.add("ou=a,dc=x", {"ou": ["a"]})
    feed.add("cn=1,ou=a,dc=x", {"cn": ["1"]})
    feed.commit()
    before, since = content(feed), now()
    feed.delete("ou=a,dc=x")
    feed.delete("cn=1,ou=a,dc=x")
    assert undone(feed, since) == before
    only = feed.store.changelog.undo(since, below=["cn=1,ou=a,dc=x"])
    assert only.changes == []
    assert [each.reason for each in only.kept] == ["the entry above it is not there"]


def test_from_the_middle_of_a_rename(feed: Feed) -> None:
    feed.add("ou=a,dc=x", {"ou": ["a"]})
    feed.add("cn=1,ou=a,dc=x", {"cn": ["1"]})
    feed.commit()
    feed.rename("ou=a,dc=x", "ou=b,dc=x")
    feed.commit()
    _, follows = feed.store.changelog.events()[-2:]
    assert follows.change is not None
    assert follows.change.time is not None
    assert feed.store.changelog.undo(follows.change.time).changes == []


def test_an_ancestor_was_renamed_since(feed: Feed) -> None:
    feed.add("ou=a,dc=x", {"ou": ["a"]})
    feed.add("cn=1,ou=a,dc=x", {"cn": ["1"]})
    feed.commit()
    since = now()
    feed.rename("cn=1,ou=a,dc=x", "cn=one,ou=a,dc=x")
    feed.commit()
    until = now()
    feed.rename("ou=a,dc=x", "ou=b,dc=x")
    found = undone(feed, since, until=until)
    assert set(found) == {"dc=x", "ou=b,dc=x", "cn=1,ou=b,dc=x"}
    assert found["cn=1,ou=b,dc=x"] == {"cn": [b"1"]}


def test_the_parent_has_another_name_now(feed: Feed) -> None:
    feed.add("ou=a,dc=x", {"ou": ["a"]})
    feed.add("cn=1,ou=a,dc=x", {"cn": ["1"]})
    feed.commit()
    since = now()
    feed.delete("cn=1,ou=a,dc=x")
    feed.commit()
    until = now()
    feed.rename("ou=a,dc=x", "ou=b,dc=x")
    feed.add("ou=a,dc=x", {"ou": ["a"]})
    assert "cn=1,ou=b,dc=x" in undone(feed, since, until=until)


def test_which_changes(feed: Feed) -> None:
    for name in ("ou=a,dc=x", "ou=b,dc=x", "cn=1,ou=a,dc=x", "cn=1,ou=b,dc=x", "cn=2,ou=b,dc=x"):
        feed.add(name, {"sn": ["old"]})
    feed.commit()
    since = now()
    feed.modify("cn=1,ou=a,dc=x", {"sn": ["new"]})
    feed.modify("cn=1,ou=b,dc=x", {"sn": ["new"]})
    feed.delete("cn=2,ou=b,dc=x")
    feed.add("cn=3,ou=b,dc=x", {"sn": ["new"]})
    feed.commit()
    log = feed.store.changelog

    def names(**how: Any) -> list[str]:
        return sorted(each.new_dn or each.old_dn or "" for each in log.undo(since, **how).changes)

    assert names() == [
        "cn=1,ou=a,dc=x",
        "cn=1,ou=b,dc=x",
        "cn=2,ou=b,dc=x",
        "cn=3,ou=b,dc=x",
    ]
    assert names(below=["OU=a,dc=x"]) == ["cn=1,ou=a,dc=x"]
    assert names(below=["ou=a,dc=x", "cn=3,ou=b,dc=x"]) == ["cn=1,ou=a,dc=x", "cn=3,ou=b,dc=x"]
    assert names(kinds=[ChangeKind.DELETE]) == ["cn=2,ou=b,dc=x"]
    assert names(kinds=[ChangeKind.ADD, ChangeKind.MODIFY], below=["ou=b,dc=x"]) == [
        "cn=1,ou=b,dc=x",
        "cn=3,ou=b,dc=x",
    ]
    assert names(until=since) == []
    with pytest.raises(ConfigurationError):
        log.undo(since, below=["none"])
    with pytest.raises(UsageError, match="begins"):
        log.undo(datetime(2020, 1, 1, tzinfo=timezone.utc))


# --- what was changed again

AGAIN: list[tuple[str, Callable[[Feed], object], str]] = [
    ("modify", lambda feed: feed.modify("cn=1,dc=x", {"sn": ["again"]}), "sn: changed again since"),
    ("modify", lambda feed: feed.delete("cn=1,dc=x"), "deleted since"),
    ("add", lambda feed: feed.modify("cn=2,dc=x", {"sn": ["again"]}), "changed again since"),
    ("add", lambda feed: feed.rename("cn=2,dc=x", "cn=3,dc=x"), "changed again since"),
    ("add", lambda feed: feed.add("cn=below,cn=2,dc=x", {}), "there are entries below it"),
    ("rename", lambda feed: feed.rename("cn=r,dc=x", "cn=s,dc=x"), "renamed again since"),
    ("rename", lambda feed: feed.add("cn=0,dc=x", {}), "another entry has that DN"),
    ("delete", lambda feed: feed.add("cn=d,dc=x", {}), "another entry has that DN"),
]


@pytest.mark.parametrize(("kind", "again", "reason"), AGAIN)
def test_what_was_changed_again(
    feed: Feed, kind: str, again: Callable[[Feed], object], reason: str
) -> None:
    for name in "01d":
        feed.add(f"cn={name},dc=x", {"cn": [name], "sn": ["old"]})
    feed.commit()
    since = now()
    feed.modify("cn=1,dc=x", {"sn": ["new"]})
    feed.add("cn=2,dc=x", {"sn": ["new"]})
    feed.rename("cn=0,dc=x", "cn=r,dc=x")
    feed.delete("cn=d,dc=x")
    feed.commit()
    until = now()
    again(feed)
    feed.commit()
    log = feed.store.changelog
    undo = log.undo(since, until, kinds=[ChangeKind(kind)])
    assert undo.changes == []
    [kept] = undo.kept
    assert kept.reason.startswith(reason)
    assert kept.dn.endswith(",dc=x")
    assert len(log.undo(since, until).kept) == 1
    applied(feed, log.undo(since, until))
    forced = log.undo(since, until, kinds=[ChangeKind(kind)], force=True)
    can = reason.split()[-1] == "since" and reason != "deleted since"
    assert bool(forced.changes) is can
    assert bool(forced.kept) is not can
    applied(feed, forced)


def test_it_is_back_already(feed: Feed) -> None:
    feed.add("cn=1,dc=x", {"sn": ["old"], "member": ["a", "b"]})
    feed.commit()
    before, since = content(feed), now()
    feed.modify("cn=1,dc=x", {"sn": ["new"], "member": ["b"]})
    feed.commit()
    until = now()
    feed.modify("cn=1,dc=x", {"sn": ["old"], "member": ["a", "b"]})
    assert undone(feed, since, until=until) == before
    assert feed.store.changelog.undo(since, until).changes == []
    assert undone(feed, since) == before


def values(text: str) -> list[bytes]:
    return sorted(each.encode() for each in text)


@pytest.mark.parametrize(("was", "became", "has", "merged"), [
    ("a", "b", "b", "a"),  # nobody has touched it
    ("a", "", "", "a"), ("", "a", "a", ""), ("abc", "", "", "abc"), ("ab", "xy", "xy", "ab"),
    ("a", "b", "a", "a"), ("ab", "", "ab", "ab"),  # it is back
    ("a", "b", "c", None), ("a", "", "c", None), ("ab", "x", "y", None),  # somebody replaced it
    ("", "b", "c", "c"), ("", "b", "", ""), ("a", "b", "", None),
    ("abcd", "d", "de", "abcde"), ("abcd", "d", "", "abc"), ("abcd", "d", "bd", "abcd"),
    ("a", "axyz", "ayzn", "an"), ("a", "axyz", "xyz", ""), ("abc", "cx", "cxn", "abcn"),
])  # fmt: skip
def test_values_of_others_stay(was: str, became: str, has: str, merged: str | None) -> None:
    found = merge(values(was), values(became), values(has))
    assert found == (None if merged is None else values(merged))


def test_a_large_group(feed: Feed) -> None:
    members = [f"uid={number},dc=x" for number in range(300)]
    feed.add("cn=all,dc=x", {"member": members})
    feed.commit()
    since = now()
    feed.modify("cn=all,dc=x", {"member": members[200:]})
    feed.commit()
    until = now()
    feed.modify("cn=all,dc=x", {"member": [*members[201:], "uid=new,dc=x"]})
    found = undone(feed, since, until=until)
    expected: Attributes = {"member": [each.encode() for each in members]}
    expected["member"].remove(b"uid=200,dc=x")
    expected["member"].append(b"uid=new,dc=x")
    assert found["cn=all,dc=x"] == attributes.canonical(expected)


def test_keys_of_names() -> None:
    assert dn.key("CN=a,DC=x").startswith(dn.key("dc=x"))
