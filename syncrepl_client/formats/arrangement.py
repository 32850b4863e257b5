# SPDX-License-Identifier: BSD-3-Clause
"""What callbacks are told, in an order that another server takes.

A mirror by DN takes whatever comes.  A server is a tree: it refuses an entry without its
parent and deletes no entry that has children, and a rename takes along whatever is below.
So a child has to wait for its parent, which a refresh may name later.

What waits is *held back*: the store has it, the other server has not.  All else is where the
store has it.  So nothing but keys need be remembered; the rest is read from the store.

A rename to below a parent that has not come is postponed until the commit at most.  Where that
comes first, or something is in the way, the entry is deleted with all below it, and held back.
"""

from collections.abc import Iterator
from typing import NamedTuple, Optional, Protocol
from uuid import UUID

from .. import attributes, dn
from ..changes import Change, ChangeKind, Phase
from ..view import Record, View
from .postponed import Postponed, Rename

POSTPONED = 1000
"""So many changes are postponed until the parent of a renamed entry has come."""


class HeldBack(Protocol):
    """Keys of entries that are held back: committed, and rolled back, with the store."""

    def add(self, key: bytes) -> None:
        """Hold back the entry with that key."""

    def remove(self, key: bytes) -> None:
        """Hold it back no more."""

    def __contains__(self, key: bytes) -> bool:
        """Say whether it is held back."""

    def following(self, key: bytes, below: bytes) -> Optional[bytes]:
        """Return the next greater key that begins with *below*; None if none does."""


class _Carried(NamedTuple):
    """A rename that the other server has done with all that was below: from where, to where."""

    origin: bytes
    target: bytes
    target_dn: str
    phase: Phase


class Following:
    """Changes as they come, but for entries that have followed a renamed one by themselves.

    The library tells of these one by one, at once, and before anything is added.
    """

    def __init__(self) -> None:
        """Begin before the first change."""
        self._carried: Optional[_Carried] = None

    def receive(self, change: Change) -> Iterator[Change]:
        """Yield what is to be done for *change*, with the DNs that the other server knows."""
        if change.kind is ChangeKind.ADD:
            self._carried = None  # there may be something again where the renamed entry was
            yield change
        elif change.kind is ChangeKind.RENAME:
            yield self._renamed(change, dn.key(change.old_dn or ""), dn.key(change.new_dn or ""))
        else:
            yield change

    def finish(self) -> Iterator[Change]:
        """Yield what is left to be done before a commit."""
        self._carried = None
        return iter(())

    def release(self) -> Iterator[Change]:
        """Yield what is left to be done when a refresh is done."""
        return iter(())

    def forget(self) -> None:
        """Hear that what was received since the last commit was rolled back."""
        self._carried = None

    def _renamed(self, change: Change, old: bytes, new: bytes) -> Change:
        moved = change._replace(old_dn=self._current(change.old_dn or ""))
        if dn.key(moved.old_dn or "") != new:
            self._carried = _Carried(old, new, change.new_dn or "", change.phase)
        return moved

    def _current(self, name: str) -> str:
        """Return where the entry is that the store has, or had, at *name*."""
        if self._carried is not None:
            origin, key = self._carried.origin, dn.key(name)
            if key != origin and key.startswith(origin):
                return dn.rebase(name, key[len(origin) :], self._carried.target_dn)
        return name


class Arrangement(Following):
    """Holds back what has no place yet.  For a search of a whole subtree."""

    def __init__(self, view: View, held: HeldBack, base: bytes) -> None:
        """Begin with what *view* shows and *held* holds back.

        Args:
            view: the store, without the change that is being received.
            held: what the other server has not.
            base: key of the search base, whose parent nobody waits for.
        """
        super().__init__()
        self._arrived: Optional[bytes] = None
        self._postponed = Postponed()
        self._view = view
        self._held = held
        self._base = base

    def receive(self, change: Change) -> Iterator[Change]:
        """Yield what can be done now, with the DNs that the other server knows."""
        kind, old_dn, new_dn = change.kind, change.old_dn, change.new_dn
        if kind is ChangeKind.REFERENCE:
            return
        old, new = dn.key(old_dn or ""), dn.key(new_dn or "")
        if not (kind is ChangeKind.RENAME and self._follows(old, new)):
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
        elif old != new:
            self._held.remove(old)
            yield from self._appear(change, new)

    def finish(self) -> Iterator[Change]:
        """Yield what is left to be done before a commit: no rename is postponed any longer."""
        yield from self._settle()
        for rename in self._postponed:
            yield from self._give_up(rename)

    def forget(self) -> None:
        """Hear that what was received since the last commit was rolled back."""
        self._carried = self._arrived = None
        self._postponed = Postponed()

    def release(self) -> Iterator[Change]:
        """Yield what is still held back when a refresh is done: its parent will not come."""
        key = self._held.following(b"", b"")
        while key is not None:
            yield from self._leave_hold(key)
            key = self._held.following(key, b"")

    def _settle(self) -> Iterator[Change]:
        """Yield what is left to be done when a message has been told of to its end.

        What the server has named below the old place of a renamed entry stays there, but the
        rename has taken it along; and something may have waited for the new place.
        """
        if self._carried is not None:
            origin, target, _, phase = self._carried
            yield from self._withdraw(origin, phase)
            self._carried, self._arrived = None, target
        if self._arrived is not None:
            arrived, self._arrived = self._arrived, None
            yield from self._let_go(arrived)
            for rename in self._postponed.to_below(arrived):
                if rename in self._postponed and self._is_there(dn.parent(rename.target)):
                    yield from self._do_now(rename)

    # --- renames that are postponed

    def _goes_with_postponed(self, change: Change, old: bytes, new: bytes) -> bool:
        """Say whether *change* can wait for a rename that is still to be done, and have it wait."""
        held = old in self._held
        if old == new:
            rename = None if held else self._postponed.to_above(old)
        else:
            rename = self._postponed.followed(old, new)
        if rename is None:
            return False
        if held:
            self._held.remove(old)
            self._held.add(new)
        elif old == new or not _only_moved(change):
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
        """Yield a rename whose new parent has come."""
        self._postponed.remove(rename)
        for below in self._postponed.from_below(rename.origin):
            yield from self._give_up(below)
        for change in rename.changes:
            yield self._renamed(change, dn.key(change.old_dn or ""), dn.key(change.new_dn or ""))
        yield from self._settle()

    def _give_up(self, rename: Rename) -> Iterator[Change]:
        """Yield how what can't be renamed yet is deleted, and held back, with all below it."""
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
        yield from self._withdraw(rename.origin, change.phase)
        for record in self._view.below(rename.target, reverse=True):
            if record.key not in self._held:
                gone = dn.rebase(record.dn, record.key[len(rename.target) :], origin_dn)
                yield self._hold_again(record, gone, change.phase)
        yield change._replace(kind=ChangeKind.DELETE, new_dn=None, new_attrs=None)
        self._held.add(rename.target)

    # --- what is held back

    def _follows(self, old: bytes, new: bytes) -> bool:
        """Say whether the other server's last rename took an entry from *old* to *new*."""
        if self._carried is None:
            return False
        origin, target, _, _ = self._carried
        return old.startswith(origin) and new == target + old[len(origin) :]

    def _appear(self, change: Change, key: bytes) -> Iterator[Change]:
        """Yield how an entry comes that is not there, and what has waited for it."""
        if not self._has_place(key, change.phase):
            self._held.add(key)
            return
        yield change._replace(kind=ChangeKind.ADD, old_dn=None, old_attrs=None)
        self._arrived = key

    def _disappear(self, change: Change, key: bytes) -> Iterator[Change]:
        if key in self._held:
            self._held.remove(key)
            return
        yield from self._withdraw(key, change.phase)
        gone = self._current(change.old_dn or "")
        yield change._replace(kind=ChangeKind.DELETE, old_dn=gone, new_dn=None, new_attrs=None)

    def _change(self, change: Change, old: bytes, new: bytes) -> Iterator[Change]:
        current = dn.key(self._current(change.old_dn or ""))
        stays = current == new or dn.parent(current) == dn.parent(new)
        if stays or self._has_place(new, change.phase):
            yield self._renamed(change, old, new)
        elif self._postponed.size < POSTPONED:
            self._postponed.add(Rename(old, new, [change]))
        else:
            yield from self._disappear(change, old)
            self._held.add(new)

    def _withdraw(self, key: bytes, phase: Phase) -> Iterator[Change]:
        """Yield how all that is below *key* is held back again."""
        if phase is Phase.PERSIST:
            return  # changes come in order there
        for record in self._view.below(key, reverse=True):
            if record.key not in self._held and self._postponed.to_above(record.key) is None:
                yield self._hold_again(record, self._current(record.dn), phase)

    def _hold_again(self, record: Record, gone: str, phase: Phase) -> Change:
        """Return how an entry goes that the other server has at the DN *gone*."""
        self._held.add(record.key)
        attrs = attributes.decode(record.attrs)
        return _change_of(record, ChangeKind.DELETE, phase)._replace(old_dn=gone, old_attrs=attrs)

    def _let_go(self, above: bytes) -> Iterator[Change]:
        """Yield the adds of what has waited for the entry with the key *above*."""
        key = self._held.following(above, above)
        while key is not None:
            if self._is_there(dn.parent(key)):
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

    def _has_place(self, key: bytes, phase: Phase) -> bool:
        if phase is Phase.PERSIST or key == self._base or not key.startswith(self._base):
            return True
        return self._is_there(dn.parent(key))

    def _is_there(self, key: bytes) -> bool:
        if key in self._held or self._postponed.to_above(key) is not None:
            return False
        return self._view.at(key) is not None


def _only_moved(change: Change) -> bool:
    """Say whether nothing but the DN has changed, so that nothing need be done for what follows."""
    attrs = attributes.with_entry_dn(change.old_attrs or {}, change.new_dn or "")
    return attributes.same(attrs, change.new_attrs or {})


def _change_of(record: Record, kind: ChangeKind, phase: Phase) -> Change:
    return Change(kind, UUID(bytes=record.uuid), phase, None, None, None, None)
