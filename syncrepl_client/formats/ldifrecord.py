# SPDX-License-Identifier: BSD-3-Clause
"""A change as LDIF change records (RFC 2849), in a form that ``ldapmodify`` applies.

A server changes the naming attributes of a renamed entry by itself: what is written of its
attributes begins with what it has then.
"""

import io
from collections.abc import Collection
from typing import Optional

import ldap
import ldap.dn
import ldap.modlist

from .. import attributes, dn
from ..changes import Change, ChangeKind
from ..differences import diff, without
from ..messages import Attributes
from .content import SafeLDIFWriter

_AVA = tuple[str, bytes]


def to_ldif(change: Change, *, leave_out: Collection[str] = ()) -> str:
    """Return the records that tell of *change*, each with an empty line behind; "" if none does.

    Args:
        change: what happened; ``old_dn`` is where the entry is that was renamed or deleted.
        leave_out: names, options aside and in any case, of attributes that are not written.
    """
    writer = _Records(leave_out)
    if change.kind is ChangeKind.ADD:
        writer.add(change.new_dn or "", change.new_attrs or {})
    elif change.kind is ChangeKind.MODIFY:
        writer.modify(change.new_dn or "", change.old_attrs or {}, change.new_attrs or {})
    elif change.kind is ChangeKind.RENAME:
        writer.rename(change)
    elif change.kind is ChangeKind.DELETE:
        writer.unparse(change.old_dn or "", {"changetype": [b"delete"]})
    return writer.text


class _Records(SafeLDIFWriter):
    """python-ldap's knows no renames."""

    def __init__(self, leave_out: Collection[str]) -> None:
        self._buffer = io.StringIO()
        super().__init__(self._buffer)
        self._leave_out = leave_out

    @property
    def text(self) -> str:
        return self._buffer.getvalue()

    def add(self, name: str, attrs: Attributes) -> None:
        record = ldap.modlist.addModlist(without(attrs, self._leave_out))
        if record:
            self.unparse(name, record)

    def modify(self, name: str, old: Attributes, new: Attributes) -> None:
        # Replacing leads to the same values if it is done twice, and needs no equality rule.
        values = attributes.canonical(new)
        record = [
            (ldap.MOD_REPLACE, each.name, values.get(each.name.lower()))
            for each in diff(old, new, leave_out=self._leave_out)
        ]
        if record:
            self.unparse(name, record)

    def rename(self, change: Change) -> None:
        old_dn, new_dn = change.old_dn or "", change.new_dn or ""
        old, new = change.old_attrs or {}, change.new_attrs or {}
        (old_rdn, *_), (new_rdn, *above) = dn.split(old_dn), dn.split(new_dn)
        moved = dn.parent(dn.key(old_dn)) != dn.parent(dn.key(new_dn))
        if moved or old_rdn != new_rdn:
            gone, come = _naming(old_rdn, new_rdn)
            delete = any(not _has(new, ava) for ava in gone)
            self._modrdn(old_dn, new_rdn, delete, ",".join(above) if moved else None)
            # What the server has then: it takes the naming attributes from the new RDN.
            seen = [ava for ava in come if _named(old, ava) or _named(new, ava)]
            old = _with(_without(old, gone) if delete else old, seen)
            new = _with(new, seen)
        self.modify(new_dn, old, new)

    def _modrdn(self, name: str, rdn: str, delete_old: bool, superior: Optional[str]) -> None:
        lines = [("dn", name), ("changetype", "modrdn"), ("newrdn", rdn)]  # in RFC 2849's order
        lines.append(("deleteoldrdn", str(int(delete_old))))
        if superior is not None:
            lines.append(("newsuperior", superior))
        for key, value in lines:
            self._unparseAttrTypeandValue(key, value.encode())
        self._buffer.write("\n")


# --- naming attributes


def _naming(old_rdn: str, new_rdn: str) -> tuple[list[_AVA], list[_AVA]]:
    """Return what only the old RDN names, and all that the new one does."""
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
    """Return how *attrs* writes the attribute of *ava*; None: it is not there."""
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
