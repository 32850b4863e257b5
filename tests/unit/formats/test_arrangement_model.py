# SPDX-License-Identifier: BSD-3-Clause
"""A server that is a tree takes whatever is arranged, and has then what the source has.

Directories change at random.  The changes come from the real core, told of in any order that
RFC 4533 allows, with kills in between.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Callable

import pytest

from syncrepl_client.changes import Change
from syncrepl_client.entries import attributes, dn
from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.formats.arrangement import Arrangement
from syncrepl_client.formats.ldifstate import open_state
from syncrepl_client.protocol.dialect import OPENLDAP
from syncrepl_client.protocol.extent import Extent
from syncrepl_client.protocol.facts import Fact, RefreshDone, Request, StartOver
from syncrepl_client.protocol.messages import Done, Entry, IdSet, Message, PhaseEnd, State
from syncrepl_client.protocol.placement import Step
from syncrepl_client.protocol.synchronization import Synchronization
from syncrepl_client.store import MemoryStore, SQLiteStore, Store
from tests.unit.protocol import test_placement as model
from tests.unit.protocol.test_placement import (
    BASE,
    delete_phase,
    entry,
    present_phase,
    reload,
    shuffled,
)


class Rooted(model.Directory):
    """Everything is below one entry, the search base."""

    def __init__(self, chance: random.Random, attribute: str, names: list[str]) -> None:
        super().__init__(chance, attribute, names)
        self.root: bytes | None = None
        self.add(None)
        self.root = next(iter(self.parents))

    def add(self, parent: bytes | None, name: str | None = None) -> None:
        if parent is not None or self.root is None:
            super().add(parent, name)

    def change(self) -> None:
        if self.chance.random() < 0.3:
            self.collect()
        else:
            super().change()

    def collect(self) -> None:
        """Make an entry, and move others to below it."""
        self.add(self.chance.choice(list(self.parents)))
        new = list(self.parents)[-1]
        for uuid in self.chance.sample(list(self.parents), min(3, len(self.parents))):
            free = self.free_names(new)
            if uuid != self.root and new not in self.below(uuid) and free:
                self.parents[uuid], self.names[uuid] = new, self.chance.choice(free)
                self.changed.add(uuid)

    def free_names(self, parent: bytes | None) -> list[str]:
        return super().free_names(parent) if parent is not None or self.root is None else []

    def delete(self, uuid: bytes) -> None:
        if uuid != self.root:
            super().delete(uuid)


def key_of(name: str) -> bytes:
    """The tree keeps all names apart."""
    return b"".join(rdn.encode() + b"\0" for rdn in reversed(dn.split(name)))


class Tree:
    """What a server has, by name, and what it refuses."""

    def __init__(self, base: str) -> None:
        self.base = key_of(base)
        self.entries: dict[bytes, tuple[str, Attributes]] = {}

    def below(self, key: bytes) -> list[bytes]:
        return [each for each in self.entries if each.startswith(key) and each != key]

    def apply(self, change: Change) -> None:
        attrs = change.new_attrs
        if change.old_dn is None:
            assert change.new_dn is not None
            assert attrs is not None
            self.add(change.new_dn, attrs)
            return
        old = key_of(change.old_dn)
        assert old in self.entries, f"noSuchObject: {change}"
        if change.new_dn is None:
            assert not self.below(old), f"notAllowedOnNonLeaf: {change}"
            del self.entries[old]
            return
        assert attrs is not None
        if key_of(change.new_dn) != old:
            self.rename(old, change.new_dn)
        self.entries[key_of(change.new_dn)] = change.new_dn, attrs

    def add(self, name: str, attrs: Attributes) -> None:
        key = key_of(name)
        assert key not in self.entries, f"entryAlreadyExists: {name}"
        assert key == self.base or dn.parent(key) in self.entries, f"noSuchObject above {name}"
        self.entries[key] = name, attrs

    def rename(self, old: bytes, new_dn: str) -> None:
        new = key_of(new_dn)
        assert not new.startswith(old), f"unwillingToPerform: {new_dn}"
        carried = {key: self.entries[key] for key in self.below(old)}
        for key in carried:
            del self.entries[key]
        _, attrs = self.entries.pop(old)
        self.add(new_dn, attrs)
        for key, (name, attrs) in sorted(carried.items()):
            self.add(dn.rebase(name, key[len(old) :], new_dn), attrs)


class Follower:
    """Arranges what it hears of a search for a tree, in transactions, as LDIFCallback does."""

    def __init__(self, base: str, seed: int, path: Path | None) -> None:
        self.tree = Tree(base)
        self.base = dn.key(base)
        self.path = path
        self.store: Store = MemoryStore()
        self.held = open_state(self.store)
        self.ever_held = 0
        self.chance = random.Random(seed)
        self.hurry = self.chance.choice([0, 0.1, 0.3, 1])
        self.start()

    def start(self) -> None:
        """Begin with what is committed, as another process does."""
        if self.path is not None:
            self.store.close()
            self.store = SQLiteStore(str(self.path))
        self.store.create()
        if self.path is not None:
            self.held = open_state(self.store)
        self.arrangement = Arrangement(self.store, self.held, self.base)
        self.written: list[Change] = []

    def search(self, cookie: bytes | None) -> Synchronization:
        request = Request(OPENLDAP, Extent(dn.key(BASE)), cookie)
        return Synchronization(request, self.store, self.store.seen)

    def feed(self, sync: Synchronization, messages: Iterator[Message]) -> str | None:
        """Return how it ended: "done", "start over", or None."""
        ended: str | None = None
        for message in messages:
            if not self.store.in_transaction:
                self.store.begin()
            for fact in sync.receive(message):
                ended = self.take(fact) or ended
            if ended or self.chance.random() < self.hurry:
                self.commit()
        if self.store.in_transaction:
            self.commit()
        return ended

    def take(self, fact: Fact) -> str | None:
        if isinstance(fact, Step):
            if fact.change is not None:
                self.written += self.arrangement.receive(fact.change)
            if fact.record is not None:
                self.store.put(fact.record)
            else:
                self.store.remove(fact.uuid)
        elif isinstance(fact, RefreshDone):
            self.written += self.arrangement.finish()
            assert not list(self.arrangement.release()), "something would have waited for ever"
            return "done"
        return "start over" if isinstance(fact, StartOver) else None

    def commit(self) -> None:
        self.written += self.arrangement.finish()
        for operation in self.written:
            self.tree.apply(operation)
        self.written.clear()
        self.held.committing()
        self.store.commit()
        self.check()

    def check(self) -> None:
        """See that the tree has what the store has, but for what is held back."""
        held, key = set[bytes](), self.held.following(b"", b"")
        while key is not None:
            held.add(key)
            key = self.held.following(key, b"")
        self.ever_held += len(held)
        stored = {each.key: (each.dn, attributes.decode(each.attrs)) for each in self.store.live()}
        assert held <= set(stored)
        there = [stored[key] for key in set(stored) - held]
        assert self.tree.entries == {key_of(name): (name, attrs) for name, attrs in there}

    def kill(self, sync: Synchronization, messages: Iterator[Message]) -> None:
        """Be killed while *messages* are heard of, before the commit."""
        self.store.begin()
        left = self.chance.randint(0, 5)
        for message in messages:
            with closing(sync.receive(message)) as facts:
                for fact in islice(facts, left):
                    self.take(fact)
                    left -= 1
        self.store.rollback()
        self.held.rolled_back()
        self.start()


Model = tuple[str, list[str]]


def begin(seed: int, names: Model, path: Path | None) -> tuple[Rooted, Follower]:
    directory = Rooted(random.Random(seed), *names)
    assert directory.root is not None
    return directory, Follower(directory.dn(directory.root), seed, path)


def refresh(client: Follower, directory: Rooted, *, resume: bool) -> Synchronization:
    phase = directory.chance.choice([delete_phase, present_phase]) if resume else reload
    sync = client.search(b"c" if resume else None)
    if client.feed(sync, phase(directory)) == "start over":
        sync = client.search(None)
        assert client.feed(sync, reload(directory)) == "done"
    assert dict(client.tree.entries.values()) == directory.state()
    directory.changed.clear()
    directory.deleted.clear()
    return sync


def refreshes(seed: int, names: Model, path: Path | None) -> Follower:
    directory, client = begin(seed, names, path)
    for _ in range(directory.chance.randint(0, 8)):
        directory.change()
    refresh(client, directory, resume=False)
    for _ in range(8):
        for _ in range(directory.chance.randint(1, 8)):
            directory.change()
        refresh(client, directory, resume=directory.chance.random() < 0.8)
    return client


def _resumable(message: Message) -> bool:
    """Say whether a search that hears of this may be cut short, and resumed with its cookie."""
    if isinstance(message, Entry):
        return message.state is not State.PRESENT  # it is not told again where it is
    return not isinstance(message, (PhaseEnd, Done))


def kills(seed: int, names: Model, path: Path | None) -> Follower:
    directory, client = begin(seed, names, path)
    chance = directory.chance
    refresh(client, directory, resume=False)
    for _ in range(6):
        whole = False
        for _ in range(chance.randint(0, 4)):
            for _ in range(chance.randint(1, 5)):
                directory.change()
            whole |= chance.random() < 0.3
            phase: Callable[[model.Directory], Iterator[Message]]
            phase = reload if whole else chance.choice([delete_phase, present_phase])
            messages = list(filter(_resumable, phase(directory)))
            point = chance.randint(0, len(messages))
            sync = client.search(None if whole else b"c")
            client.feed(sync, iter(messages[:point]))
            client.kill(sync, iter(messages[point:]))
        refresh(client, directory, resume=not whole)
    return client


def persist(seed: int, names: Model, path: Path | None) -> Follower:
    directory, client = begin(seed, names, path)
    for _ in range(8):
        directory.change()
    sync = refresh(client, directory, resume=False)
    chance = directory.chance
    for _ in range(40):
        before = shuffled(chance, set(directory.parents))
        changes: list[Callable[[bytes], None]] = [directory.rename, directory.delete, directory.add]
        chance.choice(changes)(before[0])
        told: list[Message] = [entry(directory, uuid) for uuid in directory.changed]
        gone = tuple(set(before) - set(directory.parents))
        client.feed(sync, iter([*told, IdSet(gone, deletes=True)]))
        directory.changed.clear()
        assert dict(client.tree.entries.values()) == directory.state()
    return client


Life = Callable[[int, Model, "Path | None"], Follower]
LIVES = pytest.mark.parametrize("life", [refreshes, kills, persist])
NAMES = pytest.mark.parametrize("names", model.MODELS[:2], ids=["plain", "x"])


@NAMES
@LIVES
@pytest.mark.parametrize("seed", range(150))
def test_in_memory(life: Life, seed: int, names: Model) -> None:
    life(seed, names, None)


@NAMES
@LIVES
@pytest.mark.parametrize("seed", range(1000, 1020))
def test_in_a_database(life: Life, seed: int, names: Model, tmp_path: Path) -> None:
    life(seed, names, tmp_path / "store").store.close()


@NAMES
def test_something_is_held_back(names: Model) -> None:
    assert sum(kills(seed, names, None).ever_held for seed in range(50)) > 50
