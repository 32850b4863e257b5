# SPDX-License-Identifier: BSD-3-Clause
"""The directory as an ordinary search sees it: the URL's answer page by page, or one entry.

A long answer in one piece meets size limits, and a server may keep all of it in memory; so it
is read in pages (RFC 2696).  References are left out: without ManageDsaIT they are no entries.
"""

import time
from collections.abc import Generator, Iterator, Sequence
from typing import Optional

import ldap
from ldap.controls import RequestControl

from .. import wire
from ..driving import drive
from ..exceptions import PagingUnsupported
from . import transport
from .session import Session

_SILENCE_SECONDS = 300.0
"""How long the server may say nothing: it may look through a lot before it finds something."""


class OrdinarySearch:
    """Searches in a session that it closes in the end."""

    def __init__(self, session: Session) -> None:
        """Take *session* over."""
        self._session = session

    def pages(self, size: int) -> Generator[wire.Found, None, None]:
        """Yield the entries that the URL's search finds; *size* of them share a page.

        Raises:
            PagingUnsupported: the server has no paged results.
            ProtocolError, Stopped, ldap.LDAPError: the answer can't be had.
        """
        url, cookie = self._session.url, b""
        while True:
            control = RequestControl(wire.PAGED_RESULTS, True, wire.paged_request(size, cookie))
            try:
                for raw in self._answers(url.base, url.scope, [control]):
                    if raw.type == ldap.RES_SEARCH_ENTRY:
                        yield wire.found(raw)
                    elif raw.type == ldap.RES_SEARCH_RESULT:
                        cookie = wire.next_page(raw)
            except ldap.UNAVAILABLE_CRITICAL_EXTENSION as error:
                raise PagingUnsupported(
                    f"the server at {url.server} has no paged results (RFC 2696) on {url.base!r}, "
                    "or this user may not use them: without them the answer can't be read"
                ) from error
            except (ldap.SIZELIMIT_EXCEEDED, ldap.ADMINLIMIT_EXCEEDED) as error:
                _hint_at_limits(error, size)
                raise
            if not cookie:
                return

    def read_entry(self, name: str) -> Optional[wire.Found]:
        """Return the entry *name* as the URL's search finds it; None if it doesn't.

        Raises:
            ProtocolError, Stopped, ldap.LDAPError: the answer can't be had.
        """
        entry = None
        try:
            for raw in self._answers(name, ldap.SCOPE_BASE):
                if raw.type == ldap.RES_SEARCH_ENTRY:
                    entry = wire.found(raw)
        except (ldap.NO_SUCH_OBJECT, ldap.REFERRAL):
            return None
        return entry

    def _answers(
        self, base: str, scope: int, controls: Sequence[RequestControl] = ()
    ) -> Iterator[wire.RawResult]:
        """Send a search with the URL's filter and attributes; yield all that answers it.

        Raises:
            ProtocolError: the server sent something that can't be decoded.
            Stopped: a stop was asked for.
            ldap.LDAPError: the connection is lost, or silent for five minutes, or the search
                ended with an error.
        """
        url = self._session.url
        message = self._session.send(base, scope, url.filter, url.attributes, controls)
        ended = False
        while not ended:
            raw = self._next(message, f"the search below {base!r}")
            ended = raw.type == ldap.RES_SEARCH_RESULT
            yield raw

    def _next(self, message: int, what: str) -> wire.RawResult:
        """Wait for the next answer to *message*."""
        session, deadline = self._session, time.monotonic() + _SILENCE_SECONDS
        while True:
            session.heed_stop()
            try:
                raw = session.next(message)
            except (UnicodeDecodeError, MemoryError, ldap.DECODING_ERROR) as error:
                raise transport.explained(error, session.url) from error
            if raw is not None:
                return raw
            if time.monotonic() >= deadline:
                raise session.timed_out(f"{what} for {_SILENCE_SECONDS:g} s")
            drive(session.listen_or_wake(deadline))

    def heed_stop(self) -> None:
        """See that nobody wants a stop.

        Raises:
            Stopped: somebody does.
        """
        self._session.heed_stop()

    def close(self) -> None:
        """Close the connection."""
        self._session.close()


def _hint_at_limits(error: ldap.LDAPError, size: int) -> None:
    """Say which limits an ordinary search has that content synchronization may not have."""
    details = wire.details_of(error)
    said = f"{details['info']}; " if details.get("info") else ""
    details["info"] = (
        f"{said}the whole answer is read in pages of {size}: on OpenLDAP, let 'limits' allow this "
        "user size.prtotal=unlimited and pages that large (size.pr); on 389-ds, see to "
        "nsslapd-sizelimit, nsslapd-pagedsizelimit and nsslapd-lookthroughlimit"
    )
