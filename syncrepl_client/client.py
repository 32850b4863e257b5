# SPDX-License-Identifier: BSD-3-Clause
"""The client: what arrives is reported, then stored, then committed with its cookie."""

import contextlib
import logging
import math
import time
from collections.abc import Generator, Mapping
from types import TracebackType
from typing import Any, Optional, Union

import ldap

from . import callbacks, dialect, dn, transport, url, wire
from .attributes import Selection
from .connection import Waker, open_first
from .credentials import Credentials, Password
from .dialect import Dialect
from .exceptions import (
    ClosedError,
    ConfigurationError,
    LDAPUrlError,
    ProtocolError,
    ServerError,
    SyncUnsupported,
    UsageError,
)
from .messages import Message
from .modes import SyncreplMode
from .placement import Step
from .protocol import Fact, RefreshDone, Request, StartOver, Synchronization
from .store import Origin, Store, open_store

logger = logging.getLogger(__name__)

BATCH_MESSAGES = 1000
"""So many messages share a commit, at most."""
REFRESH_SECONDS = 1.0
"""So long a transaction of the refresh stage stays open, at most."""
PERSIST_SECONDS = 0.25
"""So long changes of the persist stage wait for their commit, at most."""
CANCEL_SECONDS = 0.5
"""So long a stop waits for the server to answer a Cancel."""
STEPS_BEFORE_STOP = 10
"""A message with more consequences than that is given up for a stop, and rolled back."""
START_OVERS = 3
"""So often in a row a refresh starts over before the server is given up."""


class _Stopped(BaseException):
    """A stop was asked for in the middle of a message."""


class Syncrepl:
    """Follows the result of one LDAP search, and tells a callback of each change.

    Attributes:
        store: the open data store.
        callback: the callback object.
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

        Raises:
            ConfigurationError: an argument can't be used.
            LDAPUrlConflict: the store follows another search.
            StoreError: the data store can't be opened.
            SyncUnsupported: the server doesn't know RFC 4533.
            ldap.LDAPError: whatever the connection met; of several servers, what the most
                telling one said, and in its ``info`` what each did.
            Exception: whatever a function given as password raised.
        """
        if not isinstance(mode, SyncreplMode):
            raise ConfigurationError(f"mode is a SyncreplMode, not {mode!r}")
        if not isinstance(data_path, str):
            raise ConfigurationError(f"data_path is a str, not {data_path!r}")
        self._mode = mode
        given = None if ldap_url is None else url.parse(ldap_url)
        self.callback = callbacks.usable(callback)
        self._closed = self._over = self._ended = self._stopping = self._polling = False
        self._start_overs = 0
        self._sync: Optional[Synchronization] = None
        self._told = False
        self._origin = Origin()
        with contextlib.ExitStack() as undo:
            self.store = open_store(store, data_path)
            undo.callback(self.store.close)
            self._url = self._choose_url(given)
            credentials = Credentials.choose(self._url, password, sasl_user, authzid)
            self._url = self._url.without_password()
            options = options or {}
            transport.warn_of_risks(self._url, credentials, starttls=starttls, options=options)
            self._waker = Waker()
            undo.callback(self._waker.close)
            self._connection = open_first(
                self._url,
                self._waker,
                credentials=credentials,
                starttls=starttls,
                options=options,
            )
            self._url = self._connection.url
            undo.callback(self._connection.close)
            self.callback.bind_complete(self._connection.ldap)
            self._learn_server()
            self._begin_search()
            undo.pop_all()

    def _choose_url(self, given: Optional[url.SearchUrl]) -> url.SearchUrl:
        stored = self.store.origin.url if self.store.exists else None
        if given is None:
            if stored is None:
                raise LDAPUrlError(
                    "ldap_url is None, and there is no data store that remembers one"
                )
            given = url.parse(stored)
        elif stored is not None:
            given.check_same_search(url.parse(stored))
        return given

    def _learn_server(self) -> None:
        root_dse = self._connection.read_root_dse()
        controls = root_dse.get("supportedcontrol", [])
        if controls and wire.SYNC_REQUEST.encode() not in controls:
            raise SyncUnsupported(
                f"the server at {self._url.server} has no content synchronization (RFC 4533): on "
                "OpenLDAP, load and add the overlay syncprov; on 389-ds, enable the plug-ins "
                "'Retro Changelog' and 'Content Synchronization'"
            )
        self._dialect: Dialect = dialect.detect(root_dse)
        self._cancels = wire.CANCEL.encode() in root_dse.get("supportedextension", [])
        self._operational: frozenset[str] = frozenset()
        if self._dialect.resume_ignores_selection and self._url.attributes:
            self._operational = self._connection.read_operational_names(root_dse)
        self._debug(f"connected to {self._url.server}, dialect {self._dialect.name}")

    # --- the public face

    def poll(self, timeout: Optional[float] = None) -> bool:
        """Wait for something to do, do it, commit it.

        A call handles one batch: in the refresh stage up to 1,000 messages or a second's, in
        the persist stage what is there.  No transaction is open when it returns.

        Args:
            timeout: seconds to wait if nothing happens; 0 doesn't wait, None waits for as
                long as it takes.

        Returns:
            True if the search goes on (also where nothing happened), False if it is over.

        Raises:
            ProtocolError: the server sent what it must not; the search is over.
            StoreError: the store could not be written; nothing was committed.
            ldap.LDAPError: the connection was lost, or the server ended the search with an
                error; the search is over.
            Exception: whatever a callback raised; nothing was committed, and the next
                ``poll()`` searches again, from the last commit on.
        """
        self._check_usable("poll")
        deadline = _deadline(timeout)
        self._polling = True
        try:
            if not self._over and not self._stopping:
                self._turn(deadline)
        except _Stopped:
            self._abort()
        except BaseException:
            self._abort()
            raise
        finally:
            self._polling = False
        if self._stopping and not self._over:
            self._over = True
            self._end_search(CANCEL_SECONDS)
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
        self._stopping = True
        self._waker.wake()

    def unbind(self) -> None:
        """Close the connection and the store.  Every method raises ClosedError from then on."""
        self._check_usable("unbind")
        self._closed = True
        with contextlib.ExitStack() as stack:
            stack.callback(self._waker.close)
            stack.callback(self.store.close)
            stack.callback(self._connection.close)

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
    def refreshed(self) -> bool:
        """Whether the refresh stage is over, so that the store has equalled the answer."""
        return self._sync is not None and not self._sync.refreshing

    @property
    def _phase(self) -> str:
        return "not searching" if self._sync is None else self._sync.phase.value

    def _check_usable(self, method: str) -> None:
        if self._closed:
            raise ClosedError(f"{method}(): the client was unbound; make a new Syncrepl")
        if self._polling:
            raise UsageError(
                f"{method}() while poll() is at work, in a callback or another thread: "
                "call please_stop() there, and go on when poll() has returned"
            )

    # --- the search

    def _begin_search(self, *, afresh: bool = False) -> None:
        if self.store.exists:
            self._origin = self.store.origin
        cookie = None if afresh or not self._may_resume() else self._origin.cookie
        self._debug(f"searching with {'no cookie' if cookie is None else f'cookie {cookie!r}'}")
        try:
            self._connection.search(self._mode, cookie)
        except ldap.LDAPError:
            self._over = True
            raise
        self._create_store()
        request = Request(
            dialect=self._dialect,
            base=dn.key(self._url.base),
            subtree=self._url.scope == ldap.SCOPE_SUBTREE,
            cookie=cookie,
            selection=Selection(self._url.attributes),
            operational=self._operational,
        )
        self._sync = Synchronization(request, self.store, self.store.named)

    def _create_store(self) -> None:
        self.store.create()
        if self._origin.url is None:
            self.store.begin()
            self._commit(self._origin._replace(url=str(self._url)))

    def _may_resume(self) -> bool:
        if self._origin.dialect != self._dialect.name or not self.store.trusted:
            return False
        return self._url.matches_all or not self._dialect.resume_misses_leavers

    def _start_over(self, reason: str) -> None:
        self._start_overs += 1
        if self._start_overs > START_OVERS:
            self._over = True
            raise ProtocolError(
                f"the answer of {self._url.server} can't be completed: {reason}, "
                f"and that {START_OVERS} times in a row"
            )
        logger.info("starting over without a cookie: %s", reason)
        self._debug(f"starting over without a cookie: {reason}")
        self._end_search(0)
        self._begin_search(afresh=True)

    # --- one turn: wait, receive, apply, commit

    def _turn(self, deadline: Optional[float]) -> None:
        if self._sync is None:  # the last turn failed in a callback, or in the store
            self._begin_search()
        start_over = self._batch(deadline)
        if self.store.in_transaction:
            self._commit(self._next_origin(start_over))
        self._over = self._ended
        if start_over is not None:
            self._start_over(start_over.reason)

    def _batch(self, deadline: Optional[float]) -> Optional[StartOver]:
        """Apply what arrives until it is time to commit; return how it ends if it must."""
        count = 0
        ends: Optional[float] = None
        while not self._stopping and not self._ended and count < BATCH_MESSAGES:
            message = self._receive()
            if message is None:
                if ends is not None and not self._synchronization.refreshing:
                    return self._when_idle()
                if not self._wait(deadline, ends):
                    return None
                continue
            if ends is None:
                self.store.begin()
                refreshing = self._synchronization.refreshing
                ends = time.monotonic() + (REFRESH_SECONDS if refreshing else PERSIST_SECONDS)
            count += 1
            refreshing = self._synchronization.refreshing
            start_over = self._apply(message)
            if start_over is not None or refreshing != self._synchronization.refreshing:
                return start_over
            if count % 16 == 0 and time.monotonic() >= ends:
                return None
        return None

    def _wait(self, deadline: Optional[float], ends: Optional[float]) -> bool:
        """Wait for the server, until either time; return False if that has come already."""
        until = min(filter(None, (deadline, ends)), default=None)
        if until is not None and time.monotonic() >= until:
            return False
        self._connection.wait(until)
        return True

    @property
    def _synchronization(self) -> Synchronization:
        if self._sync is None:
            raise UsageError("no search goes on")
        return self._sync

    def _receive(self) -> Optional[Message]:
        try:
            return self._connection.receive()
        except (ldap.LDAPError, ServerError):
            self._over = True
            raise

    def _apply(self, message: Message) -> Optional[StartOver]:
        with contextlib.closing(self._facts(message)) as facts:
            for number, fact in enumerate(facts):
                if isinstance(fact, Step):
                    if self._stopping and number >= STEPS_BEFORE_STOP:
                        raise _Stopped
                    self._step(fact)
                elif isinstance(fact, RefreshDone):
                    self._start_overs = 0
                    self._told = True
                    self.callback.refresh_done(self.store.items())
                elif isinstance(fact, StartOver):
                    return fact
                else:
                    self._ended = True
        return None

    def _facts(self, message: Message) -> Generator[Fact, None, None]:
        try:
            yield from self._synchronization.receive(message)
        except ServerError:
            self._over = True
            raise

    def _step(self, step: Step) -> None:
        if step.change is not None:
            self._told = True
            self.callback.dispatch(step.change)
        if step.record is not None:
            self.store.put(step.record)
        else:
            self.store.remove(step.uuid)

    def _when_idle(self) -> Optional[StartOver]:
        for fact in self._synchronization.idle():
            if isinstance(fact, StartOver):
                return fact
        return None

    def _next_origin(self, start_over: Optional[StartOver]) -> Optional[Origin]:
        """Return what the store is the answer to once this batch is in it; None: as before."""
        if start_over is not None:
            # What was applied may have removed the signs that more is to come: should the new
            # search be cut short, the one after it must not resume.
            return self._origin._replace(cookie=None)
        if self._synchronization.refreshing:
            return None
        return Origin(self._synchronization.cookie, self._dialect.name, str(self._url))

    def _commit(self, origin: Optional[Origin]) -> None:
        if origin == self._origin and self.store.trusted:
            origin = None
        if origin and origin.cookie and origin.cookie != self._origin.cookie:
            self._told = True
            self.callback.cookie_change(origin.cookie)
        if self._told:
            self.callback.before_commit()
        self.store.commit(origin)
        self._origin = origin or self._origin
        self._told = False

    def _abort(self) -> None:
        """Undo what is not committed; the next turn begins anew from what is."""
        self._told = self._ended = False
        self._sync = None
        try:
            self.store.rollback()
        finally:
            self._end_search(0)

    def _end_search(self, seconds: float) -> None:
        with contextlib.suppress(ldap.LDAPError):  # the connection may be gone
            self._connection.end_search(seconds, cancel=seconds > 0 and self._cancels)

    def _debug(self, message: str) -> None:
        logger.debug("%s", message)
        try:
            self.callback.debug(message)
        except Exception:
            logger.exception("the callback's debug() failed")


def _deadline(timeout: Optional[float]) -> Optional[float]:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise ConfigurationError(f"timeout is a number of seconds or None, not {timeout!r}")
    if math.isnan(timeout) or timeout < 0:
        raise ConfigurationError(f"timeout is 0 or more seconds, or None, not {timeout!r}")
    return None if math.isinf(timeout) else time.monotonic() + timeout
