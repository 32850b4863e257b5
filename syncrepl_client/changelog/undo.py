# SPDX-License-Identifier: BSD-3-Clause
"""Undoing changes of the log: the changes that put entries back to how they were.

For each entry, its state before the first and after the last of the changes to undo is compared
with what it is now.  What was changed again since is not touched: the place of the entry, each
attribute, and each value of an attribute with several.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Optional

from ..changes import Change, ChangeKind
from ..entries import attributes, dn
from ..entries.attributes import Attributes
from ..entries.differences import OPERATIONAL, beyond, without
from ..exceptions import StoreInvalid
from .plan import Outside, Plan, Spot, Task, Tree
from .rows import Row, decode, is_left_out
from .states import State, States, Walk

IGNORED = OPERATIONAL | {"memberof", "ismemberof", "numallsubordinates"}
"""Names, in lower case, of attributes that are not undone: servers maintain or compute them."""

_AGAIN = "changed again since"


class Kept(NamedTuple):
    """Something that was not undone.

    Attributes:
        dn: the DN of the entry.
        reason: why.
    """

    dn: str
    reason: str


@dataclass
class Undo:
    """What undoes changes.

    Attributes:
        changes: the changes to make, in an order that a server accepts.
        kept: what is not undone.
        hidden: by DN, the attributes that can't be put back, because the log has no values of them.
    """

    changes: list[Change] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    hidden: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class _Net:
    """The changes to undo of one entry; *moved* is the first rename of them."""

    first: int
    last: int
    before: Optional[State]
    after: Optional[State] = None
    moved: Optional[Row] = None
    kinds: set[str] = field(default_factory=set)
    touched: set[str] = field(default_factory=set)
    hidden: dict[str, None] = field(default_factory=dict)


class Selection(NamedTuple):
    """Which changes to undo.

    Attributes:
        below: keys of DNs: only changes of entries that have or had these, or one below; all if
            there are none.
        kinds: only changes of these kinds; all if there are none.
    """

    below: Collection[bytes] = ()
    kinds: Collection[ChangeKind] = ()

    def selects(self, row: Row) -> bool:
        """Return True if the change of *row* is to be undone."""
        if row.kind == ChangeKind.REFERENCE.value:
            return False
        if self.kinds and ChangeKind(row.kind) not in self.kinds:
            return False
        keys = [dn.key(name) for name in (row.old_dn, row.new_dn) if name is not None]
        return not self.below or any(key.startswith(tuple(self.below)) for key in keys)


class Undoing:
    """Computes what undoes changes."""

    def __init__(self, states: States, *, force: bool) -> None:
        """Initialize from the states; *force* undoes also what was changed again since."""
        self._states = states
        self._force = force
        self._tree = Tree(states.entries)
        self._undo = Undo()
        self._nets: dict[bytes, _Net] = {}
        self._after = 0

    def undo(self, rows: Iterable[Row], selection: Selection) -> Undo:
        """Return what undoes the selected ones of *rows*, which are consecutive.

        Raises:
            StoreInvalid: the log or an entry is damaged.
        """
        walk = Walk(self._states, newest=False)
        for number, row in enumerate(rows):
            if number == 0:
                self._after = row.seq - 1
            if row.uuid:
                before, after = walk.around(row)
                if selection.selects(row):
                    self._add(row, _stripped(before), _stripped(after))
        # Deletions are undone in reverse, as far as the order is free.
        tasks = [self._task(uuid, net) for uuid, net in reversed(self._nets.items())]
        plan = Plan(self._tree, [task for task in tasks if task is not None])
        self._undo.changes = plan.changes
        for task, reason in plan.left:
            net = self._nets[task.uuid]
            self._keep(net, reason)
        return self._undo

    def _add(self, row: Row, before: Optional[State], after: Optional[State]) -> None:
        net = self._nets.pop(row.uuid, None) or _Net(row.seq, row.seq, before)
        self._nets[row.uuid] = net  # in the order of the last changes
        net.last, net.after = row.seq, after
        net.kinds.add(row.kind)
        if row.kind == ChangeKind.RENAME.value:
            net.moved = net.moved or row
        for change in decode(row.differences):
            if without({change.name: []}, IGNORED):
                net.touched.add(change.name.lower())
                if is_left_out(change):
                    net.hidden[change.name] = None

    # --- one entry

    def _task(self, uuid: bytes, net: _Net) -> Optional[Task]:
        """Return what is to be done with an entry; None for nothing."""
        now = _stripped(self._states.now(uuid))
        if net.before is None and net.after is None:
            return None
        if net.after is None:
            return self._restore(uuid, net, now)
        if now is None:
            if net.before is not None:
                self._keep(net, "deleted since")
            return None
        if net.before is None:
            return self._remove(uuid, net, now)
        return self._put_back(uuid, net, net.before, net.after, now)

    def _restore(self, uuid: bytes, net: _Net, now: Optional[State]) -> Optional[Task]:
        """Return how a deleted entry is added again."""
        if net.before is None or now is not None:
            self._keep(net, "there again")
            return None
        self._hide(net.before.dn, net)
        return Task(uuid, self._spot_before(net, net.before), None, net.before.attrs)

    def _remove(self, uuid: bytes, net: _Net, now: State) -> Optional[Task]:
        """Return how an added entry is deleted."""
        if not self._force and not self._is_same(now, net.after):
            self._keep(net, _AGAIN)
            return None
        return Task(uuid, None, now.attrs, None)

    @staticmethod
    def _is_same(now: State, after: Optional[State]) -> bool:
        return (
            after is not None
            and dn.key(now.dn) == dn.key(after.dn)
            and attributes.same(now.attrs, after.attrs)
        )

    def _put_back(
        self, uuid: bytes, net: _Net, before: State, after: State, now: State
    ) -> Optional[Task]:
        """Return how an entry gets its place and attributes back."""
        spot = self._tree.spot(uuid)
        if spot is None:
            raise StoreInvalid(f"the log of changes does not fit the entries: {now.dn}")
        target = spot
        if net.kinds != {ChangeKind.MODIFY.value}:
            target = self._spot_back(net, before, after, now, spot)
        names = set(net.touched)
        if target.key == spot.key:  # a server changes naming attributes with the RDN only
            names -= {ava.partition("=")[0].strip().lower() for ava in spot.rdn.split("+")}
        self._hide(now.dn, net)
        attrs = self._merged(names, net, before.attrs, after.attrs, now)
        if target.key == spot.key and attributes.same(attrs, now.attrs):
            return None
        return Task(uuid, target, now.attrs, attrs)

    def _merged(
        self, names: Collection[str], net: _Net, before: Attributes, after: Attributes, now: State
    ) -> Attributes:
        """Return the attributes that an entry shall have."""
        was, became, has = map(attributes.canonical, (before, after, now.attrs))
        hidden = {name.lower() for name in net.hidden}
        spelling = {name.lower(): name for name in (*before, *now.attrs)}
        merged = dict(now.attrs)
        again: list[str] = []
        for name in sorted(set(names) - hidden):
            values = merge(was.get(name, []), became.get(name, []), has.get(name, []))
            if values is None:
                again.append(spelling.get(name, name))
                values = was.get(name, []) if self._force else None
            if values is not None and values != has.get(name, []):
                for written in [each for each in merged if each.lower() == name]:
                    del merged[written]
                if values:
                    merged[spelling[name]] = values
        if again and not self._force:
            self._undo.kept.append(Kept(now.dn, f"{', '.join(again)}: {_AGAIN}"))
        return merged

    # --- places

    def _spot_before(self, net: _Net, before: State) -> Spot:
        """Return the place that an entry had before the changes to undo.

        Of entries that are renamed or deleted together, the log may have the parent first: then
        none has the parent's DN any more.
        """
        spot = self._spot_at(before.dn, net.first - 1)
        if not isinstance(spot.parent, Outside):
            return spot
        parent = self._followed(net, spot.parent.key)
        if parent is None:
            parent = self._states.left(spot.parent.key, self._after, net.first)
        return spot if parent is None else spot._replace(parent=parent)

    def _followed(self, net: _Net, key: bytes) -> Optional[bytes]:
        """Return the entry that had that *key*, and whose rename an entry followed."""
        if net.moved is None or net.moved.new_dn is None:
            return None
        now_at = dn.parent(dn.key(net.moved.new_dn))
        for uuid in self._states.named(key):
            state = self._states.at(uuid, net.moved.seq)
            if state is not None and dn.key(state.dn) == now_at:
                return uuid
        return None

    def _spot_at(self, name: str, seq: int) -> Spot:
        """Return the place of the entry that had the DN *name* after row *seq*."""
        rdn, *above = dn.split(name)
        parent = ",".join(above)
        key = dn.key(parent)
        holder = self._states.holder(key, seq)
        return Spot(Outside(key, parent) if holder is None else holder, rdn)

    def _spot_back(self, net: _Net, before: State, after: State, now: State, spot: Spot) -> Spot:
        """Return the place that an entry gets back; its own one if it was renamed again since."""
        target = self._spot_before(net, before)
        renamed_again = (
            dn.key(now.dn) != dn.key(after.dn) and self._spot_at(after.dn, net.last).key != spot.key
        )
        if renamed_again and target.key != spot.key and not self._force:
            self._keep(net, f"renamed again since, to {now.dn}")
            return spot
        return target

    def _keep(self, net: _Net, reason: str) -> None:
        state = net.after or net.before
        self._undo.kept.append(Kept("" if state is None else state.dn, reason))

    def _hide(self, name: str, net: _Net) -> None:
        if net.hidden:
            self._undo.hidden[name] = list(net.hidden)


def _stripped(state: Optional[State]) -> Optional[State]:
    return None if state is None else State(state.dn, without(state.attrs, IGNORED))


def merge(was: list[bytes], became: list[bytes], has: list[bytes]) -> Optional[list[bytes]]:
    """Return the values of an attribute without a change; None if it was changed again since.

    Values that others added or removed since stay as they are.

    Args:
        was: the values before the change.
        became: the values after it.
        has: the values now.
    """
    if has == became:
        return was
    removed, added = beyond(was, became), beyond(became, was)
    missing = beyond(removed, has)
    replaced = bool(removed and beyond(added, has))
    single = len(was) <= 1 and len(has) <= 1
    if missing and (replaced or single):
        return None
    return sorted([*(Counter(has) - Counter(added)).elements(), *missing])
