# SPDX-License-Identifier: BSD-3-Clause
"""Rows of the log of changes, and what they say of the attributes.

An ADD and a DELETE have all attributes of the entry.  Other changes have the values that were added
and removed only: one new member of a group with 100,000 members is one value.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from functools import lru_cache
from itertools import compress
from operator import ne
from typing import NamedTuple, Optional
from uuid import UUID
from zlib import crc32

from ..changes import Change, ChangeKind, Phase
from ..entries import attributes, descriptions, dn
from ..entries.attributes import Attributes
from ..entries.differences import AttributeChange, AttributeChangeKind, exchanged
from ..exceptions import StoreInvalid

SNAPSHOT = "snapshot"
"""The kind of the row that starts a log: all changes from there on are in it."""

_ADDED, _REMOVED, _WENT, _CAME = "+", "-", "<", ">"
"""Prefixes of attribute names in encoded differences; a replaced attribute has the last two."""
_SHAPES = 1024
_FIXED_SIZE = 80
"""The size of a row, in bytes, without its DNs and differences."""


class Row(NamedTuple):
    """A row of the log.

    Attributes:
        seq: the sequence number: that of the row before plus one.
        id: 16 random bytes.
        time: when the callback was called, in seconds of Unix time.
        kind: the value of a :class:`~syncrepl_client.ChangeKind`, or :data:`SNAPSHOT`.
        phase: the name of a :class:`~syncrepl_client.Phase`.
        uuid: the entryUUID; empty for a snapshot.
        old_dn: the old DN; None if it is the same as the new one.
        new_dn: the new DN.
        place: the :func:`place_of` the old DN, if the entry left it.
        csn: the entryCSN of the entry, or else its modifyTimestamp.
        differences: the differences of the attributes, see :func:`encode`.
    """

    seq: int
    id: bytes
    time: float
    kind: str
    phase: str
    uuid: bytes
    old_dn: Optional[str]
    new_dn: Optional[str]
    place: Optional[int]
    csn: Optional[str]
    differences: bytes


def size_of(row: Row) -> int:
    """Return the approximate size of *row* in bytes."""
    return _FIXED_SIZE + len(row.old_dn or "") + len(row.new_dn or "") + len(row.differences)


def row_of(uuid: bytes, change: Change, exclude: frozenset[str], random: bytes) -> Row:
    """Return the row for *change*, without a sequence number.

    Args:
        uuid: the entryUUID.
        change: the change, with its time.
        exclude: names, in lower case, of attributes whose values are left out.
        random: 16 random bytes.
    """
    kind, _, phase, old_dn, new_dn, old, new, told = change
    place = None
    if old_dn == new_dn:
        old_dn = None
    elif old_dn is not None:
        place = place_of(dn.key(old_dn))
    return Row(
        0, random, told.timestamp() if told is not None else 0.0, kind._value_, phase._name_, uuid,
        old_dn, new_dn, place, csn_of(new) if new else None, encode(old, new, exclude),
    )  # fmt: skip


def snapshot_row(random: bytes, time: float) -> Row:
    """Return the row that starts a log, without a sequence number."""
    return Row(0, random, time, SNAPSHOT, "", b"", None, None, None, None, b"")


def place_of(key: bytes) -> int:
    """Return a hash of the DN with that *key*."""
    return crc32(key)


# --- differences


def encode(old: Optional[Attributes], new: Optional[Attributes], exclude: frozenset[str]) -> bytes:
    """Return the differences of two states of an entry; None: there was no entry."""
    signed: Attributes = {}
    if old is None or new is None:
        sign, attrs = (_ADDED, new or {}) if old is None else (_REMOVED, old)
        secret = _secret(tuple(attrs), exclude)
        for name, values in attrs.items():
            signed[sign + name] = [] if name in secret else values
        return attributes.encode(signed)
    # Most attributes are equal as they are written.
    names = list({**old, **new})
    names = list(compress(names, map(ne, map(old.get, names), map(new.get, names))))
    if len(set(map(str.lower, names))) != len(names):  # one name in two spellings
        spelling = {name.lower(): name for name in names}
        old, new = _respelled(old, spelling), _respelled(new, spelling)
        names = list(spelling.values())
    secret = _secret(tuple(names), exclude)
    for name in names:
        before, after = old.get(name, []), new.get(name, [])
        went, came = exchanged(before, after)
        if not (went or came):
            continue
        if name in secret:
            went = came = []
        if not before:
            signed[_ADDED + name] = came
        elif not after:
            signed[_REMOVED + name] = went
        else:
            signed[_WENT + name] = went
            signed[_CAME + name] = came
    return attributes.encode(signed)


def _respelled(attrs: Attributes, spelling: dict[str, str]) -> Attributes:
    """Return the attributes with the lower-case names in *spelling*, spelled like that."""
    some = {name: values for name, values in attrs.items() if name.lower() in spelling}
    return {spelling[name]: values for name, values in attributes.canonical(some).items()}


def decode(differences: bytes) -> Iterator[AttributeChange]:
    """Yield the differences that :func:`encode` returned, without the values it left out.

    Raises:
        StoreInvalid: *differences* is damaged.
    """
    kinds = {_ADDED: AttributeChangeKind.ADDED, _REMOVED: AttributeChangeKind.REMOVED}
    went: list[bytes] = []
    for signed, values in attributes.decode(differences).items():
        sign, name = signed[:1], signed[1:]
        if sign == _WENT:
            went = values
        elif sign == _CAME:
            kind = AttributeChangeKind.REPLACED
            yield AttributeChange(name, kind, tuple(sorted(values)), tuple(sorted(went)))
        elif sign in kinds:
            came = sign == _ADDED
            added, removed = (values, []) if came else ([], values)
            yield AttributeChange(name, kinds[sign], tuple(sorted(added)), tuple(sorted(removed)))
        else:
            raise StoreInvalid(f"a row of the log of changes is damaged: {signed!r}")


def is_left_out(change: AttributeChange) -> bool:
    """Return True if the values of *change* were left out."""
    return not (change.added or change.removed)


@lru_cache(_SHAPES)  # entries of a kind have the same attributes
def _secret(names: tuple[str, ...], exclude: frozenset[str]) -> frozenset[str]:
    return frozenset(name for name in names if is_excluded(name, exclude))


def is_excluded(name: str, exclude: frozenset[str]) -> bool:
    """Return True if *exclude* has the attribute *name*, ignoring its options."""
    return descriptions.base(name) in exclude


def csn_of(attrs: Attributes) -> Optional[str]:
    """Return the entryCSN in *attrs*, or else the modifyTimestamp; None if there is neither."""
    name = _csn_name(tuple(attrs))
    values = attrs[name] if name is not None else []
    return values[0].decode(errors="replace") if values else None


@lru_cache(_SHAPES)
def _csn_name(names: tuple[str, ...]) -> Optional[str]:
    written = {name.lower(): name for name in names}
    return written.get("entrycsn", written.get("modifytimestamp"))


# --- applying them


def forward(differences: Iterable[AttributeChange], attrs: Attributes) -> Attributes:
    """Return the attributes after *differences*, which were *attrs* before.

    Raises:
        StoreInvalid: *attrs* lack a value that was removed.
    """
    after = dict(attrs)
    for change in differences:
        written = [name for name in after if name.lower() == change.name.lower()]
        values = [value for name in written for value in after.pop(name)]
        if is_left_out(change) or (change.kind is AttributeChangeKind.REPLACED and not written):
            continue  # the values are unknown
        going = Counter(change.removed)
        kept = [value for value in values if not _taken(going, value)] if going else values
        if any(going.values()):
            raise StoreInvalid(f"the log of changes does not fit the entries: {change.name}")
        kept.extend(change.added)
        if kept:
            after[change.name] = kept
    return after


def _taken(going: "Counter[bytes]", value: bytes) -> bool:
    if not going[value]:
        return False
    going[value] -= 1
    return True


def back(differences: Iterable[AttributeChange], attrs: Attributes) -> Attributes:
    """Return the attributes before *differences*, which are *attrs* after them.

    Raises:
        StoreInvalid: *attrs* lack a value that was added.
    """
    turned = (each._replace(added=each.removed, removed=each.added) for each in differences)
    return forward(turned, attrs)


def change_of(row: Row, old: Optional[Attributes], new: Optional[Attributes]) -> Change:
    """Return the change of *row*, with the attributes before and after it.

    Raises:
        StoreInvalid: the row is damaged.
    """
    try:
        kind, phase, uuid = ChangeKind(row.kind), Phase[row.phase], UUID(bytes=row.uuid)
        told = datetime.fromtimestamp(row.time, timezone.utc)
    except (ValueError, KeyError, OverflowError, OSError) as error:
        raise StoreInvalid(f"a row of the log of changes is damaged: {error}") from None
    old_dn = row.new_dn if kind is ChangeKind.MODIFY else row.old_dn
    return Change(kind, uuid, phase, old_dn, row.new_dn, old, new, told)
