# SPDX-License-Identifier: BSD-3-Clause
"""Where entries of 389-ds are: by their identities, not by their DNs.

``parentid`` of an entry is ``entryid`` of its parent, also where the DN that a search shows is not
that of the entry any more (see :mod:`..engine.misnaming`).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Optional

import ldap

from ..protocol import uniqueid
from .session import Session
from .syncprov import LOST

_ENTRY, _PARENT = "entryid", "parentid"
_PORTION = 100


class Place(NamedTuple):
    """Where an entry is.

    Attributes:
        dn: the DN that a search shows.  Its first RDN is right.
        identity: the ``entryid``; None if this user can't read it.
        parent: the ``entryid`` of its parent; None likewise.
    """

    dn: str
    identity: Optional[bytes]
    parent: Optional[bytes]

    def is_below(self, other: "Place") -> bool:
        """Return True if *other* is the parent; False also if it can't be told."""
        return self.parent is not None and self.parent == other.identity


UNKNOWN = Place("", None, None)


def places(session: Session, uuids: Collection[bytes]) -> dict[bytes, Place]:
    """Return where entries are, of those of the given UUIDs that a search finds.

    Args:
        session: whose search base all of them are below.
        uuids: at most as many as a filter may have.

    Raises:
        ldap.LDAPError: the connection is lost, or there was no answer in time.
    """
    return _read(session, session.url.base, uuids) if uuids else {}


def _read(session: Session, base: str, uuids: Collection[bytes]) -> dict[bytes, Place]:
    wanted = "".join(map(uniqueid.equals, sorted(uuids)))
    names = (uniqueid.NAME, _ENTRY, _PARENT)
    found = {}
    try:
        for entry in session.entries(
            base, f"(|{wanted})", names, f"the places of {len(uuids)} entries"
        ):
            attrs = {name.lower(): values for name, values in entry.attrs.items()}
            uuid = uniqueid.of_entry(attrs)
            if uuid is not None:
                found[uuid] = Place(entry.dn, *(_first(attrs, n) for n in (_ENTRY, _PARENT)))
    except LOST:
        raise
    except ldap.LDAPError:
        return {}
    return found


def any_exists(session: Session, suffix: str, uuids: Sequence[bytes]) -> bool:
    """Return True if this user finds one of the entries below *suffix*.

    Raises:
        ldap.LDAPError: the connection is lost, or there was no answer in time.
    """
    starts = range(0, len(uuids), _PORTION)
    return any(_read(session, suffix, uuids[start : start + _PORTION]) for start in starts)


def _first(attrs: Mapping[str, "list[bytes]"], name: str) -> Optional[bytes]:
    return next(iter(attrs.get(name, ())), None)
