# SPDX-License-Identifier: BSD-3-Clause
"""How far is a store behind its server?  Its cookie is compared with what the server says now.

OpenLDAP: the CSNs in the cookie, one for each server id, with the contextCSN of the suffix.
389-ds: the number of the cookie's change with lastChangeNumber in the root DSE.  No entry is
looked at; :mod:`.verification` does that.
"""

import time
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime, timezone
from typing import Callable, NamedTuple, Optional

from . import cookie, csn, resumption
from .dialect import DS389, OPENLDAP
from .network import server
from .network.connection import Connection
from .network.opener import Opener
from .network.server import ServerFacts
from .store import Origin

_READ_AGAIN_SECONDS = 0.2


class Mark(NamedTuple):
    """The last change that was made on one of the servers that replicate from one another.

    Attributes:
        sid: the id of that server, as CSNs have it: three hexadecimal digits.
        stored: when the last change was made that the store knows of; None: it knows of none.
        there: when the last change was made that the server knows of; None likewise.
        behind: whether the server knows of a later one.
        ahead: whether the store does.
    """

    sid: str
    stored: Optional[datetime]
    there: Optional[datetime]
    behind: bool
    ahead: bool


class Standing(NamedTuple):
    """How a store and its server compare.

    Attributes:
        server: which server was asked.
        kind: name of its dialect.
        in_step: whether the store knows of all changes there; None if that can't be told.
        seconds: between the last change that the store knows of and the last one there, or since
            the latter, whichever is more; 0.0 in step.  None if that can't be told.
        changes: so many changes further the server's changelog is; None if it has no numbers.
        marks: the comparison for each server id; empty where there are no CSNs.
        ahead: whether the store knows of changes that the server does not know of: it was put
            back in time, or replicates late.
        reason: why it can't be told; None where it can.
        doubt: why a client that starts now would search without a cookie; None if it would not.
    """

    server: str
    kind: str
    in_step: Optional[bool] = None
    seconds: Optional[float] = None
    changes: Optional[int] = None
    marks: "tuple[Mark, ...]" = ()
    ahead: bool = False
    reason: Optional[str] = None
    doubt: Optional[str] = None


def ask(opener: Opener, read: Callable[[], Origin], patience: float = 0.0) -> Standing:
    """Return how a store compares with what its server says now.

    Args:
        opener: makes the connection, to the first of the servers that lets us in.
        read: returns whose answer the store holds, as it is when it is called.
        patience: for so many seconds a client at work may catch up with what the server has
            when it is asked.

    Raises:
        Exception: whatever ``opener.open()`` and *read* raise.
        ldap.LDAPError: the connection was lost, or there was no answer in time.
    """
    before = read()
    with closing(opener.open()) as connection:
        compare = _comparison(connection)
        put_back = compare(before).ahead
        deadline = time.monotonic() + patience
        while True:
            standing = compare(read())
            if not put_back:  # a client at work has gone on since the server was asked
                standing = _without_ahead(standing)
            if standing.in_step is not False or time.monotonic() >= deadline:
                return standing
            connection.listen(min(deadline, time.monotonic() + _READ_AGAIN_SECONDS))


def _without_ahead(standing: Standing) -> Standing:
    marks = tuple(mark._replace(ahead=False) for mark in standing.marks)
    return standing._replace(marks=marks, ahead=False)


def _comparison(connection: Connection) -> Callable[[Origin], Standing]:
    """Return what compares a store with the server as it is now."""
    root_dse = server.read_root_dse(connection)
    facts = server.facts(connection, connection.url, root_dse)
    csns: list[bytes] = []
    if facts.dialect is OPENLDAP:
        suffix = server.suffix_of(connection.url.base, root_dse)
        csns = server.read_entry(connection, suffix, ["contextCSN"]).get("contextcsn", [])

    def compare(origin: Origin) -> Standing:
        doubt = resumption.doubt(origin, facts, connection.url, trusted=True)
        blank = Standing(connection.url.server, facts.dialect.name, doubt=doubt)
        if origin.cookie is None:
            why = "the store has no cookie: its first refresh is not done, or it starts over"
            return blank._replace(reason=why)
        if origin.dialect != facts.dialect.name:
            return blank._replace(reason=f"the store's cookie is one of {origin.dialect}")
        if facts.dialect is OPENLDAP:
            return by_csns(blank, origin.cookie, csns, datetime.now(timezone.utc))
        if facts.dialect is DS389:
            return by_number(blank, origin.cookie, facts)
        return blank._replace(reason="of this kind of server it is not known how to tell")

    return compare


def by_csns(blank: Standing, stored: bytes, there: Iterable[bytes], now: datetime) -> Standing:
    """Return *blank* with the comparison of a cookie and the server's contextCSN filled in."""
    ours, theirs = cookie.csns(stored), cookie.by_sid(there)
    if not theirs:
        return blank._replace(reason="this user can't read the contextCSN of the suffix")
    if not ours:
        return blank._replace(reason="the store's cookie has no CSN")
    marks = tuple(
        _mark(sid, ours.get(sid, b""), theirs.get(sid, b"")) for sid in sorted({*ours, *theirs})
    )
    lags = [_lag(mark, now) for mark in marks if mark.behind]
    known = [lag for lag in lags if lag is not None]
    return blank._replace(
        in_step=not lags,
        seconds=max(known, default=0.0) if len(known) == len(lags) else None,
        marks=marks,
        ahead=any(mark.ahead for mark in marks),
    )


def _mark(sid: bytes, ours: bytes, theirs: bytes) -> Mark:
    return Mark(
        sid.decode(errors="replace"),
        csn.made_at(ours),
        csn.made_at(theirs),
        behind=theirs > ours,
        ahead=ours > theirs,
    )


def _lag(mark: Mark, now: datetime) -> Optional[float]:
    if mark.stored is None or mark.there is None:
        return None
    # Of one change that was missed, long ago, the times of the changes alone would not tell.
    return max(mark.there - mark.stored, now - mark.there).total_seconds()


def by_number(blank: Standing, stored: bytes, facts: ServerFacts) -> Standing:
    """Return *blank* with the comparison of a cookie's change number and the last one filled in."""
    ours, theirs = cookie.change_number(stored), facts.last_change
    if theirs is None:
        return blank._replace(reason="the server's root DSE has no lastChangeNumber")
    if ours is None:
        return blank._replace(reason="the store's cookie has no change number")
    return blank._replace(
        in_step=ours >= theirs,
        seconds=0.0 if ours >= theirs else None,
        changes=max(0, theirs - ours),
        ahead=ours > theirs,
    )
