# SPDX-License-Identifier: BSD-3-Clause
"""Examines whether a server can be followed, by this user, with this search; changes nothing.

Of refreshes and ordinary searches no more than ten thousand DNs are read.
"""

import contextlib
from collections.abc import Generator, Iterator, Mapping
from typing import Any, Optional

import ldap

from .. import url
from ..exceptions import ServerError
from ..network import diagnosis, server, transport
from ..network.connection import Connection
from ..network.credentials import Credentials, Password
from ..protocol import foreign, wire
from ..store import Origin
from ..url import SearchUrl
from ..waiting.waker import Waker
from . import advice, checks
from .context import CheckAborted, CheckContext, advice_for, words
from .findings import Finding, Findings

REACH_SECONDS = 10.0
"""How long a server may take to accept a connection."""

_LOST = (ldap.SERVER_DOWN, ldap.CONNECT_ERROR, ldap.TIMEOUT)


def examine(
    ldap_url: url.Urls,
    starttls: bool = False,
    *,
    options: Optional[Mapping[int, Any]] = None,
    password: Optional[Password] = None,
    sasl_user: Optional[str] = None,
    authzid: Optional[str] = None,
    origin: Optional[Origin] = None,
) -> Iterator[Finding]:
    """Check each server of a URL; yield the findings as they are made.

    The arguments are those of :class:`~syncrepl_client.Syncrepl`.  A server that does not accept a
    connection within ten seconds, or does not answer within thirty, has failed.

    Args:
        ldap_url: the search; each of several servers is checked.
        starttls: start TLS, or fail.
        options: values for ``LDAPObject.set_option``.
        password: for a simple bind or SCRAM, if the URL has none.
        sasl_user: the user name for SCRAM.
        authzid: the authorization identity for SASL.
        origin: of a store of this search, to compare with: ``read_store(path).origin``.

    Raises:
        ConfigurationError: an argument is not valid; some errors are raised only when the first
            finding is asked for.
        Exception: any exception of a function passed as password, likewise.
    """
    search = url.parse(ldap_url)
    credentials = Credentials.choose(search, password, sasl_user, authzid)
    chosen = {
        ldap.OPT_NETWORK_TIMEOUT: REACH_SECONDS,
        ldap.OPT_TIMEOUT: checks.ANSWER_SECONDS,
        **(options or {}),
    }
    return _findings(search.without_password(), credentials, starttls, chosen, origin)


def _findings(
    search: SearchUrl,
    credentials: Credentials,
    starttls: bool,
    options: Mapping[int, Any],
    origin: Optional[Origin],
) -> Iterator[Finding]:
    waker = Waker()
    try:
        for where in search.servers:
            # No attributes: how an answer comes is looked at, not what is in it.
            at = search.at(where).replace(attributes=("1.1",))
            visit = _Visit(at, credentials, waker, starttls, options)
            yield from visit.findings(search, origin)
    finally:
        waker.close()


class _Lost(Exception):
    """No further check of this server is possible."""


class _Visit:
    """The examination of one server."""

    def __init__(
        self,
        search: SearchUrl,
        credentials: Credentials,
        waker: Waker,
        starttls: bool,
        options: Mapping[int, Any],
    ) -> None:
        self._url = search
        self._credentials = credentials
        self._waker = waker
        self._starttls = starttls
        self._options = options
        self._encrypted = starttls or transport.is_tls(search.server)
        named = "..." if credentials.mechanism else credentials.bindname or ""
        self._report = Findings(search.server, named)

    def findings(self, search: SearchUrl, origin: Optional[Origin]) -> Iterator[Finding]:
        with contextlib.suppress(_Lost), contextlib.ExitStack() as stack:
            yield from self._reach()
            connection = yield from self._connect()
            stack.callback(connection.close)
            shown = self._credentials.shows_password
            context = CheckContext(
                connection,
                self._report,
                encrypted=self._encrypted,
                password=shown,
                seconds=checks.ANSWER_SECONDS,
                search=search,
                origin=origin,
            )
            for subject, check in checks.CHECKS:
                yield from self._guarded(subject, check(context))

    def _guarded(self, subject: str, check: Iterator[Finding]) -> Iterator[Finding]:
        try:
            yield from check
        except CheckAborted as error:
            yield error.finding
            raise _Lost from None
        except _LOST as error:
            said = f"the connection was lost, or nothing came: {transport.described(error)}"
            yield self._report.failure(subject, said, advice.AGAIN)
            raise _Lost from None
        except (ldap.LDAPError, ServerError) as error:
            yield self._report.failure(subject, words(error), advice_for(error))

    def _reach(self) -> Iterator[Finding]:
        if self._url.server.startswith("ldapi:"):
            return  # there is nothing between; the bind will tell
        seconds = self._options[ldap.OPT_NETWORK_TIMEOUT]
        why = diagnosis.unreachable(self._url.server, seconds)
        if why is not None:
            yield self._report.failure("network", why, advice.REACH)
            raise _Lost from None
        yield self._report.ok("network", "the port is open")

    def _connect(self) -> Generator[Finding, None, Connection]:
        """Return the bound connection."""
        subject = "TLS"
        try:
            connection = self._prepare()
            with contextlib.ExitStack() as undo:
                undo.callback(connection.close)
                password = self._credentials.password()
                undo.pop_all()
            subject = "bind"
            connection.bind(self._credentials, password)
        except ldap.LDAPError as error:
            if subject == "bind" and not isinstance(error, _LOST):
                yield from self._foreigner(error)
            yield self._not_in(subject, error)
            raise _Lost from None
        return connection

    def _foreigner(self, error: ldap.LDAPError) -> Iterator[Finding]:
        """Look whether a server that lets nobody in is one that can't be followed anyway.

        Active Directory takes no simple bind without TLS, but shows its root DSE to anybody.
        """
        stranger = foreign.by_refusal(wire.details_of(error).get("info", ""))
        with contextlib.suppress(ldap.LDAPError), contextlib.ExitStack() as stack:
            connection = self._prepare()
            connection.bind(Credentials(), b"")
            stack.callback(connection.close)
            stranger = stranger or foreign.by_root_dse(server.read_root_dse(connection))
        if stranger is not None:
            yield checks.foreigner(self._report, stranger)

    def _prepare(self) -> Connection:
        return Connection(self._url, self._waker, starttls=self._starttls, options=self._options)

    def _not_in(self, subject: str, error: ldap.LDAPError) -> Finding:
        said = words(error)
        if not isinstance(error, _LOST):
            if subject != "bind":
                return self._report.failure(subject, said, advice.TLS)
            what = advice.SASL if self._credentials.mechanism else advice.CREDENTIALS
            return self._report.failure(subject, said, what)
        if self._encrypted:
            return self._report.failure("TLS", said, advice.TLS)
        what = advice.SOCKET if self._url.server.startswith("ldapi:") else advice.REACH
        return self._report.failure("network", f"no LDAP: {said}", what)
