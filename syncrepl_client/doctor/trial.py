# SPDX-License-Identifier: BSD-3-Clause
"""Searches that are begun to see how a server answers, and given up as soon as that is clear."""

import time
from contextlib import closing
from enum import Enum
from itertools import islice
from typing import NamedTuple, Optional

import ldap

from ..messages import Done, Entry, IdSet, Message, PhaseEnd
from ..modes import SyncreplMode
from ..network.connection import Connection
from ..network.ordinary import OrdinarySearch
from ..network.server import ServerFacts

_CANCEL_SECONDS = 2.0
_MOST_MESSAGES = 64
"""A resume from just before the last change that has sent so many entries sends them all."""


class Resume(Enum):
    """How a server resumes."""

    DELETES = "delete phase"
    """It names what was deleted."""
    PRESENT = "present phase"
    """It names everything that is still there."""
    RELOAD = "reload"
    """It sends everything again."""
    UNKNOWN = "unknown"
    """It did not say."""


def first_message(connection: Connection, facts: ServerFacts, seconds: float) -> Optional[Message]:
    """Begin a refresh without a cookie; return the first message, or None if none comes in time.

    Raises:
        ServerError, ldap.LDAPError: the server refuses, or the connection is lost.
    """
    connection.search(SyncreplMode.REFRESH_ONLY, None)
    try:
        return _next(connection, time.monotonic() + seconds)
    finally:
        connection.end_search(_CANCEL_SECONDS, cancel=facts.cancels)


def resume(connection: Connection, facts: ServerFacts, cookie: bytes, seconds: float) -> Resume:
    """Begin a refresh from *cookie* on, of just before the last change; return how it goes.

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


class Count(NamedTuple):
    """How an ordinary search ended.

    Attributes:
        entries: how many came.
        whole: whether that is the whole answer.
        error: what ended it too early; None also where it was given up.
    """

    entries: int
    whole: bool = False
    error: Optional[ldap.LDAPError] = None


def count(connection: Connection, most: int, seconds: float) -> Count:
    """Search as the connection's URL says, until *most* entries have come.

    Args:
        connection: its URL asks for no attributes, or much is sent.
        most: how many entries are enough.
        seconds: how long the server may take for each.

    Raises:
        ldap.LDAPError: the connection is lost, or silent; limits are in the answer.
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
        entries += raw.type == ldap.RES_SEARCH_ENTRY
    connection.ldap.abandon(message)
    return Count(entries)


def count_by_pages(connection: Connection, most: int, size: int) -> Count:
    """Do the same page by page (RFC 2696), as ``verify()`` does.

    Raises:
        PagingUnsupported: the server has no paged results.
        ldap.LDAPError: the connection is lost, or silent; limits are in the answer.
    """
    entries = 0
    with closing(OrdinarySearch(connection).pages(size)) as pages:
        try:
            for _ in islice(pages, most):
                entries += 1
        except (ldap.SIZELIMIT_EXCEEDED, ldap.ADMINLIMIT_EXCEEDED) as error:
            return Count(entries, error=error)
    return Count(entries, whole=entries < most)
