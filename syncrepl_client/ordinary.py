# SPDX-License-Identifier: BSD-3-Clause
"""The directory as an ordinary search sees it: the URL's answer page by page, or one entry.

A long answer in one piece meets size limits, and a server may keep all of it in memory; so it
is read in pages (RFC 2696).  References are left out: without ManageDsaIT they are no entries.
"""

from collections.abc import Iterator
from typing import Optional

import ldap
from ldap.controls import RequestControl

from . import wire
from .connection import Connection
from .exceptions import PagingUnsupported


class OrdinarySearch:
    """Searches over a connection that it closes in the end."""

    def __init__(self, connection: Connection) -> None:
        """Take *connection* over."""
        self._connection = connection

    def pages(self, size: int) -> Iterator[wire.Found]:
        """Yield the entries that the URL's search finds; *size* of them share a page.

        Raises:
            PagingUnsupported: the server has no paged results.
            ProtocolError, Stopped, ldap.LDAPError: as ``Connection.answers``.
        """
        url, cookie = self._connection.url, b""
        while True:
            control = RequestControl(wire.PAGED_RESULTS, True, wire.paged_request(size, cookie))
            try:
                for raw in self._connection.answers(url.base, url.scope, [control]):
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
            ProtocolError, Stopped, ldap.LDAPError: as ``Connection.answers``.
        """
        entry = None
        try:
            for raw in self._connection.answers(name, ldap.SCOPE_BASE):
                if raw.type == ldap.RES_SEARCH_ENTRY:
                    entry = wire.found(raw)
        except (ldap.NO_SUCH_OBJECT, ldap.REFERRAL):
            return None
        return entry

    def heed_stop(self) -> None:
        """See that nobody wants a stop.

        Raises:
            Stopped: somebody does.
        """
        self._connection.heed_stop()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _hint_at_limits(error: ldap.LDAPError, size: int) -> None:
    """Say which limits an ordinary search has that content synchronization may not have."""
    details = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    said = f"{details['info']}; " if details.get("info") else ""
    details["info"] = (
        f"{said}the whole answer is read in pages of {size}: on OpenLDAP, let 'limits' allow this "
        "user size.prtotal=unlimited and pages that large (size.pr); on 389-ds, see to "
        "nsslapd-sizelimit, nsslapd-pagedsizelimit and nsslapd-lookthroughlimit"
    )
