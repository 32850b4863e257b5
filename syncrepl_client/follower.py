# SPDX-License-Identifier: BSD-3-Clause
"""What follows a directory: what arrives is reported, then stored, then committed with its cookie.

Both clients are one of these.  What it does is written down once, as coroutines that ask their
driver to wait: see :mod:`.driving`.
"""

import contextlib
import logging
import time
import weakref
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from . import arguments, callbacks, cookie, guard, url
from .backoff import Backoff
from .changes import ChangeKind
from .delivery import Delivery, OnCallbackError
from .driving import Course
from .exceptions import ClosedError, UsageError
from .modes import SyncreplMode
from .network import transport
from .network.credentials import Credentials, Password
from .network.link import Link
from .network.opener import Opener
from .store import Store, open_store
from .succession import Succession
from .turns import Turns
from .waiting import Waker

if TYPE_CHECKING:  # few programs ask for them, and import takes its time
    from .stats import Stats
    from .verification import Difference

logger = logging.getLogger(__name__)

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
            callback: a :class:`~syncrepl_client.callbacks.BaseCallback` or such a class; None
                for a program that iterates over ``changes()``, and does nothing else.
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
        self._closed = self._busy = False
        self._listens = callback is not None
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
            self._turns = Turns(self._waker, self._link, self._delivery, self._searches)
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
        state = "closed" if self._closed else "over" if self._turns.over else self._phase
        return f"<{type(self).__name__} {self._url}, {self._mode.name}, {state}>"

    @property
    def callback(self) -> Any:
        """The callback object; another one may take its place between two polls."""
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
        """How the client is doing, in figures; may be asked for from any thread.

        To count the entries, the store's index is read: that takes some 30 ms a million.
        """
        from .stats import Stats

        delivery, heard = self._delivery, self._link.last_heard
        at, made = delivery.cookie_committed, cookie.newest_time(delivery.origin.cookie)
        return Stats(
            stage=self._stage,
            entries=0 if self._closed else self.store.count(),
            changes={kind: delivery.changes[kind] for kind in ChangeKind},
            commits=delivery.commits,
            reconnects=max(0, self._link.connected - 1),
            callback_errors=delivery.errors,
            last_message=None if heard is None else time.time() - (time.monotonic() - heard),
            lag=None if at is None or made is None else at - made,
        )

    @property
    def _stage(self) -> str:
        search = self._searches.search
        if self._closed or self._turns.over:
            return "closed" if self._closed else "over"
        if search is None or self._link.connection is None:
            return "disconnected"
        return "refresh" if search.sync.refreshing else "persist"

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

    def _check_pollable(self, method: str) -> None:
        self._check_usable(method)
        if not self._listens:
            raise UsageError(f"{method}() without a callback: nobody would hear of the changes")

    def _give_up_iteration(self) -> None:
        """End an iteration whose change is with the program: it comes again."""
        course = None if self._handed_over is None else self._handed_over()
        if course is not None:
            course.close()

    def _unbind(self) -> None:
        self._give_up_iteration()
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

    @contextlib.contextmanager
    def _verifying(self) -> "Iterator[Callable[[int, int], list[Difference]]]":
        """Yield a function that compares the store with an ordinary search; it blocks."""
        from . import verification
        from .network import ordinary

        self._check_usable("verify")
        if not self.refreshed:
            raise UsageError("verify() before the refresh is done: poll until it is")

        def verify(page_size: int, limit: int) -> "list[Difference]":
            return verification.verify(
                lambda: ordinary.OrdinarySearch(self._opener.open(self._link.turn)),
                self.store,
                self._link.facts.dialect,
                page_size,
                limit,
            )

        with self._at_work():
            yield verify

    def _hand(self, course: Course[None]) -> None:
        """Note that the program has a change of *course*: it may unbind the client now."""
        self._handed_over = weakref.ref(course)

    def _take_back(self) -> None:
        """Note that it has handled that."""
        self._handed_over = None
        if self._closed:
            raise ClosedError("the iteration over changes: the client was unbound")

    async def _hand_over(self, at_once: int, timeout: Optional[float]) -> None:
        """As :meth:`.Turns.hand_over`; the client is at work from its first step to its last."""
        self._check_usable("changes")
        with self._at_work():
            await self._turns.hand_over(at_once, timeout)
