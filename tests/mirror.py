# SPDX-License-Identifier: BSD-3-Clause
"""A mirror of the directory, by DN, made from what the callbacks are told and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import ldap
from ldap.ldapobject import LDAPObject

from syncrepl_client import Change
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.entries.attributes import Attributes

Content = dict[str, dict[str, list[bytes]]]


def content(entries: Mapping[str, Attributes]) -> Content:
    """Entries in a form in which equal ones are equal: no order, no case of names."""
    return {
        dn: {name.lower(): sorted(values) for name, values in attrs.items()}
        for dn, attrs in entries.items()
    }


def server_content(
    connection: LDAPObject, base: str, scope: int, filter: str, attributes: list[str]
) -> Content:
    """What the server's own search finds."""
    try:
        found = connection.search_s(base, scope, filter, attributes or None)
    except ldap.NO_SUCH_OBJECT:
        return {}
    return content(dict(found))


class IllegalChange(AssertionError):
    """No directory could have changed like that."""


class Mirror(BaseCallback):
    """Refuses what can't be applied; goes back to the last commit when told to."""

    def __init__(self) -> None:
        self.entries: dict[str, Attributes] = {}
        self.changes: list[Change] = []
        self.refreshes = 0
        self._undo: list[tuple[str, Attributes | None]] = []

    def record_add(self, dn: str, attrs: Attributes) -> None:
        if dn in self.entries:
            raise IllegalChange(f"add of {dn!r}, which is there")
        self._set(dn, attrs)

    def record_change(self, dn: str, old_attrs: Attributes, new_attrs: Attributes) -> None:
        if content({dn: self._pop(dn)}) != content({dn: old_attrs}):
            raise IllegalChange(f"change of {dn!r} from attributes that it did not have")
        if content({dn: old_attrs}) == content({dn: new_attrs}):
            raise IllegalChange(f"change of {dn!r} that is none")
        self._set(dn, new_attrs)

    def record_rename(self, old_dn: str, new_dn: str) -> None:
        attrs = self._pop(old_dn)
        if new_dn in self.entries:
            raise IllegalChange(f"rename of {old_dn!r} to {new_dn!r}, which is there")
        self._set(new_dn, attrs)

    def record_delete(self, dn: str) -> None:
        self._pop(dn)

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        self.refreshes += 1
        if content(items) != content(self.entries):
            raise IllegalChange("at the end of a refresh the store is not what was told")

    def before_commit(self) -> None:
        self._undo.clear()

    def dispatch(self, change: Change) -> None:
        super().dispatch(change)
        self.changes.append(change)

    def roll_back(self) -> None:
        """Forget what was told since the last commit."""
        while self._undo:
            dn, attrs = self._undo.pop()
            if attrs is None:
                del self.entries[dn]
            else:
                self.entries[dn] = attrs

    def _set(self, dn: str, attrs: Attributes) -> None:
        self._undo.append((dn, None))
        self.entries[dn] = attrs

    def _pop(self, dn: str) -> Attributes:
        if dn not in self.entries:
            raise IllegalChange(f"{dn!r} is not there")
        attrs = self.entries.pop(dn)
        self._undo.append((dn, attrs))
        return attrs
