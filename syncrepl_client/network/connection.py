# SPDX-License-Identifier: BSD-3-Clause
"""A connection with a content synchronization search."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import ldap

from ..exceptions import ConfigurationError, ProtocolError
from ..modes import SyncreplMode
from ..protocol import wire
from ..protocol.dialect import Refusal
from ..protocol.messages import Done, Message, RefreshRequired
from ..url import SearchUrl
from ..waiting.waker import Waker
from . import transport
from .heartbeat import Heartbeat
from .results import Take, TakeEntry, first_message, take_results
from .session import Session

logger = logging.getLogger(__name__)


class Connection(Session):
    """A session with at most one content synchronization search at a time."""

    def __init__(
        self,
        url: SearchUrl,
        waker: Waker,
        *,
        starttls: bool,
        options: Mapping[int, Any],
        heartbeat: Optional[float] = None,
    ) -> None:
        """Initialize the connection, and start TLS; :meth:`bind` comes next.

        Args:
            url: the search, at ``url.server``.
            waker: wakes what waits for the connection.
            starttls: start TLS, or fail; not sent to an ``ldaps:`` server.
            options: for ``set_option``, over the defaults of :mod:`.transport`.
            heartbeat: seconds of silence after which the server is asked a question; None for
                never.

        Raises:
            ConfigurationError: an option can't be set.
            ldap.LDAPError: the server can't be reached, is not trusted, or refuses TLS.
        """
        self._search: Optional[int] = None
        self._question: Optional[int] = None
        self._heartbeat = Heartbeat(heartbeat, time.monotonic())
        self._refusal: Optional[Refusal] = None
        super().__init__(url, waker, starttls=starttls, options=options)

    def search(
        self,
        mode: SyncreplMode,
        cookie: Optional[bytes],
        refusal: Optional[Refusal] = None,
        also: Sequence[str] = (),
    ) -> None:
        """Send the content synchronization search.

        Args:
            mode: whether the server is to go on after the refresh.
            cookie: the cookie to resume from; None to start over.
            refusal: how this kind of server refuses a cookie.
            also: attributes to ask for where not all are asked for anyway.

        Raises:
            ConfigurationError: the filter is not valid.
            ldap.LDAPError: it could not be sent.
        """
        url = self.url
        self._refusal = None if cookie is None else refusal
        self._heartbeat.heard(time.monotonic())
        try:
            self._search = self.ldap.syncrepl_search(
                url.base,
                url.scope,
                mode,
                cookie,
                filterstr=url.filter,
                attrlist=[*url.attributes, *also] if url.attributes else None,
            )
        except ldap.FILTER_ERROR:
            raise ConfigurationError(
                f"{url.filter!r} is not a search filter (RFC 4515); look for an unbalanced "
                "parenthesis, or a special character in a value that wants escaping"
            ) from None

    @property
    def last_heard(self) -> float:
        """When the last message arrived, or a search was sent, by ``time.monotonic()``."""
        return self._heartbeat.last

    def receive(self) -> Optional[Message]:
        """Return the next message of the search if it has arrived; as :meth:`take`."""
        return first_message(self.take)

    def take(self, take_entry: TakeEntry, take: Take) -> None:
        """Call *take_entry* or *take* with all of the search that has arrived, without waiting.

        It goes on while they return something true, and ends with the search.

        Args:
            take_entry: called with the DN, the attributes and the controls of an entry.
            take: called with every other message.

        Raises:
            ProtocolError: a message is malformed.
            MemoryError: there is no memory for it.
            SyncUnsupported: the server does not support content synchronization for this search.
            ldap.LDAPError: the connection is lost, or the search ended with an error.
        """

        def take_other(message: Message) -> object:
            if isinstance(message, (Done, RefreshRequired)):
                self._search = None
            return take(message)

        try:
            any_taken = self._take(take_entry, take_other)
        except ldap.LDAPError as error:
            refused = wire.decode_error(error, self._refusal)
            if refused is None:
                raise transport.explained(error, self.url) from error
            take_other(refused)
            any_taken = True
        if any_taken:
            self._heartbeat.heard(time.monotonic())

    async def wait(self, deadline: Optional[float]) -> None:
        """Wait until something may have arrived, the waker is woken, or *deadline* has come.

        Call :meth:`receive` first: it must have returned None.

        Args:
            deadline: by ``time.monotonic()``; None waits for as long as it takes.

        Raises:
            ldap.SERVER_DOWN: the server was silent for too long, and did not answer a question.
        """
        until = self._heartbeat.next
        if time.monotonic() >= until:
            self._beat()
            until = self._heartbeat.next
        if deadline is not None and deadline < until:
            until = deadline
        await self.listen_or_wake(None if until == math.inf else until)

    def _beat(self) -> None:
        """Read the root DSE if the server has been silent; raise if it did not answer in time."""
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

    def _take(self, take_entry: TakeEntry, take: Take) -> bool:
        if self._search is None:
            return False
        any_taken = take_results(self.ldap, self._search, take_entry, take)
        if not any_taken and self._question is not None:
            self._hear_answer(self._question)
            # libldap may have read that on the way
            any_taken = take_results(self.ldap, self._search, take_entry, take)
        return any_taken

    def _hear_answer(self, question: int) -> None:
        """Receive the answer to the heartbeat's question, an entry and a result, if it is there."""
        try:
            for _ in range(2):
                raw = self.next(question)
                if raw is None:
                    return
                if raw.type == ldap.RES_SEARCH_RESULT:
                    break
            else:
                raise ProtocolError("the answer to a search for the root DSE does not end")
        except (ldap.SERVER_DOWN, ldap.TIMEOUT):
            raise
        except ldap.LDAPError as error:  # a refusal is a sign of life as well
            logger.debug("heartbeat of %s: %s", self.url.server, error, extra={"event": "refusal"})
        self._question = None
        self._heartbeat.heard(time.monotonic())

    def end_search(self, seconds: float, *, cancel: bool) -> None:
        """End the search, and discard what it still sends.

        Args:
            seconds: how long a server that supports Cancel may take to answer it.
            cancel: send a Cancel (RFC 3909), and abandon the search if there is no answer;
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
