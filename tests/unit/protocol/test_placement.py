# SPDX-License-Identifier: BSD-3-Clause
"""A directory in miniature, changed at random and told of in any order that RFC 4533 allows.

Whatever happens, the store, a mirror by DN made from the changes alone, and the directory are
equal after every refresh; and nothing is told of entries that nothing happened to.

The directory keeps names apart that differ in case alone.  ``x`` is an attribute of which nobody
knows whether it heeds case.  ``cn`` does not on any server: what happens if it did is here too.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from uuid import UUID

import pytest

from syncrepl_client.changes import Change, ChangeKind, Phase
from syncrepl_client.entries import attributes, dn
from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.protocol.dialect import OPENLDAP
from syncrepl_client.protocol.extent import Extent
from syncrepl_client.protocol.facts import RefreshDone, Request, StartOver
from syncrepl_client.protocol.messages import Done, Entry, IdSet, Message, PhaseEnd, State, SyncDone
from syncrepl_client.protocol.placement import Step, uuid_of
from syncrepl_client.protocol.synchronization import Synchronization
from syncrepl_client.store.memory import MemoryStore

BASE = "dc=x"
DISTINCT = [f"n{number}" for number in range(6)]
ALIKE = ["n0", "N0", "n1", "N1", "nn", "nN", "Nn", "NN"]
MODELS = [("cn", DISTINCT), ("x", ALIKE), ("cn", ALIKE)]
ALL_MODELS = pytest.mark.parametrize(("attribute", "names"), MODELS, ids=["plain", "x", "cn"])


class Directory:
    """Entries by UUID: parent, RDN, attributes; few names, so that they collide."""

    def __init__(self, chance: random.Random, attribute: str, names: list[str]) -> None:
        self.chance = chance
        self.attribute = attribute
        self.all_names = names
        self.parents: dict[bytes, bytes | None] = {}
        self.names: dict[bytes, str] = {}
        self.versions: dict[bytes, int] = {}
        self.changed: set[bytes] = set()
        self.deleted: set[bytes] = set()
        self.count = 0

    def dn(self, uuid: bytes | None) -> str:
        if uuid is None:
            return BASE
        return f"{self.attribute}={self.names[uuid]},{self.dn(self.parents[uuid])}"

    def attrs(self, uuid: bytes) -> Attributes:
        return {self.attribute: [self.names[uuid].encode()], "v": [b"%d" % self.versions[uuid]]}

    def state(self) -> dict[str, Attributes]:
        return {self.dn(uuid): self.attrs(uuid) for uuid in self.parents}

    def children(self, parent: bytes | None) -> list[bytes]:
        return [uuid for uuid, above in self.parents.items() if above == parent]

    def free_names(self, parent: bytes | None) -> list[str]:
        taken = {self.names[uuid] for uuid in self.children(parent)}
        return [name for name in self.all_names if name not in taken]

    def below(self, uuid: bytes) -> set[bytes]:
        return {uuid}.union(*(self.below(child) for child in self.children(uuid)))

    def untouched(self) -> set[bytes]:
        return set(self.parents).difference(*(self.below(uuid) for uuid in self.changed))

    def change(self) -> None:
        kind = self.chance.choice(
            ["add"] * 4 + ["modify", "delete", "readd"] + ["rename"] * 4 + ["swap"] * 3
        )
        if kind == "add" or not self.parents:
            self.add(self.chance.choice([None, *self.parents]))
            return
        uuid = self.chance.choice(list(self.parents))
        if kind == "modify":
            self.versions[uuid] += 1
            self.changed.add(uuid)
        elif kind == "delete":
            self.delete(uuid)
        elif kind == "readd":
            parent, name = self.parents[uuid], self.names[uuid]
            self.delete(uuid)
            self.add(parent, name)
        elif kind == "rename":
            self.rename(uuid)
        else:
            self.swap(uuid, self.chance.choice(list(self.parents)))

    def add(self, parent: bytes | None, name: str | None = None) -> None:
        free = [name] if name is not None else self.free_names(parent)
        if not free:
            return
        self.count += 1
        uuid = self.count.to_bytes(16, "big")
        self.parents[uuid], self.names[uuid], self.versions[uuid] = (
            parent,
            self.chance.choice(free),
            0,
        )
        self.changed.add(uuid)

    def delete(self, uuid: bytes) -> None:
        for each in self.below(uuid):
            del self.parents[each], self.names[each], self.versions[each]
            self.changed.discard(each)
            self.deleted.add(each)

    def rename(self, uuid: bytes) -> None:
        within = self.below(uuid)
        parent = self.chance.choice([None, *(each for each in self.parents if each not in within)])
        free = self.free_names(parent)
        if free:
            self.parents[uuid], self.names[uuid] = parent, self.chance.choice(free)
            self.changed.add(uuid)

    def swap(self, one: bytes, other: bytes) -> None:
        if other in self.below(one) or one in self.below(other):
            return
        parents, names = self.parents, self.names
        parents[one], parents[other] = parents[other], parents[one]
        names[one], names[other] = names[other], names[one]
        self.changed |= {one, other}


class Client:
    """A store and a mirror, fed by hand."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.store.create()
        self.mirror: dict[str, Attributes] = {}
        self.start_overs = 0
        self.told: set[bytes] = set()

    def search(self, cookie: bytes | None) -> Synchronization:
        request = Request(OPENLDAP, Extent(dn.key(BASE)), cookie)
        return Synchronization(request, self.store, self.store.seen)

    def feed(self, sync: Synchronization, messages: Iterator[Message]) -> str | None:
        """Return how it ended: "done", "start over", or None."""
        ended: str | None = None
        for message in messages:
            self.store.begin()
            for fact in sync.receive(message):
                if isinstance(fact, Step):
                    self.take(fact)
                elif isinstance(fact, RefreshDone):
                    ended = "done"
                elif isinstance(fact, StartOver):
                    self.start_overs += 1
                    ended = "start over"
            self.store.commit()
        return ended

    def take(self, step: Step) -> None:
        if step.change is not None:
            self.told.add(step.uuid)
            self.apply(step.change)
        if step.record is not None:
            self.store.put(step.record)
        else:
            self.store.remove(step.uuid)
        assert self.stored() == self.mirror
        assert (
            step.record is None
            or dn.is_displaced(step.record.key)
            or (step.record.key == self.store.key(step.record.dn))
        )

    def stored(self) -> dict[str, Attributes]:
        return {record.dn: attributes.decode(record.attrs) for record in self.store.live()}

    def apply(self, change: Change) -> None:
        """Refuse what no directory could have done."""
        if change.kind is ChangeKind.ADD:
            assert change.new_dn not in self.mirror
        else:
            assert self.mirror.pop(str(change.old_dn)) == change.old_attrs
        if change.kind is ChangeKind.RENAME:
            assert change.new_dn not in self.mirror
        if change.kind is not ChangeKind.DELETE:
            assert change.new_attrs is not None
            self.mirror[str(change.new_dn)] = change.new_attrs


def entry(directory: Directory, uuid: bytes, state: State = State.ADD) -> Entry:
    attrs = {} if state is State.PRESENT else directory.attrs(uuid)
    return Entry(state, uuid, directory.dn(uuid), attrs)


def chunks(chance: random.Random, uuids: list[bytes], *, deletes: bool) -> list[Message]:
    sets: list[Message] = []
    while uuids:
        size = chance.randint(1, 4)
        sets.append(IdSet(tuple(uuids[:size]), deletes))
        uuids = uuids[size:]
    return sets


def shuffled(chance: random.Random, things: set[bytes]) -> list[bytes]:
    listed = sorted(things)
    chance.shuffle(listed)
    return listed


def delete_phase(directory: Directory) -> Iterator[Message]:
    chance = directory.chance
    yield from chunks(chance, shuffled(chance, directory.deleted), deletes=True)
    for uuid in shuffled(chance, directory.changed):
        yield entry(directory, uuid)
    yield Done(SyncDone(deletes=True, cookie=b"c"))


def present_phase(directory: Directory) -> Iterator[Message]:
    chance = directory.chance
    unchanged = shuffled(chance, set(directory.parents) - directory.changed)
    singles = chance.randint(0, 2)
    messages = chunks(chance, unchanged[singles:], deletes=False)
    messages += [entry(directory, uuid, State.PRESENT) for uuid in unchanged[:singles]]
    messages += [entry(directory, uuid) for uuid in sorted(directory.changed)]
    chance.shuffle(messages)
    yield from messages
    yield PhaseEnd(deletes=False, done=True, cookie=b"c%d" % directory.count)


def reload(directory: Directory) -> Iterator[Message]:
    for uuid in shuffled(directory.chance, set(directory.parents)):
        yield entry(directory, uuid)
    yield PhaseEnd(deletes=True, done=True, cookie=b"c")


def cut(chance: random.Random, messages: Iterator[Message]) -> Iterator[Message]:
    listed = list(messages)
    return iter(listed[: chance.randint(0, len(listed))])


def refresh(client: Client, directory: Directory, *, resume: bool) -> None:
    phase = directory.chance.choice([delete_phase, present_phase]) if resume else reload
    before = {record.uuid: record for record in client.store.live()}
    client.told.clear()
    if client.feed(client.search(b"c" if resume else None), phase(directory)) == "start over":
        assert client.feed(client.search(None), reload(directory)) == "done"
    assert client.stored() == directory.state()
    assert client.mirror == directory.state()
    if directory.attribute != "cn" or not resume:
        same = {each.uuid for each in client.store.live() if before.get(each.uuid) == each}
        assert not same & directory.untouched() & client.told
    directory.changed.clear()
    directory.deleted.clear()


@ALL_MODELS
@pytest.mark.parametrize("seed", range(120))
def test_refreshes_converge(seed: int, attribute: str, names: list[str]) -> None:
    directory, client = Directory(random.Random(seed), attribute, names), Client()
    refresh(client, directory, resume=False)
    for _ in range(8):
        for _ in range(directory.chance.randint(1, 8)):
            directory.change()
        refresh(client, directory, resume=directory.chance.random() < 0.8)
    assert client.start_overs == 0 or attribute == "cn"


@ALL_MODELS
@pytest.mark.parametrize("seed", range(120))
def test_interrupted_refreshes_converge(seed: int, attribute: str, names: list[str]) -> None:
    directory, client = Directory(random.Random(seed), attribute, names), Client()
    refresh(client, directory, resume=False)
    for _ in range(6):
        for _ in range(directory.chance.randint(0, 3)):
            for _ in range(directory.chance.randint(1, 5)):
                directory.change()
            client.feed(client.search(b"c"), cut(directory.chance, delete_phase(directory)))
        refresh(client, directory, resume=True)


@ALL_MODELS
@pytest.mark.parametrize("seed", range(120))
def test_persist_converges(seed: int, attribute: str, names: list[str]) -> None:
    directory, client = Directory(random.Random(seed), attribute, names), Client()
    sync = client.search(None)
    client.feed(sync, reload(directory))
    directory.changed.clear()
    assert sync.phase is Phase.PERSIST
    for _ in range(40):
        before = set(directory.parents)
        change = directory.chance.choice([directory.rename, directory.delete, None])
        if change is None or not before:
            directory.add(directory.chance.choice([None, *sorted(before)]))
        else:
            change(directory.chance.choice(sorted(before)))
        gone = tuple(before - set(directory.parents))
        told: list[Message] = [entry(directory, uuid) for uuid in directory.changed]
        client.feed(sync, iter([*told, IdSet(gone, deletes=True)]))
        directory.changed.clear()
        assert client.stored() == client.mirror == directory.state()
        if any(isinstance(fact, StartOver) for fact in sync.idle()):
            assert (attribute, names) == ("cn", ALIKE)
            client.told.clear()
            sync = client.search(None)
            assert client.feed(sync, reload(directory)) == "done"
            assert not client.told


@pytest.mark.parametrize("octets", [bytes(16), b"\xff" * 16, bytes(range(16))])
def test_a_uuid_is_one_like_any_other(octets: bytes) -> None:
    one, other = uuid_of(octets), UUID(bytes=octets)
    assert one == other == pickle.loads(pickle.dumps(one))  # noqa: S301
    assert (hash(one), str(one), one.is_safe) == (hash(other), str(other), other.is_safe)
