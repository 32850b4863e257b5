# SPDX-License-Identifier: BSD-3-Clause
"""What follows a directory: what arrives is reported, then stored, then committed with its cookie.

Both clients are one of these.  What it does is written down once, as coroutines that ask their
driver to wait: see :mod:`.driving`.
"""

import contextlib
import logging
import sys
import time
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, Optional, Union

import ldap

from . import arguments, callbacks, guard, retry, transport, url
from .backoff import Backoff
from .connection import Connection
from .credentials import Credentials, Password
from .delivery import Delivery, OnCallbackError
from .driving import Aside, Carried, Course, ask, finish
from .exceptions import ClosedError, ServerError, TooManyDeletes, UsageError
from .link import Link
from .modes import SyncreplMode
from .opener import Opener
from .search import Interrupted
from .store import Store, open_store
from .succession import Succession
from .waiting import Waker

logger = logging.getLogger(__name__)

CANCEL_SECONDS = 0.5
"""So long a stop waits for the server to answer a Cancel."""
HEARTBEAT_SECONDS = 20.0
"""After so long a silence the server is asked for a sign of life, and has so long for it."""


class Follower:
    """What :class:`~syncrepl_client.Syncrepl` and :class:`~syncrepl_client.AsyncSyncrepl` share.

    Attributes:
        store: the open data store.
    """

    _awaits = False

    def __init__(
        self,
        data_path: str,
        callback: Any,
        mode: SyncreplMode,
        ldap_url: Optional[url.Urls] = None,
        starttls: bool = False,
        *,
        store: Union[str, Store] = "sqlite",
        options: Optional[Mapping[int, Any]] = None,
        password: Optional[Password] = None,
        sasl_user: Optional[str] = None,
        authzid: Optional[str] = None,
        reconnect: Union[bool, Backoff, None] = None,
        heartbeat: Optional[float] = HEARTBEAT_SECONDS,
        reconcile_every: Optional[float] = None,
        max_deletes: guard.Limit = guard.DEFAULT_LIMIT,
        on_callback_error: OnCallbackError = None,
    ) -> None:
        """Open the store, and connect: see the class.

        Args:
            data_path: prefix of the data store's file names; ``"state/"`` puts them in
                that directory, which must exist.
            callback: a :class:`~syncrepl_client.callbacks.BaseCallback` or such a class.
            mode: whether to end after the refresh, or to go on.
            ldap_url: server, search base, attributes, scope and filter; None for the URL
                that the store remembers.  The extensions ``bindname`` and ``X-BINDPW`` bind:
                a DN with a password, or a SASL mechanism: GSSAPI, EXTERNAL, SCRAM-SHA-1,
                SCRAM-SHA-256 (``-PLUS`` too, where libldap is set up for channel binding).
                Several servers: a list of URLs, or a str with blanks between them; the
                first that lets us in is used.  After the first URL, scheme and host are
                enough.
            starttls: start TLS before anything else; fails where the server won't.  Not sent
                to an ``ldaps:`` server, which speaks TLS already.
            store: ``"sqlite"``, ``"shelve"``, ``"memory"``, or a store of your own.
            options: values for ``LDAPObject.set_option``, e.g. ``ldap.OPT_X_TLS_CACERTFILE``.
            password: for a simple bind or SCRAM, where the URL has none: the password, a
                :class:`~syncrepl_client.PasswordFile`,
                :class:`~syncrepl_client.PasswordVariable`, or a function without arguments
                that returns it.  The last three are asked anew at every bind.
            sasl_user: the user name of SCRAM, as the server's SASL knows it.
            authzid: with SASL, whom to act as: ``dn:`` and a DN, or ``u:`` and a name
                (RFC 4513, 5.2.1.8), if the server lets the one who binds.
            reconnect: whether ``poll()`` rides over lost connections and other errors that
                pass, and with which delays; None: in the mode REFRESH_AND_PERSIST only.  The
                constructor never waits: it raises what its first attempt meets.
            heartbeat: seconds of silence after which the server is asked for a sign of life;
                if it stays silent for as long again, the connection is lost.  None: never.
            reconcile_every: seconds between refreshes without a cookie (see
                :meth:`reconcile`); None: as the server needs it, which is daily on 389-ds,
                weekly on OpenLDAP and never elsewhere; ``math.inf``: never.
            max_deletes: a refresh that would delete more raises TooManyDeletes: a part of the
                store (a float; stores of fewer than 100 entries are not guarded then), a
                number of entries (an int), or None for no limit.
            on_callback_error: a :class:`~syncrepl_client.delivery.RetryCallback`, or None to
                roll back and raise.

        Raises:
            ConfigurationError: an argument can't be used.
            LDAPUrlConflict: the store follows another search.
            StoreError: the data store can't be opened.
            SyncUnsupported: the server doesn't know RFC 4533.
            ldap.LDAPError: whatever the connection met; of several servers, what the most
                telling one said, and in its ``info`` what each did.
            Exception: whatever a function given as password raised.
        """
        arguments.check_mode(mode)
        arguments.check_data_path(data_path)
        self._mode = mode
        heartbeat = arguments.check_seconds("heartbeat", heartbeat, least=0.001)
        every = arguments.check_seconds("reconcile_every", reconcile_every, least=1)
        max_deletes = guard.check_limit(max_deletes)
        backoff = arguments.choose_backoff(reconnect, mode)
        given = None if ldap_url is None else url.parse(ldap_url)
        usable = callbacks.usable(callback, awaits=self._awaits)
        self._closed = self._over = self._busy = False
        self._welcomed: Optional[Connection] = None
        self._handed_over: Optional[weakref.ref[Course[None]]] = None
        with contextlib.ExitStack() as undo:
            self.store = open_store(store, data_path)
            undo.callback(self.store.close)
            self._delivery = Delivery(self.store, usable, on_callback_error)
            self._url = arguments.choose_url(given, self.store)
            credentials = Credentials.choose(self._url, password, sasl_user, authzid)
            self._url = self._url.without_password()
            options = options or {}
            transport.warn_of_risks(self._url, credentials, starttls=starttls, options=options)
            self._waker = Waker()
            undo.callback(self._waker.close)
            self._opener = Opener(self._url, credentials, self._waker, starttls, options, heartbeat)
            self._link = Link(self._opener.meet, self._waker, backoff)
            undo.callback(self._link.close)
            self._searches = Succession(
                mode, self._url, self._link, self._delivery, every, max_deletes
            )
            self._start()
            undo.pop_all()

    def _start(self) -> None:
        """Do what the constructor does once all is prepared."""

    def please_stop(self) -> None:
        """End the search soon: a ``poll()`` that waits, or the next one, returns False.

        May be called from any thread, and from a signal handler.
        """
        if self._closed:
            raise ClosedError("please_stop(): the client was unbound")
        self._waker.stop()

    def reconcile(self) -> None:
        """Have the next polls search without a cookie, and report what differs from the store.

        The server then names every entry there is, so that whatever it failed to tell, now or
        earlier, is found.  What has not changed is not reported.  The search begins at once, or
        when the refresh that goes on is done; in the mode REFRESH_AND_PERSIST it takes the place
        of the running one, and goes on as that did, so that no change falls between them.
        ``refresh_done`` is called at its end.  In the mode REFRESH_ONLY, also a search that is
        over begins anew: poll again.

        May be called from any thread, from a callback, and from a signal handler.
        """
        if self._closed:
            raise ClosedError("reconcile(): the client was unbound")
        self._searches.reconciling = True
        self._waker.wake()

    def allow_deletes(self) -> None:
        """Let the refresh that goes on, or else the next one, delete more than ``max_deletes``."""
        self._check_usable("allow_deletes")
        self._searches.allow_deletes()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "over" if self._over else self._phase
        return f"<{type(self).__name__} {self._url}, {self._mode.name}, {state}>"

    @property
    def callback(self) -> Any:
        """The callback object; another one may take its place between two polls."""
        return self._delivery.callback

    @callback.setter
    def callback(self, callback: Any) -> None:
        self._delivery.callback = callbacks.usable(callback, awaits=self._awaits)

    @property
    def refreshed(self) -> bool:
        """Whether the refresh stage is over, so that the store has equalled the answer."""
        return self._searches.refreshed

    @property
    def _phase(self) -> str:
        search = self._searches.search
        return "not searching" if search is None else search.sync.phase.value

    def _check_usable(self, method: str) -> None:
        if self._closed:
            raise ClosedError(f"{method}(): the client was unbound; make a new one")
        if self._busy:
            raise UsageError(
                f"{method}() while poll(), changes() or verify() is at work, in a callback, a "
                "loop, a task or another thread: call please_stop() there, and go on when it "
                "has returned"
            )

    def _unbind(self) -> None:
        course = None if self._handed_over is None else self._handed_over()
        if course is not None:
            course.close()  # the change at hand comes again
        self._check_usable("unbind")
        self._closed = True
        with contextlib.ExitStack() as stack:
            stack.callback(self._waker.close)
            stack.callback(self.store.close)
            stack.callback(self._link.close)

    # --- who drives it

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    def _hand(self, course: Course[None]) -> None:
        """Note that the program has a change of *course*: it may unbind the client now."""
        self._handed_over = weakref.ref(course)

    def _take_back(self) -> None:
        """Note that it has handled that."""
        self._handed_over = None
        if self._closed:
            raise ClosedError("the iteration over changes: the client was unbound")

    # --- what it does

    async def _begin(self) -> None:
        """Connect, call ``bind_complete`` and start the search."""
        if await self._ready(None):
            self._searches.begin()

    async def _run(self) -> None:
        while await self._poll(None):
            pass

    async def _poll(self, deadline: Optional[float]) -> bool:
        self._revive()
        try:
            if not self._over and not self._waker.stopping:
                await self._turn(deadline)
        except Interrupted:
            self._abort()
        except Exception as error:
            self._abort()
            if not await self._rides_over(error):
                raise
        except BaseException:
            if not self._resting:
                self._abort()
            raise
        if self._waker.stopping and not self._over:
            self._over = True
            await ask(Aside(self._searches.end, CANCEL_SECONDS))
            self._debug("stopped")
        return not self._over

    @property
    def _resting(self) -> bool:
        """Whether whatever ends a wait now does no harm to the search that goes on."""
        search = self._searches.search
        return search is not None and search.resting

    async def _hand_over(self, at_once: int, timeout: Optional[float]) -> None:
        """Poll, and hand each change over, until none has come for *timeout* seconds."""
        self._check_usable("changes")
        delivery = self._delivery
        self._busy = delivery.hands_over = True
        delivery.at_once = at_once
        try:
            deadline, handed = arguments.deadline(timeout), 0
            while await self._poll(deadline):
                if delivery.handed > handed:
                    deadline, handed = arguments.deadline(timeout), delivery.handed
                elif deadline is not None and time.monotonic() >= deadline:
                    break
        finally:
            delivery.at_once = sys.maxsize
            self._busy = delivery.hands_over = False

    # --- one turn: connect, search, receive, deliver, commit

    async def _turn(self, deadline: Optional[float]) -> None:
        if not await self._ready(deadline):
            return
        searches = self._searches
        search = searches.search or searches.begin()
        patience = searches.next_reconcile(search)
        redo = await search.batch(deadline, self._stopping, searches.gives_way, patience)
        if self.store.in_transaction:
            await self._delivery.commit(searches.next_origin(search, redo))
            self._link.succeeded()
        self._over = not searches.proceed(search, redo)

    def _stopping(self) -> bool:
        return self._waker.stopping

    def _revive(self) -> None:
        """Begin anew where a search came to its end, and a reconcile was asked for."""
        if self._over and self._searches.gives_way():
            self._searches.search, self._over = None, False

    async def _welcome(self) -> None:
        """Do what comes between a bind and the search."""
        connection, facts = self._link.established, self._link.facts
        self._debug(f"connected to {connection.url.server}, dialect {facts.dialect.name}")
        await finish(self.callback.bind_complete(connection.ldap))
        self._welcomed = connection

    async def _ready(self, deadline: Optional[float]) -> bool:
        if not await self._link.ready(deadline, self._stopping):
            return False
        if self._link.connection is not self._welcomed:
            await self._welcome()
        return True

    # --- what goes wrong

    def _abort(self) -> None:
        """Undo what is not committed; the next turn begins anew from what is."""
        try:
            self._delivery.roll_back()
        finally:
            self._searches.end(0)

    async def _rides_over(self, error: Exception) -> bool:
        """Say whether a later turn may mend *error*, and see to it that there is one."""
        if self._delivery.is_callbacks(error):
            seconds = self._delivery.retry_delay()
            if seconds is None:
                return False
            reason = error.error if isinstance(error, Carried) else error
            logger.warning("the callback failed; again in %.1f s: %r", seconds, reason)
            self._link.pause(seconds)
            return True
        if isinstance(error, TooManyDeletes) or not isinstance(
            error, (ldap.LDAPError, ServerError)
        ):
            return False
        if isinstance(error, ldap.LDAPError):
            retry.mark(error)
        if not (self._link.reconnects and retry.retriable(error)):
            self._over = True
            return False
        seconds = self._link.lost()
        logger.warning("disconnected; again in %.1f s: %s", seconds, error)
        if callable(getattr(self.callback, "disconnected", None)):
            await finish(self.callback.disconnected(error))
        return True

    def _debug(self, message: str) -> None:
        self._delivery.debug(message)
