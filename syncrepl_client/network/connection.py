# SPDX-License-Identifier: BSD-3-Clause
"""A connection on which a content synchronization search goes on."""

import logging
import math
import time
from collections.abc import Mapping
from typing import Any, Optional

import ldap
from ldap.controls import RequestControl

from .. import wire
from ..dialect import Refusal
from ..exceptions import ConfigurationError
from ..messages import Message
from ..modes import SyncreplMode
from ..url import SearchUrl
from ..waiting import Waker
from . import transport
from .heartbeat import Heartbeat
from .session import Session

logger = logging.getLogger(__name__)


class Connection(Session):
    """A session with one content synchronization search at a time."""

    def __init__(
        self,
        url: SearchUrl,
        waker: Waker,
        *,
        starttls: bool,
        options: Mapping[int, Any],
        heartbeat: Optional[float] = None,
    ) -> None:
        """Prepare it, as a session.

        Args:
            url: where to, at ``url.server``.
            waker: what ends a wait.
            starttls: start TLS, or fail; not sent where the server is an ``ldaps:`` one.
            options: for ``set_option``, over the defaults of :mod:`.transport`.
            heartbeat: seconds of silence after which the server is asked for a sign of life;
                None for never.

        Raises:
            ConfigurationError: an option can't be set.
            ldap.LDAPError: the server can't be reached, is not to be trusted, or refuses TLS.
        """
        self._search: Optional[int] = None
        self._question: Optional[int] = None
        self._heartbeat = Heartbeat(heartbeat, time.monotonic())
        self._refusal: Optional[Refusal] = None
        super().__init__(url, waker, starttls=starttls, options=options)

    def search(
        self, mode: SyncreplMode, cookie: Optional[bytes], refusal: Optional[Refusal] = None
    ) -> None:
        """Send the content synchronization search.

        Args:
            mode: whether the server shall go on after the refresh.
            cookie: how far this client got; None to start over.
            refusal: how this kind of server refuses a cookie.

        Raises:
            ConfigurationError: the filter is none.
            ldap.LDAPError: it could not be sent.
        """
        url = self.url
        self._refusal = None if cookie is None else refusal
        control = RequestControl(wire.SYNC_REQUEST, True, wire.sync_request(mode, cookie))
        self._heartbeat.heard(time.monotonic())
        try:
            self._search = self.send(url.base, url.scope, url.filter, url.attributes, [control])
        except ldap.FILTER_ERROR:
            raise ConfigurationError(
                f"{url.filter!r} is not a search filter (RFC 4515); look for an unbalanced "
                "parenthesis, or a special character in a value that wants escaping"
            ) from None

    @property
    def last_heard(self) -> float:
        """When the server last said something, or was last searched; by ``time.monotonic()``."""
        return self._heartbeat.last

    def receive(self) -> Optional[Message]:
        """Return the next message of the search if it has arrived, without waiting.

        Raises:
            ProtocolError: it is malformed.
            SyncUnsupported: the server has no content synchronization there.
            ldap.LDAPError: the connection is lost, or the search ended with an error.
        """
        while True:
            try:
                raw = self._next_of_search()
            except ldap.LDAPError as error:
                message = wire.decode_error(error, self._refusal)
                if message is None:
                    raise transport.explained(error, self.url) from error
                self._search = None
                return message
            except (UnicodeDecodeError, MemoryError) as error:
                raise transport.explained(error, self.url) from error
            if raw is None:
                return None
            self._heartbeat.heard(time.monotonic())
            if raw.type == ldap.RES_SEARCH_RESULT:
                self._search = None
            decoded = wire.decode(raw)
            if decoded is not None:
                return decoded

    async def wait(self, deadline: Optional[float]) -> None:
        """Wait until something may have arrived, somebody calls the waker, or *deadline*.

        Call :meth:`receive` first: it must have returned None.

        Args:
            deadline: by ``time.monotonic()``; None waits for as long as it takes.

        Raises:
            ldap.SERVER_DOWN: the server has been silent for too long, though it was asked.
        """
        self._beat()
        until = self._heartbeat.next
        until = until if deadline is None else min(deadline, until)
        await self.listen_or_wake(None if math.isinf(until) else until)

    def _beat(self) -> None:
        """Ask a server that has been silent for a while for its root DSE, give up a dead one."""
        now = time.monotonic()
        if self._heartbeat.is_due(now):
            if self._question is None:
                self._question = self.send("", ldap.SCOPE_BASE, "(objectClass=*)", ["1.1"])
            self._heartbeat.asked(now)
        elif self._heartbeat.is_overdue(now):
            raise ldap.SERVER_DOWN(
                {
                    "desc": "Can't contact LDAP server",
                    "info": f"{self.url.server} has been silent for too long, also when asked",
                }
            )

    def _next_of_search(self) -> Optional[wire.RawResult]:
        if self._search is None:
            return None
        raw = self.next(self._search)
        if raw is None and self._question is not None:
            self._hear_answer(self._question)
            raw = self.next(self._search)  # libldap may have read that on the way
        return raw

    def _hear_answer(self, question: int) -> None:
        """Take the answer to the heartbeat's question, if it has come."""
        try:
            raw = self.next(question)
            while raw is not None and raw.type != ldap.RES_SEARCH_RESULT:
                raw = self.next(question)
            if raw is None:
                return
        except (ldap.SERVER_DOWN, ldap.TIMEOUT):
            raise
        except ldap.LDAPError as error:  # a refusal is a sign of life as well
            logger.debug("heartbeat of %s: %s", self.url.server, error, extra={"event": "refusal"})
        self._question = None
        self._heartbeat.heard(time.monotonic())

    def end_search(self, seconds: float, *, cancel: bool) -> None:
        """End the search, whatever it still has to say is thrown away.

        Args:
            seconds: how long a server that knows Cancel may take to answer it.
            cancel: send a Cancel (RFC 3909), abandon the search if that brings no answer;
                otherwise abandon it at once.
        """
        if self._search is None:
            return
        search, self._search = self._search, None
        if cancel and self._canceled(search, time.monotonic() + seconds):
            return
        self.ldap.abandon(search)

    def _canceled(self, search: int, deadline: float) -> bool:
        answer = self.extended(wire.CANCEL, wire.cancel_request(search))
        while time.monotonic() < deadline:
            try:
                raw = self.next(search)
            except ldap.CANCELLED:
                break
            except (UnicodeDecodeError, MemoryError, ldap.DECODING_ERROR):
                continue  # nothing of it is used
            if raw is None:
                self.listen(deadline)
            elif raw.type == ldap.RES_SEARCH_RESULT:
                break
        else:
            return False
        self.ldap.abandon(answer)  # what it says is known
        return True
