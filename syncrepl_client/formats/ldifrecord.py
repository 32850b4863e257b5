# SPDX-License-Identifier: BSD-3-Clause
"""A change as LDIF change records (RFC 2849) that ``ldapmodify`` can apply.

A server changes the naming attributes of a renamed entry itself: the modifications of a renamed
entry start from what it has then.
"""

from collections.abc import Collection, Iterator
from typing import Optional

import ldap
import ldap.dn

from ..changes import Change, ChangeKind
from ..entries import attributes, dn
from ..entries.attributes import Attributes
from ..entries.differences import diff, without
from ..entries.text import is_binary
from . import ldiflines

_AVA = tuple[str, bytes]
_Modification = tuple[str, str, Collection[bytes]]

_MANY = 10
"""If more values than these stay as they are, *by_value* has an effect."""


def to_ldif(change: Change, *, leave_out: Collection[str] = (), by_value: bool = False) -> str:
    """Return the records for *change*, each followed by an empty line; "" if there are none.

    Args:
        change: the change; ``old_dn`` is the DN of the renamed or deleted entry on the server.
        leave_out: names, without options and in any case, of attributes that are not written.
        by_value: write which values to add and to delete, where many others stay as they are.
            That spares those that are added meanwhile, but needs an equality rule of the attribute,
            and works once only.
    """
    new_dn = change.new_dn or ""
    if change.kind is ChangeKind.ADD:
        attrs = without(change.new_attrs or {}, leave_out)
        return ldiflines.add(new_dn, attrs) if any(attrs.values()) else ""
    if change.kind is ChangeKind.DELETE:
        return ldiflines.delete(change.old_dn or "")
    if change.kind is ChangeKind.REFERENCE:
        return ""
    old, new, renamed = change.old_attrs or {}, change.new_attrs or {}, ""
    if change.kind is ChangeKind.RENAME:
        renamed, old, new = _renamed(change.old_dn or "", new_dn, old, new)
    modifications = list(_modifications(old, new, leave_out, by_value=by_value))
    return renamed + (ldiflines.modify(new_dn, modifications) if modifications else "")


def _modifications(
    old: Attributes, new: Attributes, leave_out: Collection[str], *, by_value: bool
) -> Iterator[_Modification]:
    values = attributes.canonical(new)
    for each in diff(old, new, leave_out=leave_out):
        now = values.get(each.name.lower(), [])
        staying = len(now) - len(each.added)
        if by_value and staying > _MANY and not is_binary(each.name):
            for how, some in (("delete", each.removed), ("add", each.added)):
                if some:
                    yield how, each.name, some
        else:
            # This may be done twice, and needs no equality rule.
            yield "replace", each.name, now


def _renamed(
    old_dn: str, new_dn: str, old: Attributes, new: Attributes
) -> tuple[str, Attributes, Attributes]:
    """Return the record that renames an entry, what the server has then, and what it should."""
    (old_rdn, *_), (new_rdn, *above) = dn.split(old_dn), dn.split(new_dn)
    moved = not dn.is_same(dn.above(old_dn), dn.above(new_dn))
    if not moved and old_rdn == new_rdn:
        return "", old, new
    gone, come = _naming(old_rdn, new_rdn)
    delete = any(not _has(new, ava) for ava in gone)
    superior = ",".join(above) if moved else None
    record = ldiflines.modrdn(old_dn, new_rdn, superior, delete_old=delete)
    # It takes the naming attributes from the new RDN.
    seen = [ava for ava in come if _named(old, ava) or _named(new, ava)]
    return record, _with(_without(old, gone) if delete else old, seen), _with(new, seen)


# --- naming attributes


def _naming(old_rdn: str, new_rdn: str) -> tuple[list[_AVA], list[_AVA]]:
    """Return the naming attributes in the old RDN only, and all in the new one."""
    new = _avas(new_rdn)
    kept = {_normal(ava) for ava in new}
    return [ava for ava in _avas(old_rdn) if _normal(ava) not in kept], new


def _avas(rdn: str) -> list[_AVA]:
    try:
        parsed = ldap.dn.str2dn(rdn, ldap.DN_FORMAT_LDAPV3)
    except (ldap.LDAPError, ValueError):  # octets that are no text: the server will know
        return []
    return [(name, value.encode()) for avas in parsed for name, value, _ in avas]


def _normal(ava: _AVA) -> _AVA:
    name, value = ava
    return name.lower(), value.decode(errors="replace").casefold().encode()


def _named(attrs: Attributes, ava: _AVA) -> Optional[str]:
    """Return the name of *ava*'s attribute as spelled in *attrs*; None if it is not there."""
    return next((name for name in attrs if name.lower() == ava[0].lower()), None)


def _has(attrs: Attributes, ava: _AVA) -> bool:
    values = attrs.get(_named(attrs, ava) or "", ())
    return _normal(ava) in {_normal((ava[0], value)) for value in values}


def _with(attrs: Attributes, avas: list[_AVA]) -> Attributes:
    for ava in avas:
        if not _has(attrs, ava):
            name = _named(attrs, ava) or ava[0]
            attrs = {**attrs, name: [*attrs.get(name, ()), ava[1]]}
    return attrs


def _without(attrs: Attributes, avas: list[_AVA]) -> Attributes:
    for ava in avas:
        name = _named(attrs, ava)
        if name is not None:
            kept = [value for value in attrs[name] if _normal((ava[0], value)) != _normal(ava)]
            attrs = {each: values for each, values in attrs.items() if each != name}
            if kept:
                attrs[name] = kept
    return attrs
