# SPDX-License-Identifier: BSD-3-Clause
"""The mixin that gives a python-ldap connection content synchronization searches (RFC 4533).

Every such search of this library goes through it.  For a program it has the methods of
``ldap.syncrepl.SyncreplConsumer``, which it can replace.
"""

import os
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Optional, Union, cast

import ldap
from ldap.controls import RequestControl
from ldap.ldapobject import SimpleLDAPObject

from ..entries.attributes import Attributes
from ..exceptions import ConfigurationError, SyncRefreshRequired
from ..modes import SyncreplMode
from ..protocol import cookie, wire
from ..protocol.messages import Done, Entry, IdSet, Message, NewCookie, PhaseEnd, Reference, State
from ..waiting.waker import wait_for
from .results import first_message, take_results

_MODES = {
    "refreshOnly": SyncreplMode.REFRESH_ONLY,
    "refreshAndPersist": SyncreplMode.REFRESH_AND_PERSIST,
}


class SyncreplConsumer:
    """A mixin for python-ldap's ``LDAPObject`` classes: content synchronization searches.

    ::

        class Consumer(ReconnectLDAPObject, SyncreplConsumer):
            def syncrepl_entry(self, dn, attrs, uuid): ...

    It has the methods of ``ldap.syncrepl.SyncreplConsumer``, called at the same points with the
    same arguments.  These differ:

    * A cookie is ``bytes`` (RFC 4533, 2.1.2), and is handed over when the refresh that it covers
      is complete: 389 Directory Server sends it before the entries.  The CSNs of OpenLDAP's
      servers are merged, as a cookie of the persist stage has only one of them.
    * :meth:`syncrepl_reference` is told of continuation references.
    * e-syncRefreshRequired (4096) is :exc:`~syncrepl_client.exceptions.SyncRefreshRequired`.
    * :meth:`syncrepl_poll` waits outside of libldap: a signal does not end the connection, and
      :meth:`syncrepl_stop` ends a poll.

    What an entry's attributes were, what a server's quirks mean, and keeping cookie and entries
    together is left to the program; :class:`~syncrepl_client.Syncrepl` does that.  One search goes
    on at a time.
    """

    _syncrepl_msgid: int = -1
    _syncrepl_refreshing = False
    _syncrepl_stopping = False
    _syncrepl_cookie: Optional[bytes] = None
    """The cookie that was handed over or searched with last: others are merged into it."""
    _syncrepl_held: Optional[bytes] = None
    """A cookie that the end of the refresh stage makes good."""

    def syncrepl_search(
        self,
        base: str,
        scope: int,
        mode: Union[str, SyncreplMode] = "refreshOnly",
        cookie: Union[bytes, str, None] = None,
        *,
        reloadHint: bool = False,  # noqa: N803 - RFC 4533's and python-ldap's name
        **search_args: Any,
    ) -> int:
        """Send a content synchronization search; return its message ID.

        Args:
            base: DN of the search base.
            scope: ``ldap.SCOPE_BASE``, ``SCOPE_ONELEVEL`` or ``SCOPE_SUBTREE``.
            mode: ``"refreshOnly"``, ``"refreshAndPersist"`` or a
                :class:`~syncrepl_client.SyncreplMode`.
            cookie: how far this client got; None for what :meth:`syncrepl_get_cookie` returns. A
                ``str`` is one that python-ldap's class decoded.
            reloadHint: ask for a reload rather than for e-syncRefreshRequired where the server
                can't resume (RFC 4533, 2.2).
            search_args: for python-ldap's ``search_ext``, ``filterstr`` and ``attrlist`` for
                example.  The control is added to ``serverctrls``.

        Raises:
            ConfigurationError: there is no such mode.
            ldap.LDAPError: the search could not be sent.
        """
        if not isinstance(mode, SyncreplMode):
            if mode not in _MODES:
                raise ConfigurationError(f"mode is one of {', '.join(_MODES)}, not {mode!r}")
            mode = _MODES[mode]
        if cookie is None:
            cookie = self.syncrepl_get_cookie()
        if isinstance(cookie, str):
            cookie = cookie.encode("latin-1")  # as pyasn1 decoded it
        value = wire.sync_request(mode, cookie, reload_hint=reloadHint)
        controls = [
            *(search_args.pop("serverctrls", None) or ()),
            RequestControl(wire.SYNC_REQUEST, True, value),
        ]
        self._syncrepl_refreshing, self._syncrepl_stopping = True, False
        self._syncrepl_cookie, self._syncrepl_held = cookie, None
        ldap_object = cast(SimpleLDAPObject, self)
        self._syncrepl_msgid = ldap_object.search_ext(
            base, scope, serverctrls=controls, **search_args
        )
        os.set_blocking(ldap_object.get_option(ldap.OPT_DESC), False)  # nor may half a message
        return self._syncrepl_msgid

    def syncrepl_message(self, msgid: int) -> Optional[Message]:
        """Return the next message of the search *msgid* if it has arrived, without waiting.

        Raises:
            ProtocolError: it is malformed.
            MemoryError: there is no memory for it.
            ldap.LDAPError: the connection is lost, or the search ended with an error.
        """
        return first_message(partial(take_results, cast(SimpleLDAPObject, self), msgid))

    def syncrepl_poll(self, msgid: int = -1, timeout: Optional[float] = None, all: int = 0) -> bool:
        """Wait for a message of the search, and call the methods that it concerns.

        Args:
            msgid: what :meth:`syncrepl_search` returned; -1 for the last search.
            timeout: seconds to wait for a message; None or less than 0: as long as it takes.
            all: go on until the search is over, if not 0.

        Returns:
            False when the search is over; True if it goes on.

        Raises:
            ldap.TIMEOUT: no message came in time.
            SyncRefreshRequired: the server can't resume from the cookie: search without one.
            ProtocolError: the server sent something malformed.
            ldap.LDAPError: the connection is lost, or the search ended with another error.
        """
        msgid = self._syncrepl_msgid if msgid == -1 else msgid
        while True:
            message = self._syncrepl_wait(msgid, timeout)
            if message is None:
                self._syncrepl_stopping = False
                return True
            self._syncrepl_dispatch(message)
            if isinstance(message, Done):
                return False
            if not all:
                return True

    def syncrepl_stop(self) -> None:
        """Make the running :meth:`syncrepl_poll`, or the next one, return True within 0.5 s.

        Safe in any thread and in signal handlers; the search goes on.
        """
        self._syncrepl_stopping = True

    def _syncrepl_wait(self, msgid: int, timeout: Optional[float]) -> Optional[Message]:
        """Return the next message; None if a stop was asked for."""
        forever = timeout is None or timeout < 0
        deadline = None if forever else time.monotonic() + (timeout or 0)
        while not self._syncrepl_stopping:
            try:
                message = self.syncrepl_message(msgid)
            except ldap.LDAPError as error:
                if wire.decode_error(error) is None:
                    raise
                raise SyncRefreshRequired(*error.args) from None
            if message is not None:
                return message
            if deadline is not None and time.monotonic() >= deadline:
                raise ldap.TIMEOUT({"desc": "Timed out"})
            wait_for(deadline, cast(SimpleLDAPObject, self).get_option(ldap.OPT_DESC))
        return None

    def _syncrepl_dispatch(self, message: Message) -> None:
        if isinstance(message, (Entry, Reference)):
            self._syncrepl_change(message)
            self._syncrepl_take(message.cookie)
        elif isinstance(message, IdSet):
            uuids = list(map(_text, message.uuids))
            if message.deletes:
                self.syncrepl_delete(uuids)
            else:
                self.syncrepl_present(uuids)
            self._syncrepl_take(message.cookie)
        elif isinstance(message, NewCookie):
            self._syncrepl_take(message.cookie)
        elif isinstance(message, PhaseEnd):
            self.syncrepl_present(None, refreshDeletes=message.deletes)
            self._syncrepl_take(message.cookie, ends_refresh=message.done)
            if message.done:
                self.syncrepl_refreshdone()
        elif isinstance(message, Done) and message.control is not None:
            if self._syncrepl_refreshing:
                self.syncrepl_present(None, refreshDeletes=message.control.deletes)
            self._syncrepl_take(message.control.cookie, ends_refresh=True)

    def _syncrepl_change(self, message: Union[Entry, Reference]) -> None:
        uuid = _text(message.uuid)
        if message.state is State.DELETE:
            self.syncrepl_delete([uuid])
            return
        if message.state is not State.PRESENT:
            if isinstance(message, Entry):
                self.syncrepl_entry(message.dn, message.attrs, uuid)
            else:
                self.syncrepl_reference(message.urls, uuid)
        if self._syncrepl_refreshing:
            self.syncrepl_present([uuid])

    def _syncrepl_take(self, new: Optional[bytes], *, ends_refresh: bool = False) -> None:
        """Hand over the cookie *new*, or hold it until the refresh stage is over."""
        if ends_refresh:
            self._syncrepl_refreshing = False
        held = new or self._syncrepl_held
        if self._syncrepl_refreshing or not held:
            self._syncrepl_held = held
            return
        self._syncrepl_held = None
        self._syncrepl_cookie = cookie.merge(self._syncrepl_cookie, held)
        self.syncrepl_set_cookie(self._syncrepl_cookie)

    # --- what a program overrides

    def syncrepl_set_cookie(self, cookie: bytes) -> None:
        """Store the cookie of all that was told so far."""

    def syncrepl_get_cookie(self) -> Union[bytes, str, None]:
        """Return the stored cookie; None to start over."""
        return None

    def syncrepl_present(
        self,
        uuids: Optional[list[str]],
        refreshDeletes: bool = False,  # noqa: N803 - python-ldap's name
    ) -> None:
        """Called with UUIDs of entries that exist, or to delete those that were not named.

        Args:
            uuids: of entries that exist; None at the end of a phase of the refresh.
            refreshDeletes: with None: True where the server named what is gone; False where all
                that was not named as present in this refresh is gone.
        """

    def syncrepl_delete(self, uuids: list[str]) -> None:
        """Delete the entries *uuids*, some of which may be unknown."""

    def syncrepl_entry(self, dn: str, attrs: Attributes, uuid: str) -> None:
        """Add the entry *uuid*, or replace what is known of it, its DN included."""

    def syncrepl_reference(self, urls: Sequence[str], uuid: str) -> None:
        """Add or replace the continuation reference *uuid*, which leads to *urls*."""

    def syncrepl_refreshdone(self) -> None:
        """Called when the refresh stage is over, and the persist stage begins."""


def _text(uuid: bytes) -> str:
    """Return a UUID as text: what ``str(UUID(bytes=uuid))`` is, several times as fast."""
    digits = uuid.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
