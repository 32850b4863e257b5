# SPDX-License-Identifier: BSD-3-Clause
"""Connecting and binding to the first of several servers that accepts the client."""

import contextlib
from collections.abc import Mapping
from typing import Any, Optional

import ldap

from ..url import SearchUrl
from ..waiting.waker import Waker
from . import passwordpolicy, server, syncprov, transport, unreported
from .connection import Connection
from .credentials import Credentials
from .server import ServerFacts

Peer = tuple[Connection, ServerFacts]


class Connector:
    """Makes connections with the same URL, credentials and options.

    Attributes:
        url: the search, at one or several servers.
        credentials: for the bind; the password is read at each one.
        waker: wakes what waits for the connections.
        starttls: whether to start TLS, or fail.
        options: for ``set_option``, over the defaults of :mod:`.transport`.
        heartbeat: seconds of silence after which a server is asked a question; None for never.
    """

    def __init__(
        self,
        url: SearchUrl,
        credentials: Credentials,
        waker: Waker,
        starttls: bool,
        options: Mapping[int, Any],
        heartbeat: Optional[float] = None,
    ) -> None:
        """Initialize; nothing is connected."""
        self.url = url
        self.credentials = credentials
        self.waker = waker
        self.starttls = starttls
        self.options = options
        self.heartbeat = heartbeat

    def connect_and_probe(self, turn: int, *, thorough: bool = False) -> Peer:
        """Return a connection made by :meth:`connect`, and the facts about its server.

        Args:
            turn: as for :meth:`connect`.
            thorough: whether to look for databases that are glued in a wrong way (OpenLDAP), for
                which the server looks at all of its entries; and for what changes attributes
                without reporting it.

        Raises:
            SyncUnsupported: the server does not support RFC 4533.
            Exception: as :meth:`connect`.
        """
        connection = self.connect(turn)
        try:
            facts = server.probe(connection, connection.url)
            connection.ldap.takes_any_name = facts.dialect.takes_any_name
            if thorough and facts.dialect.merges_cookies and facts.knows.changes:
                wrong = syncprov.glue_fault(connection, connection.url.base, facts.suffix)
                facts = facts._replace(misconfigured=wrong)
            silent = unreported.find(
                connection,
                facts.dialect,
                self.url.attributes,
                facts.types,
                facts.suffix,
                thorough=thorough,
            )
            return connection, facts._replace(unreported=silent)
        except BaseException:
            connection.close()
            raise

    def connect(self, turn: int = 0) -> Connection:
        """Return a bound connection to the first server that accepts the client.

        Each server is tried once, in their order, starting with number *turn* (modulo their
        number).  Wrong credentials do not end this either: a new password may not have been
        replicated yet.

        Raises:
            ConfigurationError: an option can't be set, or there is no password; no other server is
                tried.
            Exception: any exception of the password's source; likewise.
            ldap.LDAPError: no server accepts the client.  Of several errors it is
                INVALID_CREDENTIALS if there is one, else one from a server that could be reached,
                else the last; its ``info`` has those of all servers.
        """
        failures: list[tuple[str, ldap.LDAPError]] = []
        servers = self.url.servers
        for number in range(turn, turn + len(servers)):
            where = servers[number % len(servers)]
            try:
                connection = self._prepare(where)
            except ldap.LDAPError as error:
                failures.append((where, error))
                continue
            with contextlib.ExitStack() as undo:
                undo.callback(connection.close)
                password = self.credentials.password()  # its errors are not the server's doing
                undo.pop_all()
            try:
                connection.bind(self.credentials, password)
            except ldap.LDAPError as error:
                failures.append((where, error))
                if passwordpolicy.is_final(error):
                    break
            else:
                return connection
        raise transport.most_telling(failures)

    def _prepare(self, where: str) -> Connection:
        return Connection(
            self.url.at(where),
            self.waker,
            starttls=self.starttls,
            options=self.options,
            heartbeat=self.heartbeat,
        )
