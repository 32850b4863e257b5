# SPDX-License-Identifier: BSD-3-Clause
"""How a client gets in: to the first of several servers that lets it."""

import contextlib
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

import ldap

from ..url import SearchUrl
from ..waiting import Waker
from . import server, transport
from .connection import Connection
from .credentials import Credentials
from .server import ServerFacts

Peer = tuple[Connection, ServerFacts]


class Opener(NamedTuple):
    """Makes connections that are all alike.

    Attributes:
        url: of the search, at one or several servers.
        credentials: whom to bind as; the password is asked for at each bind.
        waker: what ends a wait.
        starttls: whether to start TLS, or fail.
        options: for ``set_option``, over the defaults of :mod:`.transport`.
        heartbeat: seconds of silence after which a server is asked for a sign of life; None
            for never.
    """

    url: SearchUrl
    credentials: Credentials
    waker: Waker
    starttls: bool
    options: Mapping[int, Any]
    heartbeat: Optional[float] = None

    def meet(self, turn: int) -> Peer:
        """Return a connection as :meth:`open` does, and the facts about its server.

        Raises:
            SyncUnsupported: the server doesn't know RFC 4533.
            Exception: whatever :meth:`open` raises.
        """
        connection = self.open(turn)
        try:
            return connection, server.probe(connection, connection.url)
        except BaseException:
            connection.close()
            raise

    def open(self, turn: int = 0) -> Connection:
        """Return a bound connection to the first of the servers that lets us in.

        Each is tried once, in their order, from number *turn* on (modulo their number).  Wrong
        credentials too are no reason to end: a new password may not have reached one replica
        yet.

        Raises:
            ConfigurationError: an option can't be set, or there is no password; no other server
                is tried.
            Exception: what the password's source raised, unchanged; likewise.
            ldap.LDAPError: no server lets us in.  Of several it is INVALID_CREDENTIALS if one
                said that, then what another said that could be reached, then the last; its
                ``info`` tells what each said.
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
