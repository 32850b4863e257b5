# SPDX-License-Identifier: BSD-3-Clause
"""Orders changes so that another LDAP server can apply them one after the other.

A mirror by DN takes changes in any order.  A server is a tree: it refuses an entry without its
parent, deletes no entry that has children, and a rename moves all entries below.  So a child has to
wait for its parent, which a refresh may send later.

An entry that waits is *held back*: the store has it, the other server does not.  All other entries
are where the store has them.  So only keys need be recorded; the rest is read from the store.

A rename to below a parent that has not come is postponed until the commit at most.  If that comes
first, or something else needs the old place, the entry is deleted with all entries below it, and
held back.
"""

from collections.abc import Iterator
from typing import NamedTuple, Optional, Protocol
from uuid import UUID

from ..changes import Change, ChangeKind, Phase
from ..entries import attributes, dn
from ..protocol.view import Record, View
from .postponed import Postponed, Rename

POSTPONED = 1000
"""The maximum number of changes that are postponed."""


class HeldBack(Protocol):
    """The keys of entries that are held back: committed, and rolled back, with the store."""

    def add(self, key: bytes, uuid: bytes) -> None:
        """Add the key of the entry *uuid*."""

    def remove(self, key: bytes) -> None:
        """Remove the key of an entry."""

    def __contains__(self, key: bytes) -> bool:
        """Return True if the entry with that key is held back."""

    def following(self, key: bytes, below: bytes) -> Optional[bytes]:
        """Return the next greater key that starts with *below*; None if there is none."""

    def renew(self, view: View) -> None:
        """Replace the keys of entries that have other keys in *view* now."""


class _Carried(NamedTuple):
    """A rename that moved a subtree on the other server: old DN and new DN."""

    origin: str
    target: str
    phase: Phase


class SubtreeRenames:
    """Passes changes on, except those of entries that moved with a renamed entry above them.

    The library reports these one by one, immediately after the rename, before any add.
    """

    def __init__(self) -> None:
        """Initialize; no change was received yet."""
        self._carried: Optional[_Carried] = None

    def receive(self, change: Change) -> Iterator[Change]:
        """Yield the changes to apply for *change*, with the DNs on the other server."""
        if change.kind is ChangeKind.ADD:
            self._carried = None  # there may be something again where the renamed entry was
            yield change
        elif change.kind is ChangeKind.RENAME:
            yield self._renamed(change)
        else:
            yield change

    def finish(self) -> Iterator[Change]:
        """Yield the changes that remain to be applied before a commit."""
        self._carried = None
        return iter(())

    def release(self) -> Iterator[Change]:
        """Yield the changes that remain to be applied when a refresh is done."""
        return iter(())

    def forget(self) -> None:
        """Discard what was received since the last commit: it was rolled back."""
        self._carried = None

    def _key(self, name: str) -> bytes:
        return dn.key(name)

    def _renamed(self, change: Change) -> Change:
        moved = change._replace(old_dn=self._current(change.old_dn or ""))
        if moved.old_dn != change.new_dn:
            self._carried = _Carried(change.old_dn or "", change.new_dn or "", change.phase)
        return moved

    def _current(self, name: str) -> str:
        """Return the DN on the other server of the entry with the DN *name* in the store."""
        if self._carried is not None:
            origin, key = self._key(self._carried.origin), self._key(name)
            if key != origin and key.startswith(origin):
                return dn.rebase(name, key[len(origin) :], self._carried.target)
        return name


class Arrangement(SubtreeRenames):
    """Holds back entries whose parents are missing.  For searches with the scope subtree."""

    def __init__(self, view: View, held: HeldBack, base: bytes) -> None:
        """Initialize from the store and the keys that are held back.

        Args:
            view: the store, without the change that is being received.
            held: the keys of the entries that the other server does not have.
            base: key of the search base, whose parent is not waited for.
        """
        super().__init__()
        self._arrived: Optional[str] = None
        self._postponed = Postponed()
        self._view = view
        self._held = held
        self._base = base
        self._namesakes = -1
        self._heed_namesakes()

    def receive(self, change: Change) -> Iterator[Change]:
        """Yield the changes that can be applied now, with the DNs on the other server."""
        kind, old_dn, new_dn = change.kind, change.old_dn, change.new_dn
        if kind is ChangeKind.REFERENCE:
            return
        self._heed_namesakes()
        old = self._key(old_dn) if old_dn else b""
        new = self._key(new_dn) if new_dn else b""
        if not (kind is ChangeKind.RENAME and self._current(old_dn or "") == new_dn):
            yield from self._settle()
            if old and new and self._goes_with_postponed(change, old, new):
                return
            for rename in self._in_the_way(kind, old, new):
                yield from self._give_up(rename)
        if kind is ChangeKind.ADD:
            yield from self._appear(change, new)
        elif kind is ChangeKind.DELETE:
            yield from self._disappear(change, old)
        elif old not in self._held:
            yield from self._change(change, old, new)
        elif kind is ChangeKind.RENAME:
            self._held.remove(old)
            yield from self._appear(change, new)

    def _key(self, name: str) -> bytes:
        return self._view.key(name)

    def _heed_namesakes(self) -> None:
        """Replace keys that are outdated: a new namesake changes keys in the store."""
        if self._namesakes == len(self._view.namesakes):
            return
        self._namesakes = len(self._view.namesakes)
        self._held.renew(self._view)
        postponed, self._postponed = self._postponed, Postponed()
        for each in postponed:
            old, new = each.changes[0].old_dn or "", each.changes[0].new_dn or ""
            self._postponed.add(Rename(self._key(old), self._key(new), each.changes))

    def finish(self) -> Iterator[Change]:
        """Yield the changes that remain before a commit: renames are not postponed beyond it."""
        self._heed_namesakes()
        yield from self._settle()
        for rename in self._postponed:
            yield from self._give_up(rename)

    def forget(self) -> None:
        """Discard what was received since the last commit: it was rolled back."""
        self._carried = self._arrived = None
        self._postponed = Postponed()

    def release(self) -> Iterator[Change]:
        """Yield adds of all that is still held back when a refresh is done: no parent will come."""
        key = self._held.following(b"", b"")
        while key is not None:
            yield from self._leave_hold(key)
            key = self._held.following(key, b"")

    def _settle(self) -> Iterator[Change]:
        """Yield the changes that remain when all changes of a message were received.

        Entries that the server has sent below the old DN of a renamed entry stay there, but on the
        other server the rename has moved them; and entries may be waiting for the new DN.
        """
        if self._carried is not None:
            origin, target, phase = self._carried
            if self._key(origin) != self._key(target):  # more than the spelling changed
                yield from self._withdraw(self._key(origin), phase)
            self._carried, self._arrived = None, target
        if self._arrived is not None:
            arrived, self._arrived = self._key(self._arrived), None
            yield from self._let_go(arrived)
            for rename in self._postponed.to_below(arrived):
                new_dn = rename.changes[0].new_dn or ""
                if rename in self._postponed and self._has_parent(new_dn, rename.target):
                    yield from self._do_now(rename)

    # --- renames that are postponed

    def _goes_with_postponed(self, change: Change, old: bytes, new: bytes) -> bool:
        """Return True if *change* can be postponed with a rename, and postpone it."""
        held = old in self._held
        stays = dn.is_same(change.old_dn or "", change.new_dn or "")
        if stays:
            rename = None if held else self._postponed.to_above(old)
        else:
            rename = self._postponed.followed(change, old)
        if rename is None:
            return False
        if held:
            self._held.remove(old)
            self._held.add(new, change.uuid.bytes)
        elif stays or not _only_moved(change):
            if self._postponed.size >= POSTPONED:
                return False
            self._postponed.extend(rename, change)
        return True

    def _in_the_way(self, kind: ChangeKind, old: bytes, new: bytes) -> Iterator[Rename]:
        """Yield the renames that can't be postponed any longer."""
        if kind is not ChangeKind.ADD and old not in self._held:
            concerned = self._postponed.to_above(old)
            if concerned is not None:
                yield concerned
        if kind in (ChangeKind.DELETE, ChangeKind.RENAME):
            yield from self._postponed.from_below(old)
        if kind in (ChangeKind.ADD, ChangeKind.RENAME):
            yield from self._postponed.from_above(new)

    def _do_now(self, rename: Rename) -> Iterator[Change]:
        """Yield a postponed rename whose new parent has come."""
        self._postponed.remove(rename)
        for below in self._postponed.from_below(rename.origin):
            yield from self._give_up(below)
        for change in rename.changes:
            yield self._renamed(change)
        yield from self._settle()

    def _give_up(self, rename: Rename) -> Iterator[Change]:
        """Yield deletes of an entry that can't be renamed yet, and of all below; hold them back."""
        if rename not in self._postponed:
            return  # with another one, just now
        self._postponed.remove(rename)
        for nested in (
            *self._postponed.to_below(rename.target),
            *self._postponed.from_below(rename.origin),
        ):
            yield from self._give_up(nested)
        change = rename.changes[0]
        origin_dn = change.old_dn or ""
        if rename.origin != rename.target:
            yield from self._withdraw(rename.origin, change.phase)
        for record in self._view.below(rename.target, reverse=True):
            if record.key not in self._held:
                gone = dn.rebase(record.dn, record.key[len(rename.target) :], origin_dn)
                yield self._hold_again(record, gone, change.phase)
        yield change._replace(kind=ChangeKind.DELETE, new_dn=None, new_attrs=None)
        self._held.add(rename.target, change.uuid.bytes)

    # --- what is held back

    def _appear(self, change: Change, key: bytes) -> Iterator[Change]:
        """Yield the add of an entry, if its parent exists; otherwise hold it back."""
        if not self._has_place(change, key):
            self._held.add(key, change.uuid.bytes)
            return
        if change.kind is not ChangeKind.ADD:
            change = change._replace(kind=ChangeKind.ADD, old_dn=None, old_attrs=None)
        yield change
        self._arrived = change.new_dn

    def _disappear(self, change: Change, key: bytes) -> Iterator[Change]:
        if key in self._held:
            self._held.remove(key)
            return
        yield from self._withdraw(key, change.phase)
        gone = self._current(change.old_dn or "")
        yield change._replace(kind=ChangeKind.DELETE, old_dn=gone, new_dn=None, new_attrs=None)

    def _change(self, change: Change, old: bytes, new: bytes) -> Iterator[Change]:
        new_dn = change.new_dn or ""
        stays = dn.is_same(dn.above(self._current(change.old_dn or "")), dn.above(new_dn))
        if stays or self._has_place(change, new):
            yield self._renamed(change)
        elif self._postponed.size < POSTPONED:
            self._postponed.add(Rename(old, new, [change]))
        else:
            yield from self._disappear(change, old)
            self._held.add(new, change.uuid.bytes)

    def _withdraw(self, key: bytes, phase: Phase) -> Iterator[Change]:
        """Yield deletes of all entries below *key*, which are held back again."""
        if phase is Phase.PERSIST:
            return  # changes come in order there
        for record in self._view.below(key, reverse=True):
            if record.key not in self._held and self._postponed.to_above(record.key) is None:
                yield self._hold_again(record, self._current(record.dn), phase)

    def _hold_again(self, record: Record, gone: str, phase: Phase) -> Change:
        """Return the delete of an entry, which is held back, with its DN on the other server."""
        self._held.add(record.key, record.uuid)
        attrs = attributes.decode(record.attrs)
        return _change_of(record, ChangeKind.DELETE, phase)._replace(old_dn=gone, old_attrs=attrs)

    def _let_go(self, above: bytes) -> Iterator[Change]:
        """Yield adds of the entries that were waiting for the entry with the key *above*."""
        key = self._held.following(above, above)
        while key is not None:
            record = self._view.at(key)
            if record is None or self._has_parent(record.dn, record.key):
                yield from self._leave_hold(key)
            key = self._held.following(key, above)

    def _leave_hold(self, key: bytes) -> Iterator[Change]:
        self._held.remove(key)
        record = self._view.at(key)
        if record is not None:
            attrs = attributes.decode(record.attrs)
            yield _change_of(record, ChangeKind.ADD, Phase.REFRESH)._replace(
                new_dn=record.dn, new_attrs=attrs
            )

    def _has_place(self, change: Change, key: bytes) -> bool:
        """Return True if the entry can be where *change* puts it, with the key *key*."""
        plain = dn.plain(key)
        if change.phase is Phase.PERSIST or plain == self._base or not plain.startswith(self._base):
            return True
        return self._has_parent(change.new_dn or "", key)

    def _has_parent(self, name: str, key: bytes) -> bool:
        key = dn.parent(key)
        if key in self._held or self._postponed.to_above(key) is not None:
            return False
        parent = self._view.at(key)
        if parent is None or name.endswith(f",{parent.dn}"):
            return parent is not None
        return dn.is_same(parent.dn, dn.above(name))  # another spelling may be another parent


def _only_moved(change: Change) -> bool:
    """Return True if only the DN changed, so that it needs no change if it moves with a subtree."""
    attrs = attributes.with_entry_dn(change.old_attrs or {}, change.new_dn or "")
    return attributes.same(attrs, change.new_attrs or {})


def _change_of(record: Record, kind: ChangeKind, phase: Phase) -> Change:
    return Change(kind, UUID(bytes=record.uuid), phase, None, None, None, None)
