# SPDX-License-Identifier: BSD-3-Clause
"""The order of changes that an LDAP server accepts.

A server adds an entry only below an existing one, deletes only leaves, and lets no two entries have
the same DN; a rename moves all entries below with the renamed one.  So changes are planned on a
model of the tree in which an entry has a parent and an RDN, which a rename of an ancestor does not
change.

A parent that the store does not have is taken to be there.
"""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Optional, Union
from uuid import UUID

from ..changes import Change, ChangeKind, Phase
from ..entries import dn
from ..entries.attributes import Attributes
from ..protocol.view import Record
from .states import Entries


@dataclass(frozen=True)
class Outside:
    """A parent that the store does not have."""

    key: bytes
    dn: str = field(compare=False)


class Spot(NamedTuple):
    """A place in the tree: the entryUUID of the parent, or where it is, and the RDN."""

    parent: Union[bytes, Outside]
    rdn: str

    @property
    def key(self) -> tuple[Union[bytes, Outside], bytes]:
        """The place, for comparisons."""
        return self.parent, dn.key(self.rdn)


class Task(NamedTuple):
    """What is to be done with an entry.

    Attributes:
        uuid: the entryUUID.
        spot: the place where it shall be; None to delete it.
        old: the attributes that it has now; None if it is not there.
        new: the attributes that it shall have; None to delete it.
    """

    uuid: bytes
    spot: Optional[Spot]
    old: Optional[Attributes]
    new: Optional[Attributes]


class Tree:
    """The tree, with the changes that were planned so far."""

    def __init__(self, view: Entries) -> None:
        """Initialize from the entries as they are."""
        self._view = view
        self._spots: dict[bytes, Optional[Spot]] = {}
        self._occupants: dict[tuple[Union[bytes, Outside], bytes], Optional[bytes]] = {}
        self._arrived: Counter[Union[bytes, Outside]] = Counter()

    def spot(self, uuid: bytes) -> Optional[Spot]:
        """Return the place of an entry; None if it is not there."""
        if uuid not in self._spots:
            record = self._live(self._view.get(uuid))
            return None if record is None else self._spot_of(record)
        return self._spots[uuid]

    def parent_at(self, key: bytes, name: str) -> Union[bytes, Outside]:
        """Return the parent with that key, whose DN is *name*, as the entries are now."""
        record = self._live(self._view.at(key))
        return Outside(key, name) if record is None else record.uuid

    def name(self, uuid: bytes) -> str:
        """Return the DN of an entry that is there."""
        rdns: list[str] = []
        parent: Union[bytes, Outside] = uuid
        while not isinstance(parent, Outside):
            spot = self.spot(parent)
            if spot is None:
                raise KeyError(parent)
            rdns.append(spot.rdn)
            parent = spot.parent
        return ",".join([*rdns, parent.dn] if parent.dn else rdns)

    def put(self, uuid: bytes, spot: Optional[Spot]) -> None:
        """Put an entry in its new place."""
        before = self.spot(uuid)
        if before is not None:
            self._occupants[before.key] = None
            if uuid in self._spots:
                self._arrived[before.parent] -= 1
        self._spots[uuid] = spot
        if spot is not None:
            self._occupants[spot.key] = uuid
            self._arrived[spot.parent] += 1

    def occupant(self, spot: Spot) -> Optional[bytes]:
        """Return the entry that is in a place; None if there is none."""
        if spot.key in self._occupants:
            return self._occupants[spot.key]
        parent, rdn = spot.key
        if isinstance(parent, Outside):
            above: Optional[bytes] = parent.key
        else:
            record = self._live(self._view.get(parent))
            above = None if record is None else record.key
        found = None if above is None else self._live(self._view.at(above + rdn))
        return None if found is None or found.uuid in self._spots else found.uuid

    def obstacle(self, task: Task) -> Optional[str]:
        """Return why a server would refuse *task* now; None if it would not."""
        if task.spot is None:
            return "there are entries below it" if self._has_children(task.uuid) else None
        if not isinstance(task.spot.parent, Outside):
            if self.spot(task.spot.parent) is None:
                return "the entry above it is not there"
            if self._is_below(task.spot.parent, task.uuid):
                return "it would be below itself"
        if self.occupant(task.spot) not in (None, task.uuid):
            return "another entry has that DN"
        return None

    def _has_children(self, uuid: bytes) -> bool:
        if self._arrived[uuid] > 0:
            return True
        record = self._view.get(uuid)
        return record is not None and any(
            dn.parent(each.key) == record.key and each.uuid not in self._spots
            for each in self._view.below(record.key)
        )

    def _is_below(self, uuid: bytes, above: bytes) -> bool:
        parent: Union[bytes, Outside] = uuid
        while not isinstance(parent, Outside):
            if parent == above:
                return True
            spot = self.spot(parent)
            if spot is None:
                return False
            parent = spot.parent
        return False

    def _spot_of(self, record: Record) -> Spot:
        rdn, *above = dn.split(record.dn)
        return Spot(self.parent_at(dn.parent(record.key), ",".join(above)), rdn)

    @staticmethod
    def _live(record: Optional[Record]) -> Optional[Record]:
        return None if record is None or not dn.is_live(record.key) else record


class Plan:
    """Puts tasks into an order that a server accepts.

    Attributes:
        changes: the changes, in that order, with the DNs that entries have when their turn comes.
        left: the tasks that a server would refuse in any order, each with the reason.
    """

    def __init__(self, tree: Tree, tasks: Iterable[Task]) -> None:
        """Plan *tasks*; as far as the order is free, it is theirs."""
        self.changes: list[Change] = []
        self.left: list[tuple[Task, str]] = []
        self._tree = tree
        self._attrs: dict[bytes, Attributes] = {}
        moves: deque[Task] = deque()
        modifies: list[Task] = []
        for task in tasks:
            stays = task.spot is not None and self._stays(task)
            (modifies if stays else moves).append(task)
        self._arrange(moves)
        for task in modifies:
            self._do(task)

    def _stays(self, task: Task) -> bool:
        spot = self._tree.spot(task.uuid)
        return spot is not None and task.spot is not None and spot.key == task.spot.key

    def _arrange(self, moves: "deque[Task]") -> None:
        refused = 0
        while moves:
            task = moves.popleft()
            if self._tree.obstacle(task) is None:
                self._do(task)
                refused = 0
                continue
            moves.append(task)
            refused += 1
            if refused == len(moves):  # none of them can be done
                if not self._make_way(moves):
                    break
                refused = 0
        self.left = [(task, self._tree.obstacle(task) or "") for task in moves]

    def _make_way(self, moves: Iterable[Task]) -> bool:
        """Rename an entry that is in the way of another one, and won't stay there itself."""
        tasks = {task.uuid: task for task in moves}
        for task in tasks.values():
            other = None if task.spot is None else self._tree.occupant(task.spot)
            moving = None if other is None or other == task.uuid else tasks.get(other)
            if moving is None or moving.old is None or moving.uuid in self._attrs:
                continue
            spot = self._tree.spot(moving.uuid)
            if spot is None:
                continue
            name, value = spot.rdn.partition("=")[0], f"undo-{UUID(bytes=moving.uuid)}"
            written = next((each for each in moving.old if each.lower() == name.lower()), name)
            attrs = {**moving.old, written: [*moving.old.get(written, []), value.encode()]}
            self._do(Task(moving.uuid, Spot(spot.parent, f"{name}={value}"), moving.old, attrs))
            self._attrs[moving.uuid] = attrs
            return True
        return False

    def _do(self, task: Task) -> None:
        uuid, old = task.uuid, self._attrs.get(task.uuid, task.old)
        stays = self._stays(task)
        before = None if old is None else self._tree.name(uuid)
        self._tree.put(uuid, task.spot)
        after = None if task.spot is None else self._tree.name(uuid)
        if before is None:
            kind = ChangeKind.ADD
        elif after is None:
            kind = ChangeKind.DELETE
        else:
            kind = ChangeKind.MODIFY if stays else ChangeKind.RENAME
        change = Change(kind, UUID(bytes=uuid), Phase.PERSIST, before, after, old, task.new)
        self.changes.append(change)
