# SPDX-License-Identifier: BSD-3-Clause
"""LDIF change records (RFC 2849): what happened, in a form that ``ldapmodify`` applies.

Two directories differ from a mirror by DN.  A server that renames an entry renames all below
it, so one record tells of what callbacks are told in many.  And it changes the naming
attributes of a renamed entry by itself.
"""

import io
from collections.abc import Collection
from typing import IO, Any, Optional

import ldap
import ldap.dn
import ldap.modlist

from . import attributes, dn
from .callbacks import BaseCallback
from .changes import Change, ChangeKind
from .content import SafeLDIFWriter
from .differences import OPERATIONAL, diff, without
from .messages import Attributes
from .streams import Output

_AVA = tuple[str, bytes]


class LDIFCallback(BaseCallback):
    """Writes each change as an LDIF change record (RFC 2849).

    The stream begins with ``version: 1``, unless something is in it already.  It is flushed
    before each commit.  A transaction that is rolled back leaves its records there, and they
    come again: at least once, as with every callback.

    Of a renamed subtree, only the entry at its top is written: the server that applies the
    record renames what is below.  Not written are references, modifications of nothing but
    *leave_out*, and adds of entries without any attribute.
    """

    def __init__(self, stream: IO[Any], *, leave_out: Collection[str] = OPERATIONAL) -> None:
        """Write to *stream*, which stays open.

        Args:
            stream: a text or a binary stream; what is written is ASCII.
            leave_out: names, options aside and in any case, of attributes that are not
                written; by default those that servers don't let users write.  ``()``: none.
        """
        self._output = Output(stream)
        self._leave_out = leave_out
        self._begun = self._output.continued
        # The last rename written, until its transaction ends: from which key to which DN.  The
        # library tells at once, and before anything is added, what has followed it.
        self._carried: Optional[tuple[bytes, str]] = None

    def dispatch(self, change: Change) -> object:
        """Write *change*."""
        if change.kind is ChangeKind.ADD:
            self._carried = None  # there may be something again where the renamed entry was
            self._add(change.new_dn or "", change.new_attrs or {})
        elif change.kind is ChangeKind.MODIFY:
            self._modify(change.new_dn or "", change.old_attrs or {}, change.new_attrs or {})
        elif change.kind is ChangeKind.RENAME:
            self._rename(change)
        elif change.kind is ChangeKind.DELETE:
            self._write(change.old_dn or "", {"changetype": [b"delete"]})
        return super().dispatch(change)

    def before_commit(self) -> None:
        """Flush the stream."""
        self._carried = None
        self._output.flush()

    def _add(self, name: str, attrs: Attributes) -> None:
        record = ldap.modlist.addModlist(without(attrs, self._leave_out))
        if record:
            self._write(name, record)

    def _modify(self, name: str, old: Attributes, new: Attributes) -> None:
        # Replacing leads to the same values if it is done twice, and needs no equality rule.
        values = attributes.canonical(new)
        record = [
            (ldap.MOD_REPLACE, each.name, values.get(each.name.lower()))
            for each in diff(old, new, leave_out=self._leave_out)
        ]
        if record:
            self._write(name, record)

    def _rename(self, change: Change) -> None:
        old_dn, new_dn = self._current(change.old_dn or ""), change.new_dn or ""
        old, new = change.old_attrs or {}, change.new_attrs or {}
        (old_rdn, *_), (new_rdn, *above) = dn.split(old_dn), dn.split(new_dn)
        moved = dn.parent(dn.key(old_dn)) != dn.parent(dn.key(new_dn))
        if moved or old_rdn != new_rdn:
            gone, come = _naming(old_rdn, new_rdn)
            delete = any(not _has(new, ava) for ava in gone)
            superior = ",".join(above) if moved else None
            self._write(old_dn, _Rename(new_rdn, delete, superior))
            self._carried = dn.key(change.old_dn or ""), new_dn
            # What the server has then: it takes the naming attributes from the new RDN.
            seen = [ava for ava in come if _named(old, ava) or _named(new, ava)]
            old = _with(_without(old, gone) if delete else old, seen)
            new = _with(new, seen)
        self._modify(new_dn, old, new)

    def _current(self, old_dn: str) -> str:
        """Return where the entry at *old_dn* is, after the last rename that was written."""
        if self._carried is not None:
            (origin, root), key = self._carried, dn.key(old_dn)
            if key != origin and key.startswith(origin):
                return dn.rebase(old_dn, key[len(origin) :], root)
        return old_dn

    def _write(self, name: str, record: Any) -> None:
        buffer = io.StringIO()
        if not self._begun:
            buffer.write("version: 1\n\n")
        writer = _Writer(buffer)
        if isinstance(record, _Rename):
            writer.unparse_rename(name, record)
        else:
            writer.unparse(name, record)
        self._output.write(buffer.getvalue())
        self._begun = True


class _Rename:
    """What is said of a rename, in the order of RFC 2849's grammar."""

    def __init__(self, rdn: str, delete_old: bool, superior: Optional[str]) -> None:
        self.lines = [("changetype", "modrdn"), ("newrdn", rdn)]
        self.lines.append(("deleteoldrdn", str(int(delete_old))))
        if superior is not None:
            self.lines.append(("newsuperior", superior))


class _Writer(SafeLDIFWriter):
    """Knows renames, as python-ldap's does not."""

    def unparse_rename(self, name: str, rename: _Rename) -> None:
        for key, value in [("dn", name), *rename.lines]:
            self._unparseAttrTypeandValue(key, value.encode())
        self._output_file.write("\n")


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
