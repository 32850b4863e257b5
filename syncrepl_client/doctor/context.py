# SPDX-License-Identifier: BSD-3-Clause
"""What the checks of :mod:`.examination` share."""

from typing import Optional

import ldap

from ..network import server, transport
from ..network.connection import Connection
from ..network.server import ServerFacts
from ..protocol.dialect import OTHER
from ..store import Origin
from ..url import SearchUrl
from . import advice
from .advice import Advice
from .findings import Finding, Findings

NOT_YOU = (
    ldap.STRONG_AUTH_REQUIRED, ldap.INAPPROPRIATE_AUTH, ldap.INSUFFICIENT_ACCESS,
    ldap.UNWILLING_TO_PERFORM,  # slapd's "authentication required"
)  # fmt: skip


class CheckAborted(Exception):
    """Raised by a check if further checks of this server are useless."""

    def __init__(self, finding: Finding) -> None:
        """Initialize with the finding that says why."""
        super().__init__(finding.found)
        self.finding = finding


class CheckContext:
    """A server to which there is a bound connection.

    Attributes:
        connection: the connection; its URL requests no attributes.
        report: creates findings about it.
        encrypted: whether TLS is used.
        password: whether the server got a password.
        root_dse: the server's, once it was read.
        facts: about the server, once they are known.
        seconds: how long the server may take for each answer.
        search: the search, with its attributes.
        origin: of a store of this search; None if there is none.
        syncs: whether a refresh could be started.
        proxied: whether the server is a proxy for one of another kind.
    """

    def __init__(
        self,
        connection: Connection,
        report: Findings,
        *,
        encrypted: bool,
        password: bool,
        seconds: float,
        search: Optional[SearchUrl] = None,
        origin: Optional[Origin] = None,
    ) -> None:
        """Initialize from a bound connection."""
        self.connection = connection
        self.url = connection.url
        self.report = report
        self.encrypted = encrypted
        self.password = password
        self.seconds = seconds
        self.search = search or connection.url
        self.origin = origin
        self.root_dse: server.Entry = {}
        self.facts = ServerFacts(OTHER)
        self.syncs = self.proxied = False

    def read(self, name: str, attribute: str) -> "list[bytes]":
        """Return the values of an attribute of the entry *name*; none if it may not be read."""
        try:
            return self.connection.read(name, "(objectClass=*)", [attribute])[attribute.lower()]
        except (KeyError, ldap.NO_SUCH_OBJECT, ldap.INSUFFICIENT_ACCESS):
            return []


def words(error: Exception) -> str:
    """Return the text of *error*."""
    return transport.described(error) if isinstance(error, ldap.LDAPError) else str(error)


def advice_for(error: Exception) -> Advice:
    """Return the advice for an *error* that no check expects."""
    if isinstance(error, ldap.CONFIDENTIALITY_REQUIRED):
        return advice.CLEAR
    return advice.WHO if isinstance(error, NOT_YOU) else advice.AGAIN
