# SPDX-License-Identifier: BSD-3-Clause
"""What OpenLDAP's overlay syncprov says of itself, if it is asked in the right way.

Seen on OpenLDAP 2.5.13, and read in ``servers/slapd/overlays/syncprov.c``.  To a cookie with a CSN
of a server that it knows nothing of, syncprov answers with all entries and its whole contextCSN:
in a search of one entry that is little, and needs no right to read contextCSN.  How that answer
ends says whether a present phase is left out (``syncprov-nopresent``).
"""

from collections.abc import Collection, Iterator
from typing import Optional

import ldap
from ldap.controls import RequestControl

from ..entries import dn
from ..modes import SyncreplMode
from ..protocol import cookie, wire
from ..protocol.messages import Done, Entry, Message, PhaseEnd, SyncDone
from .session import Session

STRANGER = b"rid=000,csn=20000101000000.000000Z#000000#ffe#000000"
"""A cookie of a server that nobody has."""
_ANCIENT = b"19700101000000.000000Z#000000#%s#000000"
LOST = (ldap.SERVER_DOWN, ldap.CONNECT_ERROR, ldap.TIMEOUT)
"""Errors that are not the server's answer."""
_HELD = "(contextCSN=*)"
_SECONDS = 2
"""So long a server may look for contextCSNs: there is no index for that."""
_MOST = 20


class Provider:
    """What the overlay says.

    Attributes:
        csns: its contextCSN; empty where it has none, or did not answer.
        sid: the ID of its server, three hexadecimal digits.
        tells_deletes: whether a resume tells what was deleted.  It does not with
            ``syncprov-nopresent`` and no session log.
    """

    def __init__(
        self, csns: Collection[bytes] = (), sid: bytes = b"000", *, tells_deletes: bool = True
    ) -> None:
        """Initialize; by default, from no answer."""
        self.csns = csns
        self.sid = sid
        self.tells_deletes = tells_deletes


def ask(session: Session, base: str) -> Provider:
    """Ask the overlay that serves *base*.

    Raises:
        ldap.LDAPError: the connection is lost, or there was no answer in time.
    """
    answer = _end_of_refresh(session, base, STRANGER)
    if answer is None or answer.cookie is None:
        return Provider()
    csns = cookie.csns(answer.cookie)
    tells = not answer.deletes
    if answer.deletes and csns:
        # No present phase then; a session log has one for who was away for too long for it.
        ancient = b";".join(_ANCIENT % sid for sid in sorted(csns))
        again = _end_of_refresh(session, base, b"rid=000,csn=" + ancient)
        tells = again is None or not again.deletes
    return Provider(csns.values(), cookie.sid(answer.cookie) or b"000", tells_deletes=tells)


def serves(session: Session, base: str) -> bool:
    """Say whether content synchronization searches of *base* are answered.

    Raises:
        ldap.LDAPError: the connection is lost, or there was no answer in time.
    """
    return _end_of_refresh(session, base, STRANGER) is not None


def _end_of_refresh(session: Session, base: str, sent: bytes) -> Optional[SyncDone]:
    """Return how a refresh of the entry *base* ends; None for an error."""
    end: Optional[SyncDone] = None
    try:
        for message in _messages(session, base, ldap.SCOPE_BASE, "(objectClass=*)", sent):
            if isinstance(message, Done):
                end = message.control
    except ldap.LDAPError as error:
        if isinstance(error, LOST):
            raise
    return end


def _messages(
    session: Session,
    base: str,
    scope: int,
    filter: str,
    sent: Optional[bytes],
    mode: SyncreplMode = SyncreplMode.REFRESH_ONLY,
) -> Iterator[Message]:
    control = RequestControl(wire.SYNC_REQUEST, True, wire.sync_request(mode, sent))
    number = session.send(base, scope, filter, ["1.1"], [control])
    try:
        for raw in session.answers(number, f"content synchronization of {base!r}"):
            message = wire.decode(raw)
            if message is not None:
                yield message
    except GeneratorExit:  # the search goes on
        session.ldap.abandon(number)
        raise


# --- databases that are glued together


def glue_fault(session: Session, base: str, suffix: str) -> Optional[str]:
    """Return what is wrong with databases that are glued together, in words; None for nothing.

    With the overlay glue below syncprov, which must be written down for that, one syncprov serves
    the superior database and its subordinates.  A subordinate is found by its contextCSN, which it
    may also have from the time before, or from ``slapadd -w``.

    Args:
        session: with the server.
        base: of what is followed.
        suffix: of the superior database.

    Raises:
        ldap.LDAPError: the connection is lost, or there was no answer in time.
    """
    here, top = dn.key(base), dn.key(suffix)
    held = {dn.key(name): name for name in _holders(session, suffix)}
    related = [key for key in held if key != top and (key.startswith(here) or here.startswith(key))]
    if not related:
        return None
    told = {dn.key(name) for name in _told(session, suffix)}
    for key in related:
        name = held[key]
        if key in told and serves(session, name):
            return (
                f"both {suffix} and {name}, which is glued to it, have an overlay syncprov: the "
                "changes of the one are not told, and deletes of the other may be lost"
            )
        if key not in told and key != here and key.startswith(here):
            return f"a refresh lacks all entries from {name} on, which is glued to {suffix}"
    return None


def _holders(session: Session, suffix: str) -> Iterator[str]:
    """Yield the DNs of the entries that have a contextCSN, as far as they are found in time."""
    what = f"a search for contextCSN below {suffix!r}"
    found = session.entries(suffix, _HELD, ["1.1"], what, sizelimit=_MOST, timelimit=_SECONDS)
    try:
        for entry in found:
            yield entry.dn
    except ldap.LDAPError as error:
        if isinstance(error, LOST):
            raise


def _told(session: Session, suffix: str) -> Iterator[str]:
    """Yield the DNs of those that a refresh has; in refreshOnly newer ones would be missing."""
    mode = SyncreplMode.REFRESH_AND_PERSIST
    try:
        for message in _messages(session, suffix, ldap.SCOPE_SUBTREE, _HELD, None, mode):
            if isinstance(message, Entry):
                yield message.dn
            elif isinstance(message, PhaseEnd) and message.done:
                return
    except ldap.LDAPError as error:
        if isinstance(error, LOST):
            raise
