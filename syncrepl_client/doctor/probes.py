# SPDX-License-Identifier: BSD-3-Clause
"""Searches that are started to see how a server answers, and ended as soon as that is clear."""

import contextlib
import time
from collections.abc import Iterator
from contextlib import closing
from enum import Enum
from itertools import islice
from typing import Callable, NamedTuple, Optional

import ldap

from ..entries import dn
from ..modes import SyncreplMode
from ..network.connection import Connection
from ..network.pages import PagedSearch
from ..network.server import ServerFacts
from ..protocol.messages import Done, Entry, IdSet, Message, PhaseEnd, State

_CANCEL_SECONDS = 2.0
_MOST_MESSAGES = 64
"""A resume from just before the last change that sends so many entries sends all."""


class Resume(Enum):
    """How a server resumes from a cookie."""

    DELETES = "delete phase"
    """It names deleted entries."""
    PRESENT = "present phase"
    """It names all entries that are present."""
    RELOAD = "reload"
    """It sends all entries again."""
    UNKNOWN = "unknown"
    """Its answer does not tell."""


def first_message(connection: Connection, facts: ServerFacts, seconds: float) -> Optional[Message]:
    """Start a refresh without a cookie; return the first message, or None if none came in time.

    Raises:
        ServerError, ldap.LDAPError: the server refuses, or the connection is lost.
    """
    connection.search(SyncreplMode.REFRESH_ONLY, None)
    try:
        return _next(connection, time.monotonic() + seconds)
    finally:
        connection.end_search(_CANCEL_SECONDS, cancel=facts.cancels)


def resume(connection: Connection, facts: ServerFacts, cookie: bytes, seconds: float) -> Resume:
    """Resume from *cookie*, which is just before the last change; return how the server resumes.

    Raises:
        ServerError, ldap.LDAPError: the server refuses, or the connection is lost.
    """
    connection.search(SyncreplMode.REFRESH_ONLY, cookie, facts.dialect.refusal)
    deadline = time.monotonic() + seconds
    try:
        for _ in range(_MOST_MESSAGES):
            message = _next(connection, deadline)
            if not isinstance(message, Entry):
                return _judged(message)
        return Resume.RELOAD
    finally:
        connection.end_search(_CANCEL_SECONDS, cancel=facts.cancels)


class Persist(Enum):
    """What the persist stage sends, compared with an ordinary search of the same user."""

    MORE = "more"
    """Entries or attributes that the search does not show."""
    SAME = "same"
    """Nothing but what the search shows."""
    UNKNOWN = "unknown"
    """No entry changed meanwhile."""


def persist_stage(connection: Connection, seconds: float) -> Persist:
    """Wait for changes, and compare what the persist stage sends with what a search shows.

    The first search, of the base alone, is for a cookie: so the second one begins with no entry
    that did not change.

    Raises:
        ServerError, ldap.LDAPError: the server refuses, or the connection is lost.
    """
    cookie: Optional[bytes] = None
    deadline = time.monotonic() + seconds
    found = Persist.UNKNOWN
    for message in _answers(connection, ldap.SCOPE_BASE, SyncreplMode.REFRESH_ONLY, None, deadline):
        if isinstance(message, Done) and message.control is not None:
            cookie = message.control.cookie
    persists, scope = False, connection.url.scope
    mode = SyncreplMode.REFRESH_AND_PERSIST
    for message in _answers(connection, scope, mode, cookie, deadline) if cookie else ():
        persists = persists or isinstance(message, PhaseEnd)
        if persists and isinstance(message, Entry) and message.state is not State.DELETE:
            found = Persist.SAME
            if not _shows(connection, message):
                return Persist.MORE
    return found


def _answers(
    connection: Connection,
    scope: int,
    mode: SyncreplMode,
    cookie: Optional[bytes],
    deadline: float,
) -> Iterator[Message]:
    """Yield the messages of a search for all user attributes until it is over, or *deadline*."""
    url, conn = connection.url, connection.ldap
    search = conn.syncrepl_search(url.base, scope, mode, cookie, filterstr=url.filter)
    try:
        while time.monotonic() < deadline:
            message = conn.syncrepl_message(search)
            if message is None:
                connection.listen(deadline)
            else:
                yield message
            if isinstance(message, Done):
                return
    finally:
        conn.abandon(search)


def _shows(connection: Connection, entry: Entry) -> bool:
    """Return True if an ordinary search shows all attributes of *entry*, or it is gone by now."""
    found = None
    with contextlib.suppress(ldap.NO_SUCH_OBJECT, ldap.INSUFFICIENT_ACCESS):
        found = connection.find(entry.dn, connection.url.filter, ["*"])
    return found is not None and entry.attrs.keys() <= found.attrs.keys()


def _judged(message: Optional[Message]) -> Resume:
    if isinstance(message, Done):
        message = None if message.control is None else PhaseEnd(message.control.deletes)
    if isinstance(message, (IdSet, PhaseEnd)):
        return Resume.DELETES if message.deletes else Resume.PRESENT
    return Resume.UNKNOWN


def _next(connection: Connection, deadline: float) -> Optional[Message]:
    while True:
        message = connection.receive()
        if message is not None or time.monotonic() >= deadline:
            return message
        connection.listen(deadline)


def missing(
    connection: Connection, facts: ServerFacts, most: int, seconds: float
) -> Optional[list[str]]:
    """Return the DNs that an ordinary search finds and a refresh does not have, shallowest first.

    Both searches are sent twice: what is changed meanwhile is not missing.

    Args:
        connection: its URL should request no attributes.
        facts: about its server.
        most: with more entries, nothing is compared.
        seconds: how long the server may take for each message.

    Returns:
        None if there are more than *most* entries, or the answer is not whole.

    Raises:
        ServerError, ldap.LDAPError: the server refuses, or the connection is lost.
    """
    lacking: Optional[dict[bytes, str]] = None
    while lacking is None or lacking:
        found, told = _found(connection, most, seconds), _told(connection, facts, most, seconds)
        if found is None or told is None:
            return None
        absent = {key: name for key, name in found.items() if key not in told}
        if lacking is not None:
            return [absent[key] for key in sorted(absent, key=len) if key in lacking]
        lacking = absent
    return []


def _found(connection: Connection, most: int, seconds: float) -> Optional[dict[bytes, str]]:
    names: dict[bytes, str] = {}
    counted = count(connection, most, seconds, lambda name: names.setdefault(dn.key(name), name))
    return names if counted.whole else None


def _told(
    connection: Connection, facts: ServerFacts, most: int, seconds: float
) -> Optional[set[bytes]]:
    races = facts.dialect.refresh_only_races
    mode = SyncreplMode.REFRESH_AND_PERSIST if races else SyncreplMode.REFRESH_ONLY
    connection.search(mode, None)
    told: set[bytes] = set()
    try:
        while len(told) <= most:
            message = _next(connection, time.monotonic() + seconds)
            if isinstance(message, Entry):
                told.add(dn.key(message.dn))
            elif isinstance(message, Done) or (isinstance(message, PhaseEnd) and message.done):
                return told
            elif message is None:
                return None
        return None
    finally:
        connection.end_search(_CANCEL_SECONDS, cancel=facts.cancels)


class Count(NamedTuple):
    """The result of an ordinary search.

    Attributes:
        entries: how many entries came.
        whole: whether that is the whole answer.
        error: the error that ended it; None also if it was abandoned.
    """

    entries: int
    whole: bool = False
    error: Optional[ldap.LDAPError] = None


def count(
    connection: Connection,
    most: int,
    seconds: float,
    hear: Callable[[str], object] = lambda name: None,
) -> Count:
    """Search with the connection's URL until *most* entries have come.

    Args:
        connection: its URL should request no attributes.
        most: how many entries are enough.
        seconds: how long the server may take for each.
        hear: called with each DN.

    Raises:
        ldap.LDAPError: the connection is lost, or silent; exceeded limits are in the result.
    """
    url = connection.url
    message = connection.send(url.base, url.scope, url.filter, url.attributes)
    entries, deadline = 0, time.monotonic() + seconds
    while entries < most:
        try:
            raw = connection.next(message)
        except (
            ldap.SIZELIMIT_EXCEEDED,
            ldap.ADMINLIMIT_EXCEEDED,
            ldap.TIMELIMIT_EXCEEDED,
        ) as error:
            return Count(entries, error=error)
        if raw is None:
            if time.monotonic() >= deadline:
                raise connection.timed_out(f"the search below {url.base!r}")
            connection.listen(deadline)
            continue
        deadline = time.monotonic() + seconds
        if raw.type == ldap.RES_SEARCH_RESULT:
            return Count(entries, whole=True)
        if raw.type == ldap.RES_SEARCH_ENTRY:
            entries += 1
            hear(raw.data[0][0])
    connection.ldap.abandon(message)
    return Count(entries)


def count_by_pages(connection: Connection, most: int, size: int) -> Count:
    """The same as :func:`count`, page by page (RFC 2696), as ``verify()`` does.

    Raises:
        PagingUnsupported: the server does not support paged results.
        ldap.LDAPError: the connection is lost, or silent; exceeded limits are in the result.
    """
    entries = 0
    with closing(PagedSearch(connection).pages(size)) as pages:
        try:
            for _ in islice(pages, most):
                entries += 1
        except (ldap.SIZELIMIT_EXCEEDED, ldap.ADMINLIMIT_EXCEEDED) as error:
            return Count(entries, error=error)
    return Count(entries, whole=entries < most)
