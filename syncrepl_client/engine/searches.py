# SPDX-License-Identifier: BSD-3-Clause
"""The sequence of searches of a client: which one comes next, and with which cookie."""

import logging
import math
import time
from typing import Optional

from ..entries import dn
from ..exceptions import LaggingServer, ProtocolError, SearchEnded
from ..modes import SyncreplMode
from ..network import server
from ..network.connection import Connection
from ..network.link import Link
from ..network.server import ServerFacts
from ..protocol import guard, knowledge
from ..protocol.dialect import OTHER, Dialect, named, of_cookie
from ..protocol.extent import Extent
from ..protocol.facts import Request, StartOver
from ..protocol.guard import Tally
from ..protocol.knowledge import Knowledge
from ..store import Origin
from ..url import SearchUrl
from ..waiting.coroutines import BlockingCall, ask
from .delivery import Delivery
from .entrycount import EntryCount
from .notices import Notices
from .patience import Patience
from .resumption import doubt, knowledge_of, reconcile_in
from .search import Redo, Search

SEARCHES_AGAIN = 10
"""How often in a row a search is sent again for a change that may be lost (389-ds).

The change may be outside the search, as most are on some servers.
"""
START_OVERS = 3
"""How often in a row a refresh may start over before that is an error."""


class Searches:
    """Starts searches one after the other; at most one is running.

    Attributes:
        search: the running search; None if there is none.
        refreshed: whether its refresh stage is over.
        reconciling: whether a search without a cookie was asked for, or is due, and has not started
            yet.
    """

    def __init__(
        self,
        mode: SyncreplMode,
        url: SearchUrl,
        link: Link,
        delivery: Delivery,
        reconcile_every: Optional[float],
        max_deletes: guard.Limit,
        patience: Patience,
        *,
        trust_persist: bool,
    ) -> None:
        """Initialize without a running search.

        Args:
            mode: whether to end after the refresh, or to go on.
            url: the search.
            link: to the servers.
            delivery: delivers the changes.
            reconcile_every: seconds between searches without a cookie; None: as the server needs
                it.
            max_deletes: how many entries a refresh may delete.
            patience: how long to reject servers that lag.
            trust_persist: whether to deliver entries of the persist stage without reading them
                again, even if the server applies no access control there (389-ds).
        """
        self.search: Optional[Search] = None
        self.refreshed = self.reconciling = False
        self._deletes_allowed = False
        self._start_overs = self._searches_again = 0
        self._mode = mode
        self._url = url
        self._url_text = str(url)
        self._link = link
        self._delivery = delivery
        self._reconcile_every = reconcile_every
        self._max_deletes = max_deletes
        self._patience = patience
        self._set_aside: Optional[bytes] = None  # a cookie that a lagging server had no use for
        self._missed: dict[str, str] = {}  # the CSNs that it did not know
        self._resumable = False
        self._trusts_cookie = True
        self._entry_count = EntryCount(link, delivery.store, url)
        self._imported: Optional[str] = None
        self._other_dialect: Optional[Dialect] = None
        self._trust_persist = trust_persist
        self._notices = Notices(link, delivery)

    # --- requests

    def allow_deletes(self) -> None:
        """Let the current refresh, or else the next one, delete more than ``max_deletes``."""
        self._deletes_allowed = True
        if self.search is not None:
            self.search.sync.allow_deletes()

    def gives_way(self) -> bool:
        """Return True if the running search is to be replaced by a reconcile."""
        return self.reconciling and self.refreshed

    # --- a search begins

    def begin(self, *, afresh: bool = False, again: int = 0) -> Search:
        """Send the next search.

        Args:
            afresh: send it without a cookie in any case.
            again: how often in a row it was sent again for a change that may be lost.

        Raises:
            ConfigurationError: the filter is not valid.
            LaggingServer: the server lacks changes that the store has.
            ldap.LDAPError: it could not be sent.
        """
        facts = self._link.facts
        lacks = self._see_what_it_lacks()
        reconciles = self._reconcile_in() <= 0
        if self.reconciling:  # what is asked for from now on comes after this search
            self.reconciling, reconciles = False, True
        usable = None if lacks else self._usable_cookie()
        self._trusts_cookie = usable is not None
        cookie = None if afresh or reconciles else usable
        asked = "no cookie" if cookie is None else f"cookie {cookie!r}"
        self._delivery.debug("searching", f"searching with {asked}")
        request = Request(
            dialect=self.dialect,
            extent=self._extent(facts),
            cookie=cookie,
            selection=self.dialect.selection(self._url.attributes, facts.types),
            max_deletes=None if self._deletes_allowed else self._max_deletes,
            tally=Tally.parse(self._delivery.origin.tally),
            stored=None if self._patience.exhausted else self._stored,
            doubt=None if self._patience.exhausted else self._doubt,
        )
        try:
            self.search = Search(
                self._link.established,
                self._delivery,
                self._wire_mode,
                request,
                lambda entry: self._notices.not_taken(entry, self.dialect),
                watch=again < SEARCHES_AGAIN,
                suffix=facts.suffix,
                trust_persist=self._trust_persist,
            )
        except BaseException:
            self.reconciling = self.reconciling or reconciles
            raise
        self.search.reconciles = reconciles
        self.refreshed = False
        self._searches_again = again
        return self.search

    def _extent(self, facts: ServerFacts) -> Extent:
        base = dn.key(self._url.base if facts.base is None else facts.base)
        return Extent(base, self._url.scope, self._url.filter).at(facts.dialect)

    @property
    def _wire_mode(self) -> SyncreplMode:
        """The mode to send: refreshAndPersist also where the server's refreshOnly is unreliable."""
        races = self.dialect.refresh_only_races
        return SyncreplMode.REFRESH_AND_PERSIST if races else self._mode

    @property
    def dialect(self) -> Dialect:
        """The server's dialect, by its cookies if they or the root DSE say otherwise."""
        if self._other_dialect is not None:
            return self._other_dialect
        said = self._link.facts.dialect
        return named(self._delivery.origin.dialect) if said is OTHER else said

    def _usable_cookie(self) -> Optional[bytes]:
        origin = self._delivery.origin
        if origin.cookie is None and self._resumable:
            origin = origin._replace(cookie=self._set_aside)
        trusted = self._delivery.store.trusted
        reason = doubt(origin, self._link.facts, self._url, trusted, time.time()) or self._imported
        if reason is not None:
            self._notices.tell(
                logging.INFO, "cookie-not-used", f"the stored cookie is not used: {reason}"
            )
        return origin.cookie if reason is None else None

    # --- servers that lag

    @property
    def _stored(self) -> Knowledge:
        return knowledge_of(self._delivery.origin, self._link.facts.dialect, self._url)

    @property
    def _doubt(self) -> Optional[str]:
        """Why a delete may mean that the server lags, where it doesn't say what it knows."""
        knows = self._link.knows
        unsure = knowledge.doubt(self._stored, knows)
        return self._patience.reason if unsure is None and not knows.changes else unsure

    def _see_what_it_lacks(self) -> Optional[str]:
        """Return what the server lacks of what the store knows, if it is believed all the same.

        Raises:
            LaggingServer: it isn't.
        """
        lacks = knowledge.shortfall(self._stored, self._link.knows)
        if lacks is not None and not self._patience.exhausted:
            raise LaggingServer(lacks)
        doubt, where = self._doubt, self._link.established.url.server
        if lacks is not None:
            said = f"{where}: starting over without a cookie: the server lacks changes of the "
            said += f"store, as if restored from a backup: {lacks}"
            self._notices.tell(logging.WARNING, "restored", said)
        elif doubt is not None and self._patience.exhausted:
            said = f"{where}: deletes are accepted after {self._patience.seconds:g} s: {doubt}"
            self._notices.tell(logging.WARNING, "restored", said)
        return lacks

    def wait_for(self, reason: str) -> float:
        """Give the servers time, as one lags; return the seconds to wait for now.

        The cookie is given up for good: a server that was restored may come to be newer than it,
        and would take it again.
        """
        self._missed.update(knowledge.missing(self._stored, self._link.knows))
        self._set_aside = self._set_aside or self._delivery.origin.cookie
        self._delivery.give_up_cookie()
        return self._patience.lose(reason)

    @property
    def may_be_elsewhere(self) -> bool:
        """Whether what this server does not have may be on another one."""
        return len(self._url.servers) > 1 and not self._patience.exhausted

    async def meet(self, connection: Connection) -> None:
        """Look at a server that was connected to.

        OpenLDAP, after one that lagged: whether it has the changes that that one lacked.  Then that
        one has caught up, or this is another one, and the cookie may be used after all.  389-ds:
        whether there was an import.
        """
        facts = self._link.facts
        self._resumable, self._other_dialect = False, None
        if self._reconcile_every is None:
            self._notices.unreported(facts)
        if not facts.dialect.merges_cookies:
            stored = self._delivery.origin.cookie
            self._imported = await self._entry_count.doubt(stored, self._stored)
            return
        if self._set_aside and self._missed:
            csns = list(self._missed.values())
            call = BlockingCall(server.knows_of, connection, facts.suffix, csns)
            self._resumable = await ask(call)
        if facts.misconfigured is not None:
            where = connection.url.server
            said = f"{where} is not configured to be followed: {facts.misconfigured}"
            self._notices.tell(logging.WARNING, "misconfigured", said)

    # --- a search goes on

    def next_reconcile(self, search: Search) -> Optional[float]:
        """Check whether a reconcile is due; return when the next is, by ``time.monotonic()``."""
        if search.sync.refreshing:
            return None
        seconds = self._reconcile_in()
        if seconds <= 0:
            self.reconciling = True
        return None if math.isinf(seconds) else time.monotonic() + seconds

    def _reconcile_in(self) -> float:
        """Return in how many seconds a search without a cookie is due."""
        every = self._reconcile_every
        if every is None:
            every = self.dialect.reconcile_every
        return reconcile_in(self._delivery.origin, every, time.time())

    async def next_origin(self, search: Search, redo: Optional[Redo]) -> tuple[Origin, bool]:
        """Return the origin to commit after this batch.

        Returns:
            the origin, and False if the batch is only a part of a refresh.
        """
        origin, underway = self._delivery.origin, search.sync.tally
        tally = None if underway is None else str(underway)
        if isinstance(redo, StartOver):
            # What was applied may have removed the signs that more is to come: should the new
            # search be cut short, the one after it must not resume.
            return origin._replace(cookie=None, tally=tally), True
        if search.sync.refreshing:
            if not (self.dialect.names_all_deletes and self._trusts_cookie):
                # What was added after the cookie, and is stored now, may be gone before the next
                # search, which would not name it.
                origin = origin._replace(cookie=None)
            return origin._replace(tally=tally), False
        cookie, reconciled = search.sync.cookie, search.reconciled
        facts, link, told = self._link.facts, self._link, None
        if facts.dialect.merges_cookies:
            link.told = cookie or b""
            told = knowledge.stored_form(link.told)
        elif link.knows.changes:
            await self._read_vector()
        if reconciled:
            await self._entry_count.note(cookie)
        kind = facts.dialect if told else of_cookie(cookie or b"") or facts.dialect
        origin = Origin(
            cookie=cookie,
            dialect=kind.name,
            url=self._url_text,
            identity=facts.identity,
            epoch=facts.epoch,
            reconciled=time.time() if reconciled else origin.reconciled,
            known=told or link.knows.stored_form,
            tally=tally,
        )
        return origin, True

    async def _read_vector(self) -> None:
        """Note which changes 389-ds knows, which are those that it has told and more."""
        link = self._link
        now = await ask(BlockingCall(server.read_vector, link.established, link.facts.suffix))
        link.knows = link.knows._replace(changes=now.changes)

    # --- a search ends

    def forget(self) -> None:
        """Forget what was seen of the store, which another client may have had meanwhile."""
        self.end(0)
        self.refreshed = False
        self._start_overs = 0
        self._set_aside = self._imported = None
        self._missed.clear()
        self._patience.regain()

    def proceed(self, search: Search, redo: Optional[Redo]) -> bool:
        """Start what follows a committed batch, if anything; return False if the search is over.

        Raises:
            ProtocolError: too many refreshes in a row can't be completed.
            SearchEnded: the server ended a search that was to go on.
            ldap.LDAPError: the next search could not be sent.
        """
        if search.refreshed:
            self.refreshed = True
            self._notices.tell(logging.INFO, "refresh-done", "the refresh is done")
            self._start_overs = 0
            self._deletes_allowed = search.reconciles = False
            self._patience.regain()
            self._set_aside = self._imported = None
            self._missed.clear()
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
        self._notices.tell(level, "starting-over", said)
        self.end(0)
        self._other_dialect = start_over.dialect or self._other_dialect
        self.begin(afresh=True)

    def _search_again(self, reason: str) -> None:
        self._notices.tell(logging.INFO, "searching-again", f"searching again: {reason}")
        self.end(0)
        self.begin(again=self._searches_again + 1)

    def _ended(self, search: Search) -> bool:
        """Handle the end of the search, by the server or because its refresh is done."""
        if self._mode is SyncreplMode.REFRESH_AND_PERSIST and self._link.reconnects:
            where = self._link.established.url.server
            raise SearchEnded(f"the server at {where} ended the search")
        search.end(0, cancel=False)
        if self.reconciling:
            self.search = None
        return self.reconciling

    def end(self, seconds: float) -> None:
        """End the running search, if there is one.

        Args:
            seconds: how long a server that supports Cancel may take to answer it; 0 abandons.
        """
        search, self.search = self.search, None
        if search is not None:
            if search.reconciles:
                self.reconciling = True  # as it came to nothing
            search.end(seconds, cancel=self._link.facts.cancels)
