# SPDX-License-Identifier: BSD-3-Clause
"""How far a store is behind its server: compares its cookie with the server's state.

OpenLDAP: compares the CSNs in the cookie, one per server ID, with the contextCSN of the suffix.
389-ds: compares the change number in the cookie with lastChangeNumber in the root DSE.  Entries are
not compared; :mod:`.verification` does that.
"""

import time
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime, timezone
from typing import Callable, NamedTuple, Optional

from ..network import server, syncprov
from ..network.connection import Connection
from ..network.connector import Connector
from ..network.server import ServerFacts
from ..protocol import cookie, csn, knowledge
from ..protocol.dialect import DS389, OPENLDAP
from ..store import Origin
from . import resumption

_READ_AGAIN_SECONDS = 0.2


class Mark(NamedTuple):
    """The last change made on one of several servers that replicate each other.

    Attributes:
        sid: the server ID, as in CSNs: three hexadecimal digits.
        stored: when the last change in the store was made; None: there is none.
        there: when the last change on the server that was asked was made; None: there is none.
        behind: whether that server has a later change than the store.
        ahead: whether the store has a later change than that server.
    """

    sid: str
    stored: Optional[datetime]
    there: Optional[datetime]
    behind: bool
    ahead: bool


class Lag(NamedTuple):
    """The comparison of a store and its server.

    Attributes:
        server: the server that was asked.
        kind: name of its dialect.
        in_step: whether the store has all changes of the server; None if unknown.
        seconds: between the last change in the store and the last one on the server, or since the
            latter, whichever is more; 0.0 in step.  None if unknown.
        changes: how many changes the server's changelog is ahead; None if it has no numbers.
        marks: the comparison for each server ID; empty if there are no CSNs.
        ahead: whether the store has changes that the server does not have: it was restored from a
            backup, or replicates late.
        reason: why the comparison is unknown; None if it is not.
        doubt: why a client that starts now would search without a cookie; None if it would not.
        lacks: which changes of the store the server lacks, so that a client that starts now would
            wait; None if none, or unknown.
        misconfigured: why the server omits changes as it is configured; None if it does not.
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
    lacks: Optional[str] = None
    misconfigured: Optional[str] = None


def measure(connector: Connector, read: Callable[[], Origin], patience: float = 0.0) -> Lag:
    """Compare a store with its server.

    Args:
        connector: makes the connection, to the first server that accepts it.
        read: returns the store's current origin.
        patience: how many seconds a running client may take to catch up with the server's state at
            the time of the call.

    Raises:
        Exception: as ``connector.connect()`` and *read*.
        ldap.LDAPError: the connection was lost, or there was no answer in time.
    """
    before = read()
    with closing(connector.connect()) as connection:
        compare = _comparison(connection)
        first = compare(before)
        put_back = first.ahead or first.lacks is not None
        deadline = time.monotonic() + patience
        while True:
            lag = compare(read())
            if not put_back:  # a client at work has gone on since the server was asked
                lag = _without_ahead(lag)
            if lag.in_step is not False or time.monotonic() >= deadline:
                return lag
            connection.listen(min(deadline, time.monotonic() + _READ_AGAIN_SECONDS))


def _without_ahead(found: Lag) -> Lag:
    marks = tuple(mark._replace(ahead=False) for mark in found.marks)
    return found._replace(marks=marks, ahead=False, lacks=None)


def _comparison(connection: Connection) -> Callable[[Origin], Lag]:
    """Return a function that compares an origin with the server's state at this time."""
    root_dse = server.read_root_dse(connection)
    facts = server.facts(connection, connection.url, root_dse)
    csns = [value.encode() for value in facts.knows.changes.values()]
    wrong: Optional[str] = None
    if facts.dialect is OPENLDAP:
        wrong = syncprov.glue_fault(connection, connection.url.base, facts.suffix)

    def compare(origin: Origin) -> Lag:
        now = datetime.now(timezone.utc)
        doubt = resumption.doubt(origin, facts, connection.url, True, now.timestamp())
        stored = resumption.knowledge_of(origin, facts.dialect, connection.url)
        blank = Lag(
            connection.url.server,
            facts.dialect.name,
            doubt=doubt,
            lacks=knowledge.shortfall(stored, facts.knows),
            misconfigured=wrong,
        )
        if origin.cookie is None:
            why = "the store has no cookie: its first refresh is not done, or it starts over"
            return blank._replace(reason=why)
        if origin.dialect != facts.dialect.name:
            return blank._replace(reason=f"the store's cookie is one of {origin.dialect}")
        if facts.dialect is OPENLDAP:
            return by_csns(blank, origin.cookie, csns, now)
        if facts.dialect is DS389:
            return by_number(blank, origin.cookie, facts)
        return blank._replace(reason="of this kind of server it is not known how to tell")

    return compare


def by_csns(blank: Lag, stored: bytes, there: Iterable[bytes], now: datetime) -> Lag:
    """Return *blank* completed with the comparison of a cookie and the server's contextCSN."""
    ours, theirs = cookie.csns(stored), cookie.by_sid(there)
    if not theirs:
        return blank._replace(reason="the server does not tell its contextCSN")
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


def by_number(blank: Lag, stored: bytes, facts: ServerFacts) -> Lag:
    """Return *blank* completed with the comparison of change numbers."""
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
