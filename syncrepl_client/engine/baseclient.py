# SPDX-License-Identifier: BSD-3-Clause
"""The base class of both clients.

What a client does is written once, as coroutines: see :mod:`~syncrepl_client.waiting.coroutines`.
"""

import contextlib
import logging
import threading
import weakref
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Callable, Generic, Optional, TypeVar, Union, cast

from .. import callbacks, url
from ..exceptions import ClosedError, ConfigurationError, StoreUnreachable, UsageError
from ..modes import SyncreplMode
from ..network import transport
from ..network.connector import Connector, Peer
from ..network.credentials import Credentials, Password
from ..network.link import Link
from ..protocol import guard
from ..store import DataPath, Store, open_store
from ..waiting.backoff import Backoff
from ..waiting.coroutines import ClientCoroutine
from ..waiting.forking import Owner
from ..waiting.waker import Waker
from . import arguments
from .delivery import Delivery, OnCallbackError
from .patience import LAG_PATIENCE, Patience
from .poller import Poller
from .searches import Searches
from .tenure import State, Tenure

if TYPE_CHECKING:  # few programs ask for them, and import takes its time
    from ..changelog.policy import Changelog
    from .stats import Stats
    from .verification import Difference

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault  # from Python 3.13 on: typing's

    S = TypeVarWithDefault("S", bound=Store, default=Store, covariant=True)
else:
    S = TypeVar("S")

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 20.0
"""The default interval of the heartbeat: silence that triggers it, and time to answer it."""


class BaseClient(Generic[S]):
    """Base class of :class:`~syncrepl_client.Syncrepl` and :class:`~syncrepl_client.AsyncSyncrepl`.

    Attributes:
        store: the open data store; to type checkers it is of the class that was passed as *store*.
    """

    store: S
    _awaits = False

    def __init__(
        self,
        data_path: DataPath,
        callback: Optional[callbacks.Callback],
        mode: SyncreplMode,
        ldap_url: Optional[url.Urls] = None,
        starttls: bool = False,
        *,
        bind_dn: Optional[str] = None,
        store: Union[str, S] = "sqlite",
        options: Optional[Mapping[int, Any]] = None,
        password: Optional[Password] = None,
        sasl_user: Optional[str] = None,
        authzid: Optional[str] = None,
        reconnect: Union[bool, Backoff, None] = None,
        heartbeat: Optional[float] = HEARTBEAT_SECONDS,
        reconcile_every: Optional[float] = None,
        max_deletes: guard.Limit = guard.DEFAULT_LIMIT,
        on_callback_error: OnCallbackError = None,
        lag_patience: float = LAG_PATIENCE,
        change_search: bool = False,
        initial: str = "tell",
        changelog: "Optional[Changelog]" = None,
        trust_persist: bool = False,
        standby: bool = False,
        lease: Optional[float] = None,
    ) -> None:
        """Open the store, and connect; nothing is left open if that fails.

        Args:
            data_path: the directory of the data store's files, which must exist, or the prefix of
                their names; or the URL of a PostgreSQL database, or a
                :class:`~syncrepl_client.store.PostgreSQL`.
            callback: a :class:`~syncrepl_client.callbacks.BaseCallback` or such a class; None for a
                program that only iterates over ``changes()``.
            mode: whether to end after the refresh, or to go on.
            ldap_url: server, search base, attributes, scope and filter; None for the stored URL.
                The extensions ``bindname`` and ``X-BINDPW`` are for the bind: a DN and a password,
                or a SASL mechanism: GSSAPI, EXTERNAL, SCRAM-SHA-1, SCRAM-SHA-256 (also ``-PLUS``,
                if libldap is set up for channel binding).  Several servers: a list of URLs, or a
                str with spaces between them; the first that accepts the client is used.  After the
                first URL, scheme and host are enough.
            starttls: start TLS before anything else; an error if the server does not.  Not sent to
                an ``ldaps:`` server, which uses TLS already.
            store: ``"sqlite"`` (or PostgreSQL, if *data_path* is a database), ``"shelve"``,
                ``"memory"``, or a :class:`~syncrepl_client.store.Store`.
            bind_dn: a bind DN, for *password*, instead of a ``bindname`` in the URL.
            options: values for ``LDAPObject.set_option``, e.g. ``ldap.OPT_X_TLS_CACERTFILE``.
            password: for a simple bind or SCRAM, if the URL has none: the password, a
                :class:`~syncrepl_client.PasswordFile`, :class:`~syncrepl_client.PasswordVariable`,
                or a function without arguments that returns it.  The last three are read at every
                bind.
            sasl_user: the user name (authentication identity) for SCRAM.
            authzid: the authorization identity for SASL: ``dn:`` and a DN, or ``u:`` and a name
                (RFC 4513, 5.2.1.8).
            reconnect: whether ``poll()`` retries after a lost connection or another temporary
                error, and with which delays; None: in the mode REFRESH_AND_PERSIST only.  The
                constructor does not retry.  (``poll()`` retries in any case if a server lags, see
                *lag_patience*.)
            heartbeat: seconds of silence after which the server is asked a question; if it does not
                answer within as many seconds, the connection is lost.  None: never.
            reconcile_every: seconds between refreshes without a cookie (see :meth:`reconcile`);
                None: as the server needs it, which is daily on 389-ds, weekly on OpenLDAP, and
                never on others; ``math.inf``: never.
            max_deletes: a refresh that would delete more raises TooManyDeletes: a part of the store
                (a float; not applied to stores of fewer than 100 entries), a number of entries (an
                int), or None for no limit.
            on_callback_error: a :class:`~syncrepl_client.RetryCallback`, or None to roll back and
                raise.
            lag_patience: how many seconds to reject a server that lacks changes of the store:
                other servers are tried, and all of them again.  After that its answer is accepted,
                as from a server that was restored from a backup.  0: at once; ``math.inf``: never.
            change_search: whether the store may follow another search from now on, where base,
                scope, filter or attributes differ from its own.  The next refresh goes without a
                cookie, and reports the differences between the two answers; *max_deletes* applies
                to its deletes.
            initial: ``"tell"``, or ``"silent"``: the first refresh of a store, up to its first
                cookie, fills the store and calls only ``refresh_done``.
            changelog: a :class:`~syncrepl_client.Changelog`, to have the store (SQLite, PostgreSQL)
                keep a log of changes; None goes on as the store did so far, which is without one at
                first.
            trust_persist: whether to deliver an entry of the persist stage as it was sent.  389
                Directory Server applies no access control there, so by default each entry is
                first read again, with an ordinary search of the same user.  True saves these
                reads, for a user who may read everything.  No effect on other servers.
            standby: whether to share a PostgreSQL store with other clients of the same search: one
                of them follows; the others stand by without a connection to the directory, and
                one of these takes over if it ends.
            lease: how long that one may be silent before another takes over, in seconds from 2 on;
                implies *standby*, whose default is 10.  A callback must not take as long.

        Raises:
            ConfigurationError: an argument is not valid.
            LDAPUrlConflict: the store follows another search, and *change_search* is False.
            StoreError: the data store can't be opened.
            SyncUnsupported: the server does not support RFC 4533.
            ldap.LDAPError: from the connection; of several servers, the most informative one, with
                the errors of all in its ``info``.
            Exception: any exception of a function passed as password.
        """
        arguments.check_mode(mode)
        self._mode = mode
        heartbeat = arguments.check_seconds("heartbeat", heartbeat, least=0.001)
        every = arguments.check_seconds("reconcile_every", reconcile_every, least=1)
        lag_patience = arguments.check_seconds("lag_patience", lag_patience) or 0.0
        arguments.check_initial(initial)
        max_deletes = guard.check_limit(max_deletes)
        backoff = arguments.choose_backoff(reconnect, mode)
        lease = arguments.choose_lease(standby, lease)
        given = None if ldap_url is None else url.parse(ldap_url)
        if given is not None and given.bindname and bind_dn is not None:
            raise ConfigurationError("bind_dn and the bindname of ldap_url exclude each other")
        usable = callbacks.usable(callback, awaits=self._awaits)
        self._closed = False
        self._counted = 0
        self._owner = Owner()
        self._working = threading.Lock()
        self._listens = callback is not None
        self._lent_to: Optional[weakref.ref[ClientCoroutine[None]]] = None
        with contextlib.ExitStack() as undo:
            self.store = cast("S", open_store(store, data_path, lease=lease))
            undo.callback(self.store.close)
            self._delivery = Delivery(
                self.store,
                usable,
                on_callback_error,
                silent=initial == "silent",
                changelog=changelog,
            )
            chosen = arguments.choose_url(given, self.store, change_search=change_search)
            self._url = chosen.bound_as(bind_dn)
            credentials = Credentials.choose(self._url, password, sasl_user, authzid)
            self._url = self._url.without_password()
            self._changes_search = change_search
            options = options or {}
            transport.warn_of_risks(self._url, credentials, starttls=starttls, options=options)
            self._waker = waker = Waker()
            undo.callback(self._waker.close)
            self.store.stopping = lambda: waker.stopping
            self._connector = Connector(
                self._url, credentials, self._waker, starttls, options, heartbeat
            )
            self._link = Link(self._connect, self._waker, backoff)
            undo.callback(self._link.close)
            self._searches = Searches(
                mode,
                self._url,
                self._link,
                self._delivery,
                every,
                max_deletes,
                Patience(lag_patience, backoff),
                trust_persist=trust_persist,
            )
            self._tenure = Tenure(self.store, self._waker, backoff, self._renew)
            self._poller = Poller(
                self._waker, self._tenure, self._link, self._delivery, self._searches
            )
            undo.callback(setattr, self, "_closed", True)
            self._start()
            undo.pop_all()

    def _connect(self, turn: int) -> Peer:
        thorough = self._delivery.origin.cookie is None  # all entries are requested anyway
        return self._connector.connect_and_probe(turn, thorough=thorough)

    def _renew(self) -> None:
        """Go on from what is committed now, maybe by another client.

        Raises:
            LDAPUrlConflict: that has changed the search.
        """
        self._delivery.renew()
        stored = self._delivery.origin.url
        if stored is not None and not self._changes_search:
            self._url.check_same_search(url.parse(stored))
        self._searches.forget()

    def _start(self) -> None:
        """Called at the end of the constructor."""

    def please_stop(self) -> None:
        """Stop the search: a waiting ``poll()``, or the next one, returns False soon.

        May be called from any thread, and from a signal handler.
        """
        self._owner.check("please_stop")
        if self._closed:
            raise ClosedError("please_stop(): the client was unbound")
        self._waker.stop()

    def reconcile(self) -> None:
        """Search again without a cookie in the next polls, and report what differs from the store.

        The server then sends every entry, so that whatever it failed to report, now or earlier, is
        found. Unchanged entries are not reported.  The search starts at once, or when the current
        refresh is done; in the mode REFRESH_AND_PERSIST it replaces the current search, and goes on
        as that did, so that no change is lost between them.  ``refresh_done`` is called at its
        end.  In the mode REFRESH_ONLY a search that is over starts again: poll again.

        May be called from any thread, from a callback, and from a signal handler.
        """
        self._owner.check("reconcile")
        if self._closed:
            raise ClosedError("reconcile(): the client was unbound")
        self._searches.reconciling = True
        self._waker.wake()

    def allow_deletes(self) -> None:
        """Let the current refresh, or else the next one, delete more than ``max_deletes``."""
        self._check_usable("allow_deletes")
        self._searches.allow_deletes()

    def __repr__(self) -> str:
        if "_poller" not in vars(self):
            return f"<{type(self).__name__}, not initialized>"
        state = "closed" if self._closed else "over" if self._poller.over else self._phase
        return f"<{type(self).__name__} {self._url}, {self._mode.name}, {state}>"

    @property
    def callback(self) -> Any:
        """The callback object; may be replaced between two polls."""
        return self._delivery.callback

    @callback.setter
    def callback(self, callback: Any) -> None:
        self._delivery.callback = callbacks.usable(callback, awaits=self._awaits)
        self._listens = callback is not None

    @property
    def refreshed(self) -> bool:
        """Whether the refresh stage is over, so that the store has equalled the answer."""
        return self._searches.refreshed

    @property
    def stats(self) -> "Stats":
        """Statistics of the client; may be read from any thread.

        Counting the entries reads an index of the store, which takes some 30 ms per million.
        """
        from .figures import collect

        return collect(
            self.store,
            self._delivery,
            self._link,
            stage=self._stage,
            entries=self._count(),
            active=self.active,
        )

    def _count(self) -> int:
        """Return the number of entries; while the store is lost, the last one that was known."""
        if self._closed:
            return 0
        with contextlib.suppress(StoreUnreachable):
            self._counted = self.store.count()
        return self._counted

    @property
    def active(self) -> bool:
        """Whether this client has the store; False while it stands by, or has lost it."""
        return self._tenure.held and not self._closed

    @property
    def _stage(self) -> str:
        search = self._searches.search
        if self._closed or self._poller.over:
            return "closed" if self._closed else "over"
        if self._tenure.state is State.STANDBY:
            return "standby"
        if search is None or self._link.connection is None:
            return "disconnected"
        return "refresh" if search.sync.refreshing else "persist"

    @property
    def _phase(self) -> str:
        search = self._searches.search
        return "not searching" if search is None else search.sync.phase.value

    def _check_usable(self, method: str) -> None:
        self._owner.check(method)
        if self._closed:
            raise ClosedError(f"{method}(): the client was unbound; make a new one")
        if self._working.locked():
            raise UsageError(
                f"{method}() while poll(), changes() or verify() is at work, in a callback, a "
                "loop, a task or another thread: call please_stop() there, and go on when it "
                "has returned"
            )

    def _check_pollable(self, method: str) -> None:
        self._check_usable(method)
        if not self._listens:
            raise UsageError(f"{method}() without a callback: nobody would hear of the changes")

    def _abandon_iteration(self) -> None:
        """End an iteration whose current change was not handled: it comes again."""
        coroutine = None if self._lent_to is None else self._lent_to()
        if coroutine is not None:
            coroutine.close()

    def _unbind(self) -> None:
        self._owner.check("unbind")
        self._abandon_iteration()
        self._check_usable("unbind")
        self._begin_work()  # which does not end: nobody can begin any more
        self._closed = True
        with contextlib.ExitStack() as stack:
            stack.callback(self._waker.close)
            stack.callback(self._link.close)
            stack.callback(self._tenure.close)  # first, as another client may wait for it

    # --- one operation at a time

    def _begin_work(self) -> None:
        if not self._working.acquire(blocking=False):
            self._check_usable("this")  # which says why: another thread was quicker
            raise UsageError("another thread uses the client")

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        self._begin_work()
        try:
            yield
        finally:
            self._working.release()

    @contextlib.contextmanager
    def _verifying(self) -> "Iterator[Callable[[int, int], list[Difference]]]":
        """Yield a function that compares the store with a search; it blocks."""
        from ..network import pages
        from . import verification

        self._check_usable("verify")
        if not self.refreshed:
            raise UsageError("verify() before the refresh is done: poll until it is")

        takes_any_name = self._link.facts.dialect.takes_any_name

        def connect() -> pages.PagedSearch:
            session = self._connector.connect(self._link.turn)
            session.ldap.takes_any_name = takes_any_name
            return pages.PagedSearch(session)

        def verify(page_size: int, limit: int) -> "list[Difference]":
            return verification.verify(
                connect, self.store, self._searches.dialect, page_size, limit
            )

        with self._at_work():
            yield verify

    def _lend_change(self, coroutine: ClientCoroutine[None]) -> None:
        """Record that the program is handling a change of *coroutine*: it may unbind the client."""
        self._lent_to = weakref.ref(coroutine)

    def _change_handled(self) -> None:
        """Record that the program has handled it."""
        self._lent_to = None
        if self._closed:
            raise ClosedError("the iteration over changes: the client was unbound")

    async def _iteration(self, at_once: int, timeout: Optional[float]) -> None:
        """Run :meth:`.Poller.iterate`; the client is in use from its first step to its last."""
        self._check_usable("changes")
        with self._at_work():
            await self._poller.iterate(at_once, timeout)
