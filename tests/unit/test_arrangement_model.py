# SPDX-License-Identifier: BSD-3-Clause
"""A server that is a tree takes whatever is arranged, and has then what the source has.

Directories change at random.  The changes come from the real core, told of in any order that
RFC 4533 allows, with kills in between.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Callable

import pytest

from syncrepl_client import dn
from syncrepl_client.arrangement import Arrangement
from syncrepl_client.changes import Change
from syncrepl_client.heldback import HeldInMemory
from syncrepl_client.messages import Attributes, Done, Entry, Message, PhaseEnd, State
from syncrepl_client.placement import Step
from syncrepl_client.protocol import RefreshDone, StartOver, Synchronization
from syncrepl_client.store import Store
from tests.unit import test_placement_model as model
from tests.unit.test_placement_model import Client, delete_phase, present_phase, reload


class Rooted(model.Directory):
    """Everything is below one entry, the search base."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        self.root: bytes | None = None
        self.add(None)
        self.root = next(iter(self.parents))

    def add(self, parent: bytes | None, name: str | None = None) -> None:
        if parent is not None or self.root is None:
            super().add(parent, name)

    def free_names(self, parent: bytes | None) -> list[str]:
        return super().free_names(parent) if parent is not None or self.root is None else []

    def delete(self, uuid: bytes) -> None:
        if uuid != self.root:
            super().delete(uuid)


class Tree:
    """What a server has, by key, and what it refuses."""

    def __init__(self, base: bytes) -> None:
        self.base = base
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
        old = dn.key(change.old_dn)
        assert old in self.entries, f"noSuchObject: {change}"
        if change.new_dn is None:
            assert not self.below(old), f"notAllowedOnNonLeaf: {change}"
            del self.entries[old]
            return
        assert attrs is not None
        if dn.key(change.new_dn) != old:
            self.rename(old, change.new_dn)
        self.entries[dn.key(change.new_dn)] = change.new_dn, attrs

    def add(self, name: str, attrs: Attributes) -> None:
        key = dn.key(name)
        assert key not in self.entries, f"entryAlreadyExists: {name}"
        assert key == self.base or dn.parent(key) in self.entries, f"noSuchObject above {name}"
        self.entries[key] = name, attrs

    def rename(self, old: bytes, new_dn: str) -> None:
        new = dn.key(new_dn)
        assert not new.startswith(old), f"unwillingToPerform: {new_dn}"
        carried = {key: self.entries[key] for key in self.below(old)}
        for key in carried:
            del self.entries[key]
        _, attrs = self.entries.pop(old)
        self.add(new_dn, attrs)
        for key, (name, attrs) in sorted(carried.items()):
            self.add(dn.rebase(name, key[len(old) :], new_dn), attrs)


class Follower(Client):
    """A client that arranges what it hears for a tree, from which kills take nothing back."""

    def __init__(self, base: bytes) -> None:
        super().__init__()
        self.tree = Tree(base)
        self.held = HeldInMemory()
        self.arrangement = Arrangement(self.store, self.held, base)
        self.written: list[Change] = []
        self.count = {"held": 0}

    def take(self, step: Step) -> None:
        if step.change is not None:
            self.written += self.arrangement.receive(step.change)
        super().take(step)

    def feed(self, sync: Synchronization, messages: Iterator[Message]) -> str | None:
        ended: str | None = None
        for message in messages:
            self.store.begin()
            for fact in sync.receive(message):
                if isinstance(fact, Step):
                    self.take(fact)
                elif isinstance(fact, RefreshDone):
                    self.written += self.arrangement.release()
                    ended = "done"
                elif isinstance(fact, StartOver):
                    self.start_overs += 1
                    ended = "start over"
            self.written += self.arrangement.settle()
            self.commit()
        return ended

    def commit(self) -> None:
        for operation in self.written:
            self.tree.apply(operation)
        self.written.clear()
        self.held.commit()
        self.store.commit()
        self.check()

    def check(self) -> None:
        """See that the tree has what the store has, but for what is held back."""
        held, key = set(), self.held.following(b"", b"")
        while key is not None:
            held.add(key)
            key = self.held.following(key, b"")
        self.count["held"] += len(held)
        stored = {record.key for record in self.store.live()}
        assert held <= stored
        assert set(self.tree.entries) == stored - held
        for key, (name, attrs) in self.tree.entries.items():
            record = self.store.at(key)
            assert record is not None
            assert (record.dn, model.attributes.decode(record.attrs)) == (name, attrs)

    def kill(self, sync: Synchronization, messages: Iterator[Message]) -> None:
        """Begin to hear of *messages*, and be killed before the commit."""
        mirror = dict(self.mirror)
        self.store.begin()
        chance = random.Random(len(mirror))
        facts = (fact for message in messages for fact in sync.receive(message))
        for fact in facts:
            if isinstance(fact, Step):
                self.take(fact)
            if chance.random() < 0.2:
                break
        self.store.rollback()
        self.written.clear()
        self.held.rollback()
        self.mirror = mirror
        self.arrangement = Arrangement(self.store, self.held, self.tree.base)


def _untold(message: Message) -> bool:
    """Say whether a refresh that is killed does not come to this, or may not be resumed then."""
    told_again = not isinstance(message, Entry) or message.state is not State.PRESENT
    return isinstance(message, (PhaseEnd, Done)) or not told_again


def begin(seed: int) -> tuple[Rooted, Follower]:
    directory = Rooted(random.Random(seed))
    assert directory.root is not None
    return directory, Follower(dn.key(directory.dn(directory.root)))


def refresh(client: Follower, directory: Rooted, *, resume: bool) -> None:
    phase = directory.chance.choice([delete_phase, present_phase]) if resume else reload
    if client.feed(client.search(b"c" if resume else None), phase(directory)) == "start over":
        assert client.feed(client.search(None), reload(directory)) == "done"
    assert dict(client.tree.entries.values()) == directory.state()
    directory.changed.clear()
    directory.deleted.clear()


@pytest.mark.parametrize("seed", range(400))
def test_refreshes(seed: int) -> None:
    directory, client = begin(seed)
    for _ in range(directory.chance.randint(0, 8)):
        directory.change()
    refresh(client, directory, resume=False)
    for _ in range(8):
        for _ in range(directory.chance.randint(1, 8)):
            directory.change()
        refresh(client, directory, resume=directory.chance.random() < 0.8)


@pytest.mark.parametrize("seed", range(400))
def test_refreshes_with_kills(seed: int) -> None:
    directory, client = begin(seed)
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
            messages = list(phase(directory))
            messages = [each for each in messages if not _untold(each)]
            point = chance.randint(0, len(messages))
            sync = client.search(None if whole else b"c")
            client.feed(sync, iter(messages[:point]))
            client.kill(sync, iter(messages[point:]))
        refresh(client, directory, resume=not whole)
