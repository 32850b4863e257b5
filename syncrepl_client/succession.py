# SPDX-License-Identifier: BSD-3-Clause
"""The searches of a client, one after another: which comes next, and from which cookie on."""

import logging
import math
import time
from typing import Optional

import ldap

from . import dn, guard
from .attributes import Selection
from .delivery import Delivery
from .exceptions import ProtocolError, SearchEnded
from .modes import SyncreplMode
from .network.link import Link
from .protocol import Request, StartOver
from .resumption import doubt, reconcile_in
from .search import Redo, Search
from .store import Origin
from .url import SearchUrl

logger = logging.getLogger(__name__)

SEARCHES_AGAIN = 10
"""So often in a row a search is sent again for a change that may be lost (389-ds).

The change may be outside the search, as most are on some servers.
"""
START_OVERS = 3
"""So often in a row a refresh starts over before the server is given up."""


class Succession:
    """At most one search at a time.

    Attributes:
        search: the one that goes on; None if there is none.
        refreshed: whether its refresh stage is over.
        reconciling: whether a search without a cookie was asked for, or is due, and has not
            begun yet.
    """

    def __init__(
        self,
        mode: SyncreplMode,
        url: SearchUrl,
        link: Link,
        delivery: Delivery,
        reconcile_every: Optional[float],
        max_deletes: guard.Limit,
    ) -> None:
        """Begin nothing yet.

        Args:
            mode: whether to end after the refresh, or to go on.
            url: what is searched for.
            link: to the servers.
            delivery: of what the searches find.
            reconcile_every: seconds between searches without a cookie; None: as the server
                needs it.
            max_deletes: how much a refresh may delete.
        """
        self.search: Optional[Search] = None
        self.refreshed = self.reconciling = False
        self._deletes_allowed = False
        self._start_overs = self._searches_again = 0
        self._mode = mode
        self._url = url
        self._link = link
        self._delivery = delivery
        self._reconcile_every = reconcile_every
        self._max_deletes = max_deletes

    # --- what others ask for

    def allow_deletes(self) -> None:
        """Let the refresh that goes on, or else the next one, delete whatever it has to."""
        self._deletes_allowed = True
        if self.search is not None:
            self.search.sync.allow_deletes()

    def gives_way(self) -> bool:
        """Say whether the search that goes on is in the way of a reconcile."""
        return self.reconciling and self.refreshed

    # --- a search begins

    def begin(self, *, afresh: bool = False, again: int = 0) -> Search:
        """Send the next search.

        Args:
            afresh: without a cookie, whatever there is.
            again: how many there were in a row for a change that may be lost.

        Raises:
            ConfigurationError: the filter is none.
            ldap.LDAPError: it could not be sent.
        """
        origin, facts = self._delivery.origin, self._link.facts
        reconciles = self._reconcile_in() <= 0
        if self.reconciling:  # what is asked for from now on comes after this search
            self.reconciling, reconciles = False, True
        cookie = None if afresh or reconciles or self._doubts_cookie() else origin.cookie
        asked = "no cookie" if cookie is None else f"cookie {cookie!r}"
        self._delivery.debug("searching", f"searching with {asked}")
        request = Request(
            dialect=facts.dialect,
            base=dn.key(self._url.base),
            subtree=self._url.scope == ldap.SCOPE_SUBTREE,
            cookie=cookie,
            selection=Selection(self._url.attributes),
            operational=facts.operational,
            max_deletes=None if self._deletes_allowed else self._max_deletes,
        )
        try:
            self.search = Search(
                self._link.established,
                self._delivery,
                self._wire_mode,
                request,
                watch=again < SEARCHES_AGAIN,
            )
        except BaseException:
            self.reconciling = self.reconciling or reconciles
            raise
        self.search.reconciles = reconciles
        self.refreshed = False
        self._searches_again = again
        return self.search

    @property
    def _wire_mode(self) -> SyncreplMode:
        """What the server is asked for: where its refreshOnly can't be trusted, to go on."""
        races = self._link.facts.dialect.refresh_only_races
        return SyncreplMode.REFRESH_AND_PERSIST if races else self._mode

    def _doubts_cookie(self) -> bool:
        trusted = self._delivery.store.trusted
        reason = doubt(self._delivery.origin, self._link.facts, self._url, trusted)
        if reason is not None:
            self._tell(logging.INFO, "cookie-not-used", f"the stored cookie is not used: {reason}")
        return reason is not None

    # --- a search goes on

    def next_reconcile(self, search: Search) -> Optional[float]:
        """See whether a reconcile is due; return until when, by ``time.monotonic()``, none is."""
        if search.sync.refreshing:
            return None
        seconds = self._reconcile_in()
        if seconds <= 0:
            self.reconciling = True
        return None if math.isinf(seconds) else time.monotonic() + seconds

    def _reconcile_in(self) -> float:
        """Return in how many seconds a search without a cookie is due by the clock."""
        every = self._reconcile_every
        if every is None:
            every = self._link.facts.dialect.reconcile_every
        return reconcile_in(self._delivery.origin, every, time.time())

    def next_origin(self, search: Search, redo: Optional[Redo]) -> Optional[Origin]:
        """Return what the store is the answer to once this batch is in it; None: as before."""
        origin, facts = self._delivery.origin, self._link.facts
        if isinstance(redo, StartOver):
            # What was applied may have removed the signs that more is to come: should the new
            # search be cut short, the one after it must not resume.
            return origin._replace(cookie=None)
        if search.sync.refreshing:
            return None
        return origin._replace(
            cookie=search.sync.cookie,
            dialect=facts.dialect.name,
            url=str(self._url),
            identity=facts.identity,
            epoch=facts.epoch,
            reconciled=time.time() if search.reconciled else origin.reconciled,
        )

    # --- a search ends

    def proceed(self, search: Search, redo: Optional[Redo]) -> bool:
        """See after a batch, which is committed, what comes next; say whether anything does.

        Raises:
            ProtocolError: too many refreshes in a row can't be completed.
            SearchEnded: the server ended a search that was to go on.
            ldap.LDAPError: the next search could not be sent.
        """
        if search.refreshed:
            self.refreshed = True
            self._tell(logging.INFO, "refresh-done", "the refresh is done")
            self._start_overs = 0
            self._deletes_allowed = search.reconciles = False
            self._link.forget_changelog()
        if isinstance(redo, StartOver):
            self._start_over(redo)
        elif redo is not None:
            self._search_again(redo.reason)
        elif search.ended or (
            self._mode is SyncreplMode.REFRESH_ONLY and not search.sync.refreshing
        ):
            return self._ended(search)
        elif self.reconciling and not search.sync.refreshing:
            self.end(0)
        return True

    def _start_over(self, start_over: StartOver) -> None:
        reason, where = start_over.reason, self._link.established.url.server
        self._start_overs += 1
        if self._start_overs > START_OVERS:
            raise ProtocolError(
                f"the answer of {where} can't be completed: {reason}, "
                f"and that {START_OVERS} times in a row"
            )
        level = logging.WARNING if start_over.alarming else logging.INFO
        said = f"{where}: starting over without a cookie: {reason}"
        self._tell(level, "starting-over", said)
        self.end(0)
        self.begin(afresh=True)

    def _search_again(self, reason: str) -> None:
        self._tell(logging.INFO, "searching-again", f"searching again: {reason}")
        self.end(0)
        self.begin(again=self._searches_again + 1)

    def _ended(self, search: Search) -> bool:
        """The server ended the search, or there is nothing more to be had from it."""
        if self._mode is SyncreplMode.REFRESH_AND_PERSIST and self._link.reconnects:
            server = self._link.established.url.server
            raise SearchEnded(f"the server at {server} ended the search")
        search.end(0, cancel=False)
        if self.reconciling:
            self.search = None
        return self.reconciling

    def end(self, seconds: float) -> None:
        """End the search that goes on, if there is one.

        Args:
            seconds: how long a server that knows Cancel may take to answer it; 0 abandons.
        """
        search, self.search = self.search, None
        if search is not None:
            if search.reconciles:
                self.reconciling = True  # as it came to nothing
            search.end(seconds, cancel=self._link.facts.cancels)

    def _tell(self, level: int, event: str, message: str) -> None:
        logger.log(level, "%s", message, extra={"event": event})
        self._delivery.debug(event, message)
