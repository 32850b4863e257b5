# SPDX-License-Identifier: BSD-3-Clause
"""The client: what arrives is reported, then stored, then committed with its cookie."""

import contextlib
import logging
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Optional, Union

import ldap

from . import arguments, callbacks, guard, retry, transport, url
from .backoff import Backoff
from .connection import Connection
from .credentials import Credentials, Password
from .delivery import Delivery, OnCallbackError
from .exceptions import (
    ClosedError,
    ServerError,
    TooManyDeletes,
    UsageError,
)
from .link import Link
from .modes import SyncreplMode
from .opener import Opener
from .search import Interrupted
from .store import Store, open_store
from .succession import Succession
from .waiting import Waker

if TYPE_CHECKING:  # few programs verify, and import takes its time
    from .verification import Difference

logger = logging.getLogger(__name__)

CANCEL_SECONDS = 0.5
"""So long a stop waits for the server to answer a Cancel."""
HEARTBEAT_SECONDS = 20.0
"""After so long a silence the server is asked for a sign of life, and has so long for it."""


class Syncrepl:
    """Follows the result of one LDAP search, and tells a callback of each change.

    Attributes:
        store: the open data store.
    """

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
        """Connect, start TLS, bind, call ``bind_complete`` and start the search.

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
        usable = callbacks.usable(callback)
        self._closed = self._over = self._polling = False
        self._welcomed: Optional[Connection] = None
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
            self._welcome()
            self._searches.begin()
            undo.pop_all()

    def poll(self, timeout: Optional[float] = None) -> bool:
        """Wait for something to do, do it, commit it.

        A call handles one batch: in the refresh stage up to 10,000 messages or a second's, in
        the persist stage what is there.  No transaction is open when it returns.

        Args:
            timeout: seconds to wait if nothing happens; 0 doesn't wait, None waits for as
                long as it takes.

        Returns:
            True if the search goes on (also where nothing happened, or where the connection
            was lost and will be made again), False if it is over.

        Raises:
            TooManyDeletes: see ``max_deletes``; nothing was deleted, and the next ``poll()``
                searches again.
            ProtocolError: the server sent what it must not; the search is over.
            StoreError: the store could not be written; nothing was committed.
            ldap.LDAPError: the connection was lost, or the server ended the search with an
                error, and no retry can mend that, or ``reconnect`` is off; the search is over.
            Exception: whatever a callback raised; nothing was committed, and the next
                ``poll()`` searches again, from the last commit on.
        """
        self._check_usable("poll")
        deadline = arguments.deadline(timeout)
        self._polling = True
        self._revive()
        try:
            if not self._over and not self._waker.stopping:
                self._turn(deadline)
        except Interrupted:
            self._abort()
        except BaseException as error:
            self._abort()
            if not isinstance(error, Exception) or not self._rides_over(error):
                raise
        finally:
            self._polling = False
        if self._waker.stopping and not self._over:
            self._over = True
            self._searches.end(CANCEL_SECONDS)
            self._debug("stopped")
        return not self._over

    def run(self) -> None:
        """Poll until the search is over; raises what :meth:`poll` raises."""
        while self.poll():
            pass

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

    def verify(self, page_size: int = 1000, limit: int = 1000) -> "list[Difference]":
        """Compare the store with an ordinary search of the directory; change nothing.

        The search is read page by page (RFC 2696) over a connection of its own, made like the
        first one (``bind_complete`` is not called).  What arrives meanwhile waits for the next
        poll.  What differs is looked at once more before it is returned.  Memory does not grow
        with the directory; SQLite's temporary file does, by some 25 bytes an entry.

        What changed since the last ``poll()`` differs as well: poll until nothing comes,
        verify, and believe what is still there when both are done again.  Not compared:
        references, and attributes that the server derives and tells no change of
        (:data:`.verification.DERIVED`; on 389-ds :data:`.verification.BOOKKEEPING` too).

        Args:
            page_size: entries a page; a server may have a limit here.
            limit: return so many differences at most; if there are as many, there may be more.

        Returns:
            The differences: missing and different entries as the server sends them, then
            surplus ones, parents before children.  Empty if there are none.

        Raises:
            UsageError: a ``poll()`` is at work, or the refresh is not done yet.
            Stopped: ``please_stop()`` was called, before or meanwhile.  A part of the answer is
                not returned: it would look like a clean one.
            PagingUnsupported: the server has no paged results.
            ConfigurationError: *page_size* or *limit* is no number of entries.
            StoreError: the store can't be read, or the temporary file not be written.
            ldap.LDAPError: of the second connection; SIZELIMIT_EXCEEDED or ADMINLIMIT_EXCEEDED
                if this user may read a part only, TIMEOUT after five minutes of silence.
        """
        from . import ordinary, verification

        self._check_usable("verify")
        if not self.refreshed:
            raise UsageError("verify() before the refresh is done: poll until it is")
        self._polling = True
        try:
            return verification.verify(
                lambda: ordinary.OrdinarySearch(self._opener.open(self._link.turn)),
                self.store,
                self._link.facts.dialect,
                page_size,
                limit,
            )
        finally:
            self._polling = False

    def unbind(self) -> None:
        """Close the connection and the store.  Every method raises ClosedError from then on."""
        self._check_usable("unbind")
        self._closed = True
        with contextlib.ExitStack() as stack:
            stack.callback(self._waker.close)
            stack.callback(self.store.close)
            stack.callback(self._link.close)

    def __enter__(self) -> "Syncrepl":
        self._check_usable("__enter__")
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if not self._closed:
            self.unbind()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "over" if self._over else self._phase
        return f"<Syncrepl {self._url}, {self._mode.name}, {state}>"

    @property
    def callback(self) -> Any:
        """The callback object; another one may take its place between two polls."""
        return self._delivery.callback

    @callback.setter
    def callback(self, callback: Any) -> None:
        self._delivery.callback = callbacks.usable(callback)

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
            raise ClosedError(f"{method}(): the client was unbound; make a new Syncrepl")
        if self._polling:
            raise UsageError(
                f"{method}() while poll() or verify() is at work, in a callback or another "
                "thread: call please_stop() there, and go on when it has returned"
            )

    # --- one turn: connect, search, receive, deliver, commit

    def _turn(self, deadline: Optional[float]) -> None:
        if not self._ready(deadline):
            return
        searches = self._searches
        search = searches.search or searches.begin()
        patience = searches.next_reconcile(search)
        redo = search.batch(deadline, self._stopping, searches.gives_way, patience)
        if self.store.in_transaction:
            self._delivery.commit(searches.next_origin(search, redo))
            self._link.succeeded()
        self._over = not searches.proceed(search, redo)

    def _stopping(self) -> bool:
        return self._waker.stopping

    def _revive(self) -> None:
        """Begin anew where a search came to its end, and a reconcile was asked for."""
        if self._over and self._searches.gives_way():
            self._searches.search, self._over = None, False

    def _welcome(self) -> None:
        """Do what comes between a bind and the search."""
        connection, facts = self._link.established, self._link.facts
        self._debug(f"connected to {connection.url.server}, dialect {facts.dialect.name}")
        self.callback.bind_complete(connection.ldap)
        self._welcomed = connection

    def _ready(self, deadline: Optional[float]) -> bool:
        if not self._link.ready(deadline, self._stopping):
            return False
        if self._link.connection is not self._welcomed:
            self._welcome()
        return True

    # --- what goes wrong

    def _abort(self) -> None:
        """Undo what is not committed; the next turn begins anew from what is."""
        try:
            self._delivery.roll_back()
        finally:
            self._searches.end(0)

    def _rides_over(self, error: Exception) -> bool:
        """Say whether a later turn may mend *error*, and see to it that there is one."""
        if self._delivery.is_callbacks(error):
            seconds = self._delivery.retry_delay()
            if seconds is None:
                return False
            logger.warning("the callback failed; again in %.1f s: %r", seconds, error)
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
            self.callback.disconnected(error)
        return True

    def _debug(self, message: str) -> None:
        self._delivery.debug(message)
