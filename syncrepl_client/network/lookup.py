# SPDX-License-Identifier: BSD-3-Clause
"""Ordinary searches that complete a refresh of OpenLDAP's (see :mod:`..engine.missed`)."""

import logging
import time
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Callable, NamedTuple
from uuid import UUID

import ldap

from ..protocol import knowledge, wire
from ..protocol.knowledge import Knowledge
from ..protocol.messages import Entry, State
from ..protocol.wire import SearchEntry
from . import transport
from .connection import Connection
from .session import Session
from .syncprov import LOST

logger = logging.getLogger(__name__)

PORTION = 100
"""The number of entries that are searched for at once."""

_UUID, _CSN, _CONTEXT = "entryUUID", "entryCSN", "contextCSN"


class Container(NamedTuple):
    """An entry that has others below it."""

    uuid: bytes
    dn: str


async def known_changes(
    connection: Connection, suffix: str, check: Callable[[], None]
) -> Knowledge:
    """Return which changes the database of *suffix* has; nothing if contextCSN can't be read.

    Nobody waits in a thread for it, as each refresh asks.

    Args:
        connection: to the server.
        suffix: DN of its naming context.
        check: called before each wait; may raise an exception to end it.

    Raises:
        ldap.LDAPError: the connection is lost, or the server is silent.
    """
    number = connection.send(suffix, ldap.SCOPE_BASE, "(objectClass=*)", [_CONTEXT])
    deadline = time.monotonic() + transport.ANSWER_SECONDS
    values: Sequence[bytes] = ()
    while time.monotonic() < deadline:
        try:
            raw = connection.next(number)
        except LOST:
            raise
        except ldap.LDAPError as error:
            logger.debug("%s of %r: %s", _CONTEXT, suffix, error, extra={"event": "refusal"})
            return Knowledge()
        if raw is None:
            check()
            await connection.listen_or_wake(deadline)
        elif raw.type == ldap.RES_SEARCH_ENTRY:
            values = wire.search_entry(raw).attrs.get(_CONTEXT, ())
        elif raw.type == ldap.RES_SEARCH_RESULT:
            return knowledge.of_csns(values)
    raise connection.timed_out(f"the reading of {suffix!r}")


def changed_containers(session: Session, before: Knowledge) -> list[Container]:
    """Return the containers in the search base that were changed after *before*.

    Raises:
        ldap.LDAPError: the connection is lost, or the server is silent.
    """
    wanted = f"(&(hasSubordinates=TRUE)({_CSN}>={min(before.changes.values())}))"
    found = _search(session, session.url.base, ldap.SCOPE_SUBTREE, wanted, (_UUID, _CSN))
    return [Container(uuid, entry.dn) for uuid, entry in found if _is_newer(entry, before)]


class Listing:
    """The UUIDs of the entries at and below a container that are part of the answer."""

    def __init__(self, session: Session, container: Container) -> None:
        """Initialize; nothing is sent yet."""
        scope = ldap.SCOPE_SUBTREE
        self._found = _search(session, container.dn, scope, session.url.filter, (_UUID,))

    def portion(self) -> Sequence[bytes]:
        """Return the next ones; none at the end.

        Raises:
            ldap.LDAPError: the connection is lost, or the server is silent.
        """
        return [uuid for uuid, _ in islice(self._found, PORTION)]


class Found(NamedTuple):
    """An entry, as if the search had sent it, and whether it was changed meanwhile."""

    entry: Entry
    changed: bool


def entries(session: Session, uuids: Collection[bytes], before: Knowledge) -> list[Found]:
    """Return those of *uuids* that are part of the answer, and which were changed after *before*.

    Raises:
        ldap.LDAPError: the connection is lost, or the server is silent.
    """
    names = (*(session.url.attributes or ("*",)), _UUID, _CSN)
    return [
        Found(Entry(State.ADD, uuid, entry.dn, entry.attrs), _is_newer(entry, before))
        for uuid, entry in _of_answer(session, uuids, names)
    ]


def existing(session: Session, uuids: Collection[bytes]) -> list[bytes]:
    """Return those of *uuids* that are part of the answer.

    Raises:
        ldap.LDAPError: the connection is lost, or the server is silent.
    """
    return [uuid for uuid, _ in _of_answer(session, uuids, (_UUID,))]


def _is_newer(entry: SearchEntry, before: Knowledge) -> bool:
    return bool(knowledge.missing(knowledge.of_csns(entry.attrs.get(_CSN, ())), before))


def _of_answer(
    session: Session, uuids: Collection[bytes], names: Sequence[str]
) -> Iterator[tuple[bytes, SearchEntry]]:
    url = session.url
    wanted = "".join(f"({_UUID}={UUID(bytes=each)})" for each in uuids)
    return _search(session, url.base, url.scope, f"(&(|{wanted}){url.filter})", names)


def _search(
    session: Session, base: str, scope: int, filter: str, names: Sequence[str]
) -> Iterator[tuple[bytes, SearchEntry]]:
    """Yield what is found, by UUID, as far as this user may see that; nothing if it is refused."""
    try:
        what = f"a search below {base!r}"
        for entry in session.entries(base, filter, names, what, scope=scope, patient=True):
            try:
                yield UUID(entry.attrs[_UUID][0].decode()).bytes, entry
            except (KeyError, ValueError):
                continue
    except ldap.NO_SUCH_OBJECT:
        return
    except LOST:
        raise
    except ldap.LDAPError as error:
        logger.warning(
            "%s: whether the refresh missed anything that moved meanwhile can't be seen: %s; let "
            "this user search for hasSubordinates, entryCSN and entryUUID",
            session.url.server,
            error,
            extra={"event": "unchecked"},
        )
