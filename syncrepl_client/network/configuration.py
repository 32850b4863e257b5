# SPDX-License-Identifier: BSD-3-Clause
"""What a server's configuration says, where this user may read it."""

from collections.abc import Iterator
from typing import Optional

import ldap

from ..entries import dn
from ..protocol.wire import SearchEntry
from .session import Session
from .syncprov import LOST

_SERVICES = "(&(objectClass=ldapSubEntry)(objectClass=cosSuperDefinition))"
_MOST = 1000


def overlays(session: Session) -> Optional[frozenset[str]]:
    """Return the names of slapd's overlays; None if this user can't read them.

    Raises:
        ldap.LDAPError: the connection is lost, or there was no answer in time.
    """
    found = _search(session, "cn=config", "(olcOverlay=*)", "olcOverlay")
    names = [value for entry in found for value in _values(entry)]  # "{1}refint"
    return frozenset(each.rpartition("}")[2] for each in names) if names else None


def has_session_log(session: Session, suffix: str) -> Optional[bool]:
    """Return whether slapd's overlay syncprov has a session log; None if this user can't read it.

    Args:
        session: with the server.
        suffix: of the database.

    Raises:
        ldap.LDAPError: the connection is lost, or there was no answer in time.
    """
    for database in _search(session, "cn=config", "(olcSuffix=*)", "olcSuffix"):
        if dn.key(suffix) in map(dn.key, _values(database)):
            found = _search(
                session, database.dn, "(objectClass=olcSyncProvConfig)", "olcSpSessionlog"
            )
            return any(value != "0" for entry in found for value in _values(entry))
    return None


def class_of_service(session: Session, suffix: str) -> tuple[str, ...]:
    """Return the attributes that 389-ds makes up, as far as this user may see what defines them.

    Raises:
        ldap.LDAPError: the connection is lost, or there was no answer in time.
    """
    found = _search(session, suffix, _SERVICES, "cosAttribute")
    words = (value.split() for entry in found for value in _values(entry))  # "mail override"
    return tuple(sorted({each[0] for each in words if each}))


def _search(session: Session, base: str, filter: str, attribute: str) -> Iterator[SearchEntry]:
    """Yield the entries that are found, with one attribute; none if they may not be read."""
    what = f"a search for {attribute} below {base!r}"
    try:
        yield from session.entries(base, filter, [attribute], what, sizelimit=_MOST)
    except ldap.LDAPError as error:
        if isinstance(error, LOST):
            raise


def _values(entry: SearchEntry) -> Iterator[str]:
    for values in entry.attrs.values():
        yield from (value.decode(errors="replace") for value in values)
