# SPDX-License-Identifier: BSD-3-Clause
"""Where entries are: adds, renames of whole subtrees, and DNs that collide temporarily.

A refresh sends changes in any order, so while it lasts the store is partly old, partly new.  Three
rules keep the store, and a mirror by DN that applies the changes one by one, consistent:

* An entry whose DN another entry now has is *displaced*, with all entries below it: reported as
  deleted, but kept in the store until its new DN is known.
* Entries below a renamed entry move with it, unless the server has already sent them in this
  refresh.
* Entries below a displaced entry move with it when its new DN is known.

Two entries with one key need not have one DN: the server may distinguish their names.  Then both
are kept, nothing is reported about the one that was there, and the name becomes one of the
*namesakes* of the store (see :mod:`..entries.dn`).  This is so if the two DNs are spelled
differently, at the level of the entries or above, and

* the server may distinguish the spellings: not all attributes at that level are known to ignore
  case on every server; or
* the server has sent both entries in this refresh; or
* the search is in the persist stage, where an entry leaves a DN before another one gets it.

In the last case, if every server ignores what differs, a message may have been lost instead, and
the search starts over to find out.  In all other cases, and if the spelling is the same, the entry
that was there is gone or renamed, and is displaced.

389-ds distinguishes no two names that have one key.  It spells the names above an entry as the
client did that added the entry, so there different spellings mean nothing, and only keys count.
"""

from collections.abc import Generator, Iterator, Sequence
from datetime import datetime
from itertools import chain
from typing import Callable, NamedTuple, Optional
from uuid import UUID, SafeUUID

from ..changes import Change, ChangeKind, Phase
from ..entries import attributes, dn
from ..entries.attributes import Attributes
from .view import Record, SeenUUIDs, View

_ADD, _MODIFY = ChangeKind.ADD, ChangeKind.MODIFY  # which Python 3.11 looks up slowly

Clock = Callable[[], Optional[datetime]]
"""Returns the time for the next change."""


def no_time() -> None:
    """Return no time; for changes that nobody is told of."""


class Step(NamedTuple):
    """A change to report (None: nothing), and the record to store for *uuid* (None: remove it)."""

    uuid: bytes
    change: Optional[Change]
    record: Optional[Record]


class Placement:
    """Turns "this entry exists, with this DN and these attributes" into steps.

    Attributes:
        refreshing: whether the search is in the refresh stage.
        displacements: how many entries were displaced so far.
        incomplete: why this refresh can't result in the server's answer; None if it can.
        doubtful: why the store may not equal the server's answer in the persist stage, or None.
        respells: whether spellings mean nothing: see :class:`~.dialect.Dialect`.
    """

    def __init__(
        self, view: View, seen: SeenUUIDs, *, clock: Clock = no_time, respells: bool = False
    ) -> None:
        """Initialize from a view of the store and the *seen* UUIDs, which are kept up to date."""
        self._phase, self.refreshing = Phase.REFRESH, True
        self.displacements = 0
        self.incomplete: Optional[str] = None
        self.doubtful: Optional[str] = None
        self.respells = respells
        self._clock = clock
        self._view = view
        self._seen = seen

    @property
    def phase(self) -> Phase:
        """The current phase, which changes are reported with; :class:`.Synchronization` sets it."""
        return self._phase

    @phase.setter
    def phase(self, phase: Phase) -> None:
        self._phase = phase
        self.refreshing = phase in (Phase.REFRESH, Phase.PRESENT, Phase.DELETE)

    def place(self, new: Record, attrs: Attributes, old: Optional[Record]) -> Iterator[Step]:
        """Yield the steps from *old* (None: no entry) to *new*, whose attributes are *attrs*."""
        if old is not None and dn.is_reference(old.key):
            yield self.leave(old)
            old = None
        changes = self.place_plainly(new, attrs, old)
        if changes is not None:
            for change in changes:
                yield Step(new.uuid, change, new)
            return
        if old is None:
            new = yield from self._clear(new)
            yield self._added(new, attrs)
        else:
            yield from self._move(old, new, attrs)
        if self.refreshing:
            self._seen.mark_placed(new.uuid)

    def place_plainly(
        self, new: Record, attrs: Attributes, old: Optional[Record]
    ) -> Optional[Sequence[Change]]:
        """Return the changes of :meth:`place`, if no entry moves or is displaced; else None.

        The fast path, for nearly all messages.
        """
        changes: Sequence[Change] = ()
        if old is None:
            if self._view.at(new.key) is not None:
                return None
            changes = (self.change(_ADD, new.uuid, None, new.dn, None, attrs),)
        elif old != new:
            if old.key != new.key or old.dn != new.dn:
                return None
            before = attributes.decode(old.attrs)
            if not attributes.same(before, attrs):
                changes = (self.change(_MODIFY, new.uuid, old.dn, new.dn, before, attrs),)
        if self.refreshing:
            self._seen.mark_placed(new.uuid)
        return changes

    def _added(self, new: Record, attrs: Attributes) -> Step:
        return Step(new.uuid, self.change(_ADD, new.uuid, None, new.dn, None, attrs), new)

    def _move(self, old: Record, new: Record, attrs: Attributes) -> Iterator[Step]:
        """Yield the steps that give an entry, and all entries below it, another DN.

        The server sends one message for a whole subtree: the renamed entry.
        """
        if old.key != new.key:
            if new.key.startswith(old.key):  # its new place is below its old one
                yield from self._displace(old)
            new = yield from self._clear(new)
            old = self._view.get(old.uuid) or old  # what was cleared away may have held it
        yield self._moved(old, new, attributes.decode(old.attrs), attrs)
        if dn.is_live(old.key):
            yield from self.carry(old, new)
            # In the persist stage changes come in order: what was displaced below this entry
            # had left it before.
            if not self.refreshing:
                return
        yield from self._gather(new)

    def carry(self, old: Record, root: Record) -> Iterator[Step]:
        """Yield the steps that move the live entries below *old*, which is now *root*."""
        below, target = dn.plain(old.key), dn.plain(root.key)
        for name in sorted(self._view.namesakes):
            if name != below and name.startswith(below):
                yield from self._tell_apart(target + name[len(below) :])
        namesakes = None
        while namesakes != len(self._view.namesakes):  # a new one changes the keys of the rest
            namesakes = len(self._view.namesakes)
            yield from self._carry(self._view.key(old.dn), root)

    def _carry(self, origin: bytes, root: Record) -> Iterator[Step]:
        displacements, namesakes = self.displacements, len(self._view.namesakes)
        for record in self.movable(origin):
            if namesakes != len(self._view.namesakes):
                return
            if displacements != self.displacements:
                current = self._view.get(record.uuid)
                if current is None or current.key != record.key:
                    continue
            target = self._target(record, record.key[len(origin) :], root)
            target, occupant = yield from self._find_room(target, sent=False)
            if occupant is not None:
                if self.refreshing and self._seen.is_placed(occupant.uuid):
                    # The server said who is there; where this one is, or the entry above it, it
                    # will say.
                    yield from self._displace(record, self._waiting_key(target))
                    continue
                if origin.startswith(occupant.key):  # the entries left to move are below it
                    for left in self.movable(origin, reverse=True):
                        relative = left.key[len(origin) :]
                        yield self._displaced(left, dn.displaced(root.uuid, relative, left.uuid))
                yield from self._displace(occupant)
                record = self._view.get(record.uuid) or record
            step = self._follow(record, target)
            if step.record != record:  # it was spelled like that already
                yield step

    def _gather(self, root: Record) -> Iterator[Step]:
        """Yield the steps that move the displaced entries which *root* owns to below it."""
        roots = [root]
        while roots:
            root = roots.pop()
            for record in self._view.below(dn.displaced_below(root.uuid)):
                target = self._target(record, dn.relative_to_owner(record.key), root)
                target, occupant = yield from self._find_room(target, sent=False)
                if occupant is None:
                    step = self._follow(record, target)
                    yield step
                    waiting = self._view.below(dn.displaced_below(record.uuid))
                    if step.record is not None and any(waiting):
                        roots.append(step.record)

    def _target(self, record: Record, relative: bytes, root: Record) -> Record:
        """Return *record* with the key and DN that it has below *root*, and its old attributes."""
        name = dn.rebase(record.dn, relative, root.dn)
        return record._replace(key=self._view.key(name), dn=name)

    def _follow(self, record: Record, target: Record) -> Step:
        old_attrs = attributes.decode(record.attrs)
        attrs = attributes.with_entry_dn(old_attrs, target.dn)
        blob = record.attrs if attrs is old_attrs else attributes.encode(attrs)
        return self._moved(record, target._replace(attrs=blob), old_attrs, attrs)

    def _moved(self, old: Record, new: Record, old_attrs: Attributes, attrs: Attributes) -> Step:
        if dn.is_displaced(old.key):  # the callbacks were told that it is gone
            change = self.change(ChangeKind.ADD, old.uuid, new_dn=new.dn, new_attrs=attrs)
        else:
            # Only entryDN changes where the DN was spelled like that already.
            kind = ChangeKind.MODIFY if old.dn == new.dn else ChangeKind.RENAME
            change = self.change(kind, old.uuid, old.dn, new.dn, old_attrs, attrs)
        return Step(old.uuid, change, new)

    # --- entries in the way

    def _clear(self, new: Record) -> Generator[Step, None, Record]:
        """Yield the steps that free the DN of *new*; return *new* with its key in the store."""
        new, occupant = yield from self._find_room(new, sent=True)
        if occupant is not None:
            yield from self._displace(occupant)
        return new

    def _find_room(
        self, new: Record, *, sent: bool
    ) -> Generator[Step, None, tuple[Record, Optional[Record]]]:
        """Return *new* with its key in the store, and the entry that is in its way, if any.

        Args:
            new: the entry, as it will be stored, except for the key.
            sent: whether the server has sent it, and not only an entry above it.
        """
        occupant = self._view.at(new.key)
        if occupant is None or occupant.uuid == new.uuid:
            return new, None
        name = self._namesake(occupant, new.dn, sent)
        if name is None:
            return new, occupant
        yield from self._tell_apart(name)
        return new._replace(key=self._view.key(new.dn)), None

    def _namesake(self, occupant: Record, name: str, sent: bool) -> Optional[bytes]:
        """Return the key of the name that both entries have; None if *occupant* is not there."""
        if self.respells:
            return None
        spelled = list(dn.differences(occupant.dn, name))
        for key, caseless in spelled:
            if not caseless:
                return key
        if not spelled or (self.refreshing and not (sent and self._seen.is_placed(occupant.uuid))):
            return None
        if not self.refreshing:
            self.doubtful = f"{name!r} was added beside {occupant.dn!r}"
        return spelled[0][0]

    def _tell_apart(self, name: bytes) -> Iterator[Step]:
        """Yield the steps that make the key *name* a namesake: new keys, and nothing to report."""
        namesakes = self._view.namesakes
        if name in namesakes:
            return
        self._view.tell_apart(name)
        above = min((each for each in namesakes if name.startswith(each)), key=len, default=None)
        if above is None:
            root = self._view.at(name)
            records = chain(() if root is None else (root,), self._view.below(name))
        else:  # the name exists below each of these
            records = chain(self._view.below(dn.parent(above)))
        for record in records:
            key = self._view.key(record.dn)
            if key != record.key:
                yield Step(record.uuid, None, record._replace(key=key))

    def _displace(self, root: Record, waiting: Optional[bytes] = None) -> Iterator[Step]:
        """Yield the steps that displace *root* and all entries below it.

        The owner of each is the nearest entry above it; *root* gets the key *waiting*, if given.
        """
        if self.refreshing and self._seen.is_placed(root.uuid):
            self.incomplete = f"the directory changed around {root.dn!r} during the refresh"
        for record in chain(self.movable(root.key, reverse=True), (root,)):
            key = waiting if record is root else None
            yield self._displaced(record, key or self._waiting_key(record))

    def _displaced(self, record: Record, key: bytes) -> Step:
        self.displacements += 1
        old_attrs = attributes.decode(record.attrs)
        change = self.change(ChangeKind.DELETE, record.uuid, record.dn, None, old_attrs)
        return Step(record.uuid, change, record._replace(key=key))

    def _waiting_key(self, record: Record) -> bytes:
        above = dn.parent(record.key)
        owner = self._view.at(above)
        while owner is None and above:
            above = dn.parent(above)
            owner = self._view.at(above)
        uuid = dn.NOBODY if owner is None else owner.uuid
        return dn.displaced(uuid, record.key[len(above) :], record.uuid)

    def movable(self, root: bytes, *, reverse: bool = False) -> Iterator[Record]:
        """Yield the live entries below *root* that move with it.

        In a refresh, entries that the server has already sent, and the entries below those, do not.
        """
        for record in self._view.below(root, reverse=reverse):
            if not (self.refreshing and self._is_current(record, root)):
                yield record

    def _is_current(self, record: Record, root: bytes) -> bool:
        if self._seen.is_placed(record.uuid):
            return True
        key = dn.parent(record.key)
        while len(key) > len(root):
            ancestor = self._view.at(key)
            if ancestor is not None and self._seen.is_placed(ancestor.uuid):
                return True
            key = dn.parent(key)
        return False

    def leave(self, record: Record) -> Step:
        """Return the step that removes an entry or reference."""
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
        """Return a change in the current phase."""
        made, phase, time = uuid_of(uuid), self._phase, self._clock()
        return _new_tuple(Change, (kind, made, phase, old_dn, new_dn, old_attrs, new_attrs, time))


def uuid_of(octets: bytes) -> UUID:
    """Return ``UUID(bytes=octets)``, for which it takes a third of the time."""
    uuid = _new(UUID)
    _set_int(uuid, int.from_bytes(octets, "big"))
    _set_safe(uuid, _UNKNOWN)
    return uuid


# UUIDs can't be modified, and object.__setattr__ takes four times as long as this.
_new, _new_tuple = object.__new__, tuple.__new__
_set_int, _set_safe = (vars(UUID)[name].__set__ for name in ("int", "is_safe"))
_UNKNOWN = SafeUUID.unknown
