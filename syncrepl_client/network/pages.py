# SPDX-License-Identifier: BSD-3-Clause
"""Searches without content synchronization, page by page (RFC 2696), or for one entry.

An answer in one piece is subject to size limits, and a server may keep it in memory; so it is read
in pages.  References are omitted: without ManageDsaIT they are not entries.
"""

import time
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from typing import Optional

import ldap
from ldap.controls import RequestControl

from ..exceptions import PagingUnsupported
from ..protocol import uniqueid, wire
from ..waiting import coroutines
from . import transport
from .parentage import Place, places
from .server import read_entry
from .session import Session

_SILENCE_SECONDS = 300.0
"""How long the server may be silent: it may have to examine many entries to find one."""


class PagedSearch:
    """Searches over a session, and closes it in the end."""

    def __init__(self, session: Session) -> None:
        """Initialize from a bound session, which :meth:`close` closes."""
        self._session = session

    def pages(self, size: int) -> Generator[wire.SearchEntry, None, None]:
        """Yield the entries of the URL's search, requested in pages of *size*.

        Raises:
            PagingUnsupported: the server does not support paged results.
            ProtocolError, Stopped, ldap.LDAPError: the answer can't be read.
        """
        url, cookie = self._session.url, b""
        while True:
            control = RequestControl(wire.PAGED_RESULTS, True, wire.paged_request(size, cookie))
            try:
                for raw in self._answers(url.base, url.scope, [control]):
                    if raw.type == ldap.RES_SEARCH_ENTRY:
                        yield wire.search_entry(raw)
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

    def read_entry(self, name: str) -> Optional[wire.SearchEntry]:
        """Return the entry *name*, with the URL's filter and attributes; None if it does not match.

        Raises:
            ProtocolError, Stopped, ldap.LDAPError: the answer can't be read.
        """
        entry: Optional[wire.SearchEntry] = None
        try:
            for raw in self._answers(name, ldap.SCOPE_BASE):
                if raw.type == ldap.RES_SEARCH_ENTRY:
                    entry = wire.only_entry(raw, entry)
        except (ldap.NO_SUCH_OBJECT, ldap.REFERRAL):
            return None
        return entry

    def _answers(
        self, base: str, scope: int, controls: Sequence[RequestControl] = ()
    ) -> Iterator[wire.RawResult]:
        """Send a search with the URL's filter and attributes; yield its results.

        Raises:
            ProtocolError: the server sent something that can't be decoded.
            Stopped: a stop was asked for.
            ldap.LDAPError: the connection is lost, or silent for five minutes, or the search ended
                with an error.
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
            session.raise_if_stopped()
            try:
                raw = session.next(message)
            except ldap.DECODING_ERROR as error:
                raise transport.explained(error, session.url) from error
            if raw is not None:
                return raw
            if time.monotonic() >= deadline:
                raise session.timed_out(f"{what} for {_SILENCE_SECONDS:g} s")
            coroutines.run(session.listen_or_wake(deadline))

    def identify(self, name: str) -> Optional[bytes]:
        """Return the UUID of the entry *name* (389-ds); None if it can't be read.

        Raises:
            ldap.LDAPError: the connection is lost, or there was no answer in time.
        """
        found = read_entry(self._session, name, [uniqueid.NAME])
        return uniqueid.of_entry(dict(found))

    def places(self, uuids: Collection[bytes]) -> Mapping[bytes, Place]:
        """As :func:`.parentage.places`."""
        return places(self._session, uuids)

    def raise_if_stopped(self) -> None:
        """Raise an exception if a stop was asked for.

        Raises:
            Stopped: it was.
        """
        self._session.raise_if_stopped()

    def close(self) -> None:
        """Close the connection."""
        self._session.close()


def _hint_at_limits(error: ldap.LDAPError, size: int) -> None:
    """Add to the error which limits apply to a paged search, unlike to content synchronization."""
    details = wire.details_of(error)
    said = f"{details['info']}; " if details.get("info") else ""
    details["info"] = (
        f"{said}the whole answer is read in pages of {size}: on OpenLDAP, let 'limits' allow this "
        "user size.prtotal=unlimited and pages that large (size.pr); on 389-ds, see to "
        "nsslapd-sizelimit, nsslapd-pagedsizelimit and nsslapd-lookthroughlimit"
    )
