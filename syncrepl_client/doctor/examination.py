# SPDX-License-Identifier: BSD-3-Clause
"""Is a server fit to be followed, by this user, with this search?  Asks, and changes nothing.

Of a refresh no more is read than what comes first; of an ordinary search ten thousand names.
"""

import contextlib
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from typing import Any, Optional

import ldap

from .. import url
from ..exceptions import ServerError
from ..network import handshake, transport
from ..network.connection import Connection
from ..network.credentials import Credentials, Password
from ..url import SearchUrl
from ..waiting import Waker
from . import advice, checks
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
) -> Iterator[Finding]:
    """Return what is found at each server of a URL, one check after the other, as it is found.

    The arguments are those of :class:`~syncrepl_client.Syncrepl`.  A server that does not accept
    a connection within ten seconds, or does not answer within thirty, has failed.

    Args:
        ldap_url: what is to be followed; of several servers each is looked at.
        starttls: start TLS, or fail.
        options: values for ``LDAPObject.set_option``.
        password: for a simple bind or SCRAM, where the URL has none.
        sasl_user: the user name of SCRAM.
        authzid: with SASL, whom to act as.

    Raises:
        ConfigurationError: an argument can't be used; some are found to be so only when the
            first finding is asked for.
        Exception: what a function given as password raised, likewise.
    """
    search = url.parse(ldap_url)
    credentials = Credentials.choose(search, password, sasl_user, authzid)
    chosen = {
        ldap.OPT_NETWORK_TIMEOUT: REACH_SECONDS,
        ldap.OPT_TIMEOUT: checks.ANSWER_SECONDS,
        **(options or {}),
    }
    return _findings(search.without_password(), credentials, starttls, chosen)


def _findings(
    search: SearchUrl, credentials: Credentials, starttls: bool, options: Mapping[int, Any]
) -> Iterator[Finding]:
    waker = Waker()
    try:
        for where in search.servers:
            # No attributes: how an answer comes is looked at, not what is in it.
            at = replace(search.at(where), attributes=("1.1",))
            yield from _Visit(at, credentials, waker, starttls, options).findings()
    finally:
        waker.close()


class _Lost(Exception):
    """Nothing more can be found out at this server."""


class _Visit:
    """One server, until nothing more can be found out."""

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
        self._say = Findings(search.server, named)

    def findings(self) -> Iterator[Finding]:
        with contextlib.suppress(_Lost), contextlib.ExitStack() as stack:
            yield from self._reach()
            connection = yield from self._connect()
            stack.callback(connection.close)
            shown = self._credentials.shows_password
            peer = checks.Peer(connection, self._say, encrypted=self._encrypted, password=shown)
            for subject, check in checks.CHECKS:
                yield from self._guarded(subject, check(peer))

    def _guarded(self, subject: str, check: Iterator[Finding]) -> Iterator[Finding]:
        try:
            yield from check
        except checks.Hopeless as error:
            yield error.finding
            raise _Lost from None
        except _LOST as error:
            said = f"the connection was lost, or nothing came: {transport.described(error)}"
            yield self._say.failure(subject, said, advice.AGAIN)
            raise _Lost from None
        except (ldap.LDAPError, ServerError) as error:
            yield self._say.failure(subject, checks.words(error), checks.advice_for(error))

    def _reach(self) -> Iterator[Finding]:
        if self._url.server.startswith("ldapi:"):
            return  # there is nothing between; the bind will tell
        try:
            handshake.reach(self._url.server, self._options[ldap.OPT_NETWORK_TIMEOUT])
        except ldap.SERVER_DOWN as error:
            yield self._say.failure("network", checks.words(error), advice.REACH)
            raise _Lost from None
        yield self._say.ok("network", "the port is open")

    def _connect(self) -> Generator[Finding, None, Connection]:
        """Return the bound connection."""
        subject = "TLS"
        try:
            connection = Connection(
                self._url, self._waker, starttls=self._starttls, options=self._options
            )
            with contextlib.ExitStack() as undo:
                undo.callback(connection.close)
                password = self._credentials.password()
                undo.pop_all()
            subject = "bind"
            connection.bind(self._credentials, password)
        except ldap.LDAPError as error:
            yield self._not_in(subject, error)
            raise _Lost from None
        return connection

    def _not_in(self, subject: str, error: ldap.LDAPError) -> Finding:
        said = checks.words(error)
        if not isinstance(error, _LOST):
            if subject != "bind":
                return self._say.failure(subject, said, advice.TLS)
            what = advice.SASL if self._credentials.mechanism else advice.CREDENTIALS
            return self._say.failure(subject, said, what)
        if self._encrypted:
            for noise in (f"; {transport.CERTIFICATE_HINT}", ", (unknown error code)"):
                said = said.replace(noise, "")
            return self._say.failure("TLS", said, advice.TLS)
        what = advice.SOCKET if self._url.server.startswith("ldapi:") else advice.REACH
        return self._say.failure("network", f"no LDAP: {said}", what)
