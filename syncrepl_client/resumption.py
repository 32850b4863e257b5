# SPDX-License-Identifier: BSD-3-Clause
"""Whether a stored cookie may be used.

Servers take many a cookie without a word, and leave changes out: what they don't check is
checked here.  A search without a cookie is always right, and reports only what differs.
"""

import math
from typing import Optional

from . import cookie
from .network.server import ServerFacts
from .store.base import Origin
from .url import SearchUrl


def doubt(origin: Origin, facts: ServerFacts, url: SearchUrl, trusted: bool) -> Optional[str]:
    """Return why the stored cookie must not be used, in words; None if it may.

    Args:
        origin: of the store; without a cookie there is nothing to doubt.
        facts: of the server that is to be searched.
        url: of the search.
        trusted: whether the store's entries are those of the cookie.
    """
    if origin.cookie is None:
        return None
    kind = facts.dialect
    if not trusted:
        return "the data store was not closed in order"
    if origin.dialect != kind.name:
        return f"it was made by a server of another kind ({origin.dialect}, now {kind.name})"
    if kind.resume_misses_leavers and not url.matches_all:
        return f"{kind.name} does not tell on resume which entries left the filter {url.filter}"
    if _differ(origin.identity, facts.identity):
        # What we may see may differ with who we are; OpenLDAP resumes all the same.
        return f"the server takes us for {facts.identity!r}, not {origin.identity!r} as before"
    if _differ(origin.epoch, facts.epoch):
        # Stopped in order, 389-ds may end before its changelog has the last changes.
        return f"the server was restarted ({facts.epoch}, before that {origin.epoch})"
    return _changelog_doubt(origin.cookie, facts) if kind.numbers_changes else None


def reconcile_in(origin: Origin, every: Optional[float], now: float) -> float:
    """Return the seconds until a search should start over, for all that resumes leave out.

    Args:
        origin: of the store; without a cookie the next search starts over anyway.
        every: so many seconds after the last time; None for never.
        now: by ``time.time()``.  A last time that lies ahead is no reason to wait for it.
    """
    if every is None or origin.cookie is None:
        return math.inf
    last = origin.reconciled
    return 0.0 if last is None or last > now else max(0.0, last + every - now)


def _differ(before: Optional[str], now: Optional[str]) -> bool:
    return before is not None and now is not None and before != now


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
