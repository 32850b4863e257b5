# SPDX-License-Identifier: BSD-3-Clause
"""The difference between two states of an entry, attribute by attribute."""

from collections import Counter
from collections.abc import Collection
from enum import Enum
from functools import lru_cache
from typing import NamedTuple, Optional

from . import attributes, descriptions, schema
from .attributes import Attributes

OPERATIONAL = schema.OPERATIONAL


class AttributeChangeKind(Enum):
    """How an attribute changed."""

    ADDED = "added"
    """The entry did not have it."""
    REMOVED = "removed"
    """The entry has it no more."""
    REPLACED = "replaced"
    """It has other values."""


class AttributeChange(NamedTuple):
    """The change of one attribute.

    Attributes:
        name: the attribute with its options, as spelled in the new state, else in the old one.
        kind: how it changed.
        added: the values that are new, sorted.
        removed: the values that are gone, sorted.
    """

    name: str
    kind: AttributeChangeKind
    added: tuple[bytes, ...]
    removed: tuple[bytes, ...]


def diff(
    old_attrs: Optional[Attributes],
    new_attrs: Optional[Attributes],
    *,
    leave_out: Collection[str] = (),
) -> list[AttributeChange]:
    """Return the difference between two states of an entry, attribute by attribute.

    Names compare without case, values byte by byte and in any order: the list is empty where
    ``record_change`` would not be called.  An attribute with options (``cn;lang-de``) is separate
    from the one without.  A value that occurs twice counts twice.

    Args:
        old_attrs: the old attributes; None if there was no entry.
        new_attrs: the new attributes; None if there is no entry any more.
        leave_out: names, without options and in any case, of attributes to ignore:
            ``syncrepl_client.OPERATIONAL`` for those that the server maintains itself.
    """
    old, new = without(old_attrs or {}, leave_out), without(new_attrs or {}, leave_out)
    changes: list[AttributeChange] = []
    for name, was, now in attributes.differing(old, new):
        if was is None:
            kind = AttributeChangeKind.ADDED
        elif now is None:
            kind = AttributeChangeKind.REMOVED
        else:
            kind = AttributeChangeKind.REPLACED
        went, came = exchanged(was or [], now or [])
        changes.append(AttributeChange(name, kind, tuple(sorted(came)), tuple(sorted(went))))
    return changes


def exchanged(before: list[bytes], after: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Return which values went, and which came."""
    before, after = attributes.trimmed(before, after)
    was, now = set(before), set(after)
    if len(was) == len(before) and len(now) == len(after):
        gone, come = was - now, now - was
        return [each for each in before if each in gone], [each for each in after if each in come]
    return beyond(before, after), beyond(after, before)


def beyond(some: list[bytes], others: list[bytes]) -> list[bytes]:
    """Return those of *some* that are not among *others*, or more often, in their order."""
    if not others:
        return some
    if len(some) == 1:
        return [] if some[0] in others else some
    known = set(others)
    if len(known) == len(others) and len(set(some)) == len(some):
        return [value for value in some if value not in known]
    return list((Counter(some) - Counter(others)).elements())


def without(attrs: Attributes, names: Collection[str]) -> Attributes:
    """Return *attrs* without the attributes *names*, whatever their case and options."""
    if not names:
        return attrs
    left_out = _lower(frozenset(names))
    if left_out.isdisjoint(map(descriptions.base, attrs)):
        return attrs
    return {
        name: values for name, values in attrs.items() if descriptions.base(name) not in left_out
    }


@lru_cache(16)  # it is asked for each entry, with the same
def _lower(names: frozenset[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)
