# SPDX-License-Identifier: BSD-3-Clause
"""Which entries a search can find.  A server may send others; they are not part of the answer.

389-ds with replication sends its own configuration, subentries and tombstones in the persist stage.
OpenLDAP's back_relay sends DNs of the other suffix there.
"""

from typing import NamedTuple, Optional

import ldap

from ..entries import dn
from ..entries.attributes import Attributes
from .dialect import Dialect

OUTSIDE = "outside the search base and scope"
HIDDEN = "a subentry, tombstone or cenotaph that the filter does not ask for"
UNSEEN = "not visible to this user in a search"

_SUBTREE = ldap.SCOPE_SUBTREE

_TOMBSTONE = "nstombstone"
_TOMBSTONES = (b"nsuniqueid=", b"cenotaphid=")


class Extent(NamedTuple):
    """The entries that a search can find.

    Attributes:
        base: key of the search base.
        scope: ``ldap.SCOPE_BASE``, ``SCOPE_ONELEVEL`` or ``SCOPE_SUBTREE``.
        filter: the search filter.
        hidden: lower-case object classes of entries that this search does not find.
    """

    base: bytes
    scope: int = ldap.SCOPE_SUBTREE
    filter: str = ""
    hidden: frozenset[str] = frozenset()

    def at(self, kind: Dialect) -> "Extent":
        """Return the extent of the same search on a server of that *kind*."""
        asked, classes = self.filter.lower(), kind.hidden_classes or ()
        return self._replace(hidden=frozenset(each for each in classes if each not in asked))

    def reaches(self, key: bytes) -> bool:
        """Return True if an entry with this key is within base and scope."""
        if self.scope == _SUBTREE:
            return key.startswith(self.base) or dn.plain(key).startswith(self.base)
        key = dn.plain(key)
        return self.base == (dn.parent(key) if self.scope == ldap.SCOPE_ONELEVEL else key)

    def excludes(self, attrs: Attributes, key: bytes) -> Optional[str]:
        """Return why an entry whose DN has this key can't be in the answer; None if it can."""
        base, scope, _, hidden = self
        if not ((key.startswith(base) and scope == _SUBTREE) or self.reaches(key)):
            return OUTSIDE
        return HIDDEN if hidden and self._hides(attrs, key) else None

    def _hides(self, attrs: Attributes, key: bytes) -> bool:
        if _TOMBSTONE in self.hidden and key[len(dn.parent(key)) :].startswith(_TOMBSTONES):
            return True
        for name, values in attrs.items():
            if name.lower() == "objectclass":
                classes = {value.decode(errors="replace").lower() for value in values}
                return not self.hidden.isdisjoint(classes)
        return False
