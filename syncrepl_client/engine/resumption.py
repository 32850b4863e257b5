# SPDX-License-Identifier: BSD-3-Clause
"""Whether a stored cookie may be used.

Servers accept some cookies from which they can't resume, and omit changes.  What they don't check
is checked here.  A search without a cookie is always correct, and reports only what differs.
"""

import math
from typing import Optional

from ..entries.selection import needs_no_names
from ..network.server import ServerFacts
from ..protocol import cookie, knowledge
from ..protocol.dialect import OPENLDAP, OTHER, Dialect, of_cookie
from ..protocol.knowledge import Knowledge
from ..store.base import Origin
from ..url import SearchUrl, parse

CLOCKS_DIFFER_SECONDS = 60.0
"""By so much a server's clock may be ahead of ours."""


def doubt(
    origin: Origin, facts: ServerFacts, url: SearchUrl, trusted: bool, now: float
) -> Optional[str]:
    """Return why the stored cookie must not be used; None if it may be.

    Args:
        origin: of the store; without a cookie there is nothing to doubt.
        facts: of the server that is to be searched.
        url: of the search.
        trusted: whether the store's entries are those of the cookie.
        now: by ``time.time()``.
    """
    if origin.cookie is None:
        return None
    if origin.url is not None and not url.same_search(parse(origin.url)):
        return "it is of another search"
    kind = facts.dialect
    if not trusted:
        return "the data store was not closed in order"
    if facts.proxied:
        return f"there is a proxy before {kind.name}: restarts and lost changes can't be seen"
    # slapd's may go to a server whose root DSE says nothing: another kind of cookie in the answer
    # would be noticed, and nothing of the root DSE is needed.
    unread = kind is OTHER and of_cookie(origin.cookie) is OPENLDAP
    if origin.dialect != kind.name and not unread:
        return f"it was made by a server of another kind ({origin.dialect}, now {kind.name})"
    if kind.resume_misses_leavers and not url.matches_all:
        return f"{kind.name} does not tell on resume which entries left the filter {url.filter}"
    needs_types = kind.resume_ignores_selection and not needs_no_names(url.attributes)
    if needs_types and facts.types is None:
        return f"{kind.name} ignores the attribute list on resume, and its schema can't be read"
    if _differ(origin.identity, facts.identity):
        # What we may see may differ with who we are; OpenLDAP resumes all the same.
        return f"the server takes us for {facts.identity!r}, not {origin.identity!r} as before"
    if _differ(origin.epoch, facts.epoch):
        # Stopped in order, 389-ds may end before its changelog has the last changes.
        return f"the server was restarted ({facts.epoch}, before that {origin.epoch})"
    if not facts.tells_deletes:
        return "the server does not tell on resume what was deleted (syncprov-nopresent, no log)"
    if kind.merges_cookies:
        return _csn_doubt(origin.cookie, facts.sid, now)
    return _changelog_doubt(origin.cookie, facts) if kind.numbers_changes else None


def knowledge_of(origin: Origin, kind: Dialect, url: SearchUrl) -> Knowledge:
    """Return which changes a store knows, for a server of that *kind*.

    Raises:
        StoreInvalid: what it says of that can't be read.
    """
    if origin.dialect != kind.name or origin.url is None or not url.same_search(parse(origin.url)):
        return Knowledge()
    if origin.known is None and kind.merges_cookies:  # a store of an older format
        return knowledge.of_cookie(origin.cookie)
    return Knowledge.parse(origin.known)


def reconcile_in(origin: Origin, every: Optional[float], now: float) -> float:
    """Return the seconds until a search without a cookie is due.

    Args:
        origin: of the store; without a cookie the next search starts over anyway.
        every: the seconds between such searches; None for never.
        now: by ``time.time()``.  A last time in the future is ignored.
    """
    if every is None or origin.cookie is None:
        return math.inf
    last = origin.reconciled
    return 0.0 if last is None or last > now else max(0.0, last + every - now)


def _differ(before: Optional[str], now: Optional[str]) -> bool:
    return before is not None and now is not None and before != now


def _csn_doubt(stored: bytes, sid: Optional[bytes], now: float) -> Optional[str]:
    """A server makes no CSN that is older than its newest; those of others do no harm."""
    newest = cookie.newest_time(stored, sid)
    if newest is None or newest <= now + CLOCKS_DIFFER_SECONDS:
        return None
    return (
        f"it covers a change that is yet to come, in {newest - now:.0f} s: a clock was wrong, and "
        "until then the server may tell a client that resumes of no change"
    )


def _changelog_doubt(stored: bytes, facts: ServerFacts) -> Optional[str]:
    number, first, last = cookie.change_number(stored), facts.first_change, facts.last_change
    if number is None:
        return None  # the server takes none that it can't read
    if last is not None and number > last:
        return f"it covers change {number}, but the changelog ends with {last}: it was reset"
    if first is not None and number < first - 1:
        return f"the changelog begins with {first}, and lacks changes from {number + 1} on"
    if first == 0 and last is not None and number < last:
        return f"the changelog is empty, and lacks changes from {number + 1} on"
    return None
