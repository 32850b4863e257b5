# SPDX-License-Identifier: BSD-3-Clause
"""Where entries are: adds, renames with all below them, and DNs that collide in passing.

A refresh tells of changes in any order, so while it lasts the store is part old, part new.
Three rules keep it, and whoever mirrors it by DN, in order:

* What holds a DN that another entry now has is *displaced*, with all below it: reported
  deleted, but kept, until its new place is known.
* What lies below a renamed entry follows it, unless the server has already said in this
  refresh where it is.
* What lies below a displaced entry waits for it, and follows it to its new place.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple, Optional
from uuid import UUID

from . import attributes, dn
from .changes import Change, ChangeKind, Phase
from .messages import Attributes
from .view import Named, Record, View


class Step(NamedTuple):
    """What to report (None: nothing), and what then to store for *uuid* (None: nothing)."""

    uuid: bytes
    change: Optional[Change]
    record: Optional[Record]


class Placement:
    """Turns "the entry is there, like this" into steps.

    Attributes:
        refreshing: whether the refresh stage goes on.
        displacements: how many entries were displaced so far.
        incomplete: why this refresh can't lead to the server's answer; None if it can.
    """

    def __init__(self, view: View, named: Named) -> None:
        """Begin with what *view* shows; *named* is kept up to date in the refresh stage."""
        self._phase, self.refreshing = Phase.REFRESH, True
        self.displacements = 0
        self.incomplete: Optional[str] = None
        self._view = view
        self._named = named

    @property
    def phase(self) -> Phase:
        """The phase, for the changes; whoever owns this keeps it up to date."""
        return self._phase

    @phase.setter
    def phase(self, phase: Phase) -> None:
        self._phase = phase
        self.refreshing = phase in (Phase.REFRESH, Phase.PRESENT, Phase.DELETE)

    def place(self, new: Record, attrs: Attributes, old: Optional[Record]) -> Iterator[Step]:
        """Yield how an entry, so far *old*, comes to be *new*, whose attributes are *attrs*."""
        if old is not None and dn.is_reference(old.key):
            yield self.leave(old)
            old = None
        steps = self.place_plainly(new, attrs, old)
        if steps is not None:
            yield from steps
            return
        if old is None:
            yield from self._clear(new.key)
            yield self._added(new, attrs)
        else:
            yield from self._move(old, new, attrs)
        if self.refreshing:
            self._named.placed(new.uuid)

    def place_plainly(
        self, new: Record, attrs: Attributes, old: Optional[Record]
    ) -> Optional[Sequence[Step]]:
        """Return what :meth:`place` would yield if nothing moves, nor is in the way; else None."""
        steps: Sequence[Step] = ()
        if old is None:
            if self._view.at(new.key) is not None:
                return None
            steps = (self._added(new, attrs),)
        elif old.key != new.key or old.dn != new.dn:
            return None
        elif old.attrs != new.attrs:
            before = attributes.decode(old.attrs)
            if not attributes.same(before, attrs):
                change = self.change(ChangeKind.MODIFY, new.uuid, old.dn, new.dn, before, attrs)
                steps = (Step(new.uuid, change, new),)
        if self.refreshing:
            self._named.placed(new.uuid)
        return steps

    def _added(self, new: Record, attrs: Attributes) -> Step:
        change = self.change(ChangeKind.ADD, new.uuid, new_dn=new.dn, new_attrs=attrs)
        return Step(new.uuid, change, new)

    def _move(self, old: Record, new: Record, attrs: Attributes) -> Iterator[Step]:
        """Yield how an entry gets another DN, and all below it with it.

        The server sends one message for a whole subtree: the renamed entry.
        """
        if old.key != new.key:
            if new.key.startswith(old.key):  # its new place is below its old one
                yield from self._displace(old)
            yield from self._clear(new.key)
            old = self._view.get(old.uuid) or old  # what was cleared away may have held it
        yield self._moved(old, new, attributes.decode(old.attrs), attrs)
        if dn.is_live(old.key):
            yield from self.carry(old.key, new)
            # In the persist stage changes come in order: what was displaced below this entry
            # had left it before.
            if not self.refreshing:
                return
        yield from self._gather(new)

    def carry(self, origin: bytes, root: Record) -> Iterator[Step]:
        """Yield how the live entries below *origin* follow what was there to *root*."""
        displacements = self.displacements
        for record in self.movable(origin):
            if displacements != self.displacements:
                current = self._view.get(record.uuid)
                if current is None or current.key != record.key:
                    continue
            relative = record.key[len(origin) :]
            occupant = self._view.at(root.key + relative)
            if occupant is not None and occupant.uuid != record.uuid:
                if self.refreshing and self._named.is_placed(occupant.uuid):
                    # The server said who is there; where this one is, it will say.
                    yield from self._displace(record, dn.NOBODY)
                    continue
                yield from self._displace(occupant)
                record = self._view.get(record.uuid) or record
            step = self._follow(record, relative, root)
            if step.record != record:  # it was spelled like that already
                yield step

    def _gather(self, root: Record) -> Iterator[Step]:
        """Yield how the displaced entries that wait for *root* follow it."""
        roots = [root]
        while roots:
            root = roots.pop()
            for record in self._view.below(dn.displaced_below(root.uuid)):
                relative = dn.relative_to_owner(record.key)
                if self._view.at(root.key + relative) is None:
                    step = self._follow(record, relative, root)
                    yield step
                    waiting = self._view.below(dn.displaced_below(record.uuid))
                    if step.record is not None and any(waiting):
                        roots.append(step.record)

    def _follow(self, record: Record, relative: bytes, root: Record) -> Step:
        old_attrs = attributes.decode(record.attrs)
        new_dn = dn.rebase(record.dn, relative, root.dn)
        attrs = attributes.with_entry_dn(old_attrs, new_dn)
        blob = record.attrs if attrs is old_attrs else attributes.encode(attrs)
        new = Record(record.uuid, root.key + relative, new_dn, blob)
        return self._moved(record, new, old_attrs, attrs)

    def _moved(self, old: Record, new: Record, old_attrs: Attributes, attrs: Attributes) -> Step:
        if dn.is_displaced(old.key):  # the callbacks were told that it is gone
            change = self.change(ChangeKind.ADD, old.uuid, new_dn=new.dn, new_attrs=attrs)
        else:
            # Only entryDN changes where the DN was spelled like that already.
            kind = ChangeKind.MODIFY if old.dn == new.dn else ChangeKind.RENAME
            change = self.change(kind, old.uuid, old.dn, new.dn, old_attrs, attrs)
        return Step(old.uuid, change, new)

    # --- entries in the way

    def _clear(self, key: bytes) -> Iterator[Step]:
        occupant = self._view.at(key)
        if occupant is not None:
            yield from self._displace(occupant)

    def _displace(self, root: Record, owner: Optional[bytes] = None) -> Iterator[Step]:
        """Yield how *root* and all below it lose their DNs, until their new ones are known.

        Each waits for the nearest entry above it, which may be told to have moved; *root* for
        *owner*, where that is given.
        """
        if self.refreshing and self._named.is_placed(root.uuid):
            self.incomplete = f"the directory changed around {root.dn!r} during the refresh"
        for record in chain(self.movable(root.key, reverse=True), (root,)):
            self.displacements += 1
            change = self.change(
                ChangeKind.DELETE, record.uuid, record.dn, None, attributes.decode(record.attrs)
            )
            if record is root and owner is not None:
                key = dn.displaced(owner, record.key, record.uuid)
            else:
                key = self._waiting_key(record)
            yield Step(record.uuid, change, record._replace(key=key))

    def _waiting_key(self, record: Record) -> bytes:
        above = dn.parent(record.key)
        owner = self._view.at(above)
        while owner is None and above:
            above = dn.parent(above)
            owner = self._view.at(above)
        uuid = dn.NOBODY if owner is None else owner.uuid
        return dn.displaced(uuid, record.key[len(above) :], record.uuid)

    def movable(self, root: bytes, *, reverse: bool = False) -> Iterator[Record]:
        """Yield the live entries below *root* that go where it goes.

        These are not, in a refresh, what the server has already put there by its own message,
        and what lies below such an entry.
        """
        for record in self._view.below(root, reverse=reverse):
            if not (self.refreshing and self._is_current(record, root)):
                yield record

    def _is_current(self, record: Record, root: bytes) -> bool:
        if self._named.is_placed(record.uuid):
            return True
        key = dn.parent(record.key)
        while len(key) > len(root):
            ancestor = self._view.at(key)
            if ancestor is not None and self._named.is_placed(ancestor.uuid):
                return True
            key = dn.parent(key)
        return False

    def leave(self, record: Record) -> Step:
        """Return how the entry or reference *record* goes."""
        if dn.is_displaced(record.key):  # reported when it was displaced
            return Step(record.uuid, None, None)
        old_attrs = attributes.decode(record.attrs)
        if dn.is_live(record.key):
            change = self.change(ChangeKind.DELETE, record.uuid, record.dn, None, old_attrs)
        else:
            change = self.change(ChangeKind.REFERENCE, record.uuid, old_attrs=old_attrs)
        return Step(record.uuid, change, None)

    def change(
        self,
        kind: ChangeKind,
        uuid: bytes,
        old_dn: Optional[str] = None,
        new_dn: Optional[str] = None,
        old_attrs: Optional[Attributes] = None,
        new_attrs: Optional[Attributes] = None,
    ) -> Change:
        """Return a change that is told of now."""
        return Change(kind, UUID(bytes=uuid), self._phase, old_dn, new_dn, old_attrs, new_attrs)
