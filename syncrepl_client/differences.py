# SPDX-License-Identifier: BSD-3-Clause
"""What differs between two states of an entry, attribute by attribute."""

from collections import Counter
from collections.abc import Collection
from enum import Enum
from typing import NamedTuple, Optional

from . import attributes
from .messages import Attributes

OPERATIONAL = frozenset((
    # RFC 4512, 3.4, RFC 3672, RFC 4530, RFC 5020, and X.501
    "creatorsname", "createtimestamp", "modifiersname", "modifytimestamp",
    "structuralobjectclass", "governingstructurerule", "subschemasubentry",
    "collectiveattributesubentries", "hassubordinates", "numsubordinates",
    "entryuuid", "entrydn",
    # OpenLDAP, with its overlays lastbind and ppolicy
    "entrycsn", "contextcsn", "namingcsn", "syncreplcookie", "dynamicsubtrees",
    "authtimestamp", "pwdchangedtime", "pwdfailuretime", "pwdgraceusetime", "pwdhistory",
    "pwdlastsuccess",
    # 389 Directory Server
    "nsuniqueid", "nsparentuniqueid", "entryid", "parentid", "entryusn", "dsentrydn",
    "nscpentrydn", "internalcreatorsname", "internalmodifiersname", "nsrole", "pwdupdatetime",
    "tombstonenumsubordinates",
))  # fmt: skip
"""Names, in lower case, of attributes that servers keep by themselves: who wrote an entry, when
and as what number.  Users can't write them (``NO-USER-MODIFICATION``)."""


class AttributeChangeKind(Enum):
    """What happened to an attribute."""

    ADDED = "added"
    """The entry did not have it."""
    REMOVED = "removed"
    """The entry has it no more."""
    REPLACED = "replaced"
    """It has other values."""


class AttributeChange(NamedTuple):
    """How one attribute differs.

    Attributes:
        name: the attribute with its options, as the new state writes it, else as the old one.
        kind: what happened to it.
        added: the values that came, sorted.
        removed: the values that went, sorted.
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
    """Return what differs between two states of an entry, attribute by attribute.

    Names compare without case, values byte by byte and in any order: the list is empty where
    ``record_change`` would not be called.  An attribute with options (``cn;lang-de``) is one
    of its own.  A value that is there twice counts twice.

    Args:
        old_attrs: the attributes so far; None if there was no entry.
        new_attrs: the attributes from now on; None if there is no entry.
        leave_out: names, options aside and in any case, of attributes that don't matter:
            ``syncrepl_client.OPERATIONAL`` for those that the server keeps by itself.
    """
    old, new = without(old_attrs or {}, leave_out), without(new_attrs or {}, leave_out)
    before, after = attributes.canonical(old), attributes.canonical(new)
    changes: list[AttributeChange] = []
    for name in attributes.changed(old, new):
        was, now = before.get(name.lower()), after.get(name.lower())
        if was is None:
            kind = AttributeChangeKind.ADDED
        elif now is None:
            kind = AttributeChangeKind.REMOVED
        else:
            kind = AttributeChangeKind.REPLACED
        added, removed = Counter(now or ()), Counter(was or ())
        came, went = (added - removed).elements(), (removed - added).elements()
        changes.append(AttributeChange(name, kind, tuple(came), tuple(went)))
    return changes


def without(attrs: Attributes, names: Collection[str]) -> Attributes:
    """Return *attrs* without the attributes *names*, whatever their case and options."""
    if not names:
        return attrs
    left_out = {name.lower() for name in names}
    return {
        name: values
        for name, values in attrs.items()
        if name.partition(";")[0].lower() not in left_out
    }
