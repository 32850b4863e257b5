# SPDX-License-Identifier: BSD-3-Clause
"""Whether a server is there, and answers a TLS handshake, seen before libldap goes there.

Built on GnuTLS (Debian, Ubuntu), libldap ignores its time limits in a handshake: at a server
that takes the connection and stays silent it keeps a core busy for good, and nothing can
interrupt it.  So such a server is found out by a connection of our own, on which Python waits.
Nothing is trusted or told there: it begins a handshake, hears the first octet, and is closed.

Besides :mod:`.session`, which calls it, no other module talks to the network.
"""

import contextlib
import errno
import socket
from typing import Optional
from urllib.parse import urlsplit

import ldap

_PORTS = {"ldap": 389, "ldaps": 636}
_MOST_OCTETS = 65536


def is_needed() -> bool:
    """Whether the libldap at hand may hang in a handshake."""
    return bool(ldap.get_option(ldap.OPT_X_TLS_PACKAGE) == "GnuTLS")


def check(server: str, seconds: Optional[float]) -> None:
    """See that *server* does not stay silent.  Whatever else is wrong, libldap will explain.

    Args:
        server: an ``ldaps:`` URL, as ``ldap.initialize`` takes it.
        seconds: how long it may take to be connected, and again to answer; None: as long as
            it likes.

    Raises:
        ldap.SERVER_DOWN: it was not connected in time.
        ldap.TIMEOUT: it was connected, and did not answer in time.
    """
    if seconds is not None and seconds <= 0:
        return  # nobody answers in no time
    try:
        host, port = _address(server)
        hello = _client_hello(host)
        with socket.create_connection((host, port), seconds) as connection:
            _expect_answer(connection, hello, server)
    except socket.timeout:
        # What libldap says of it, which would wait for as long again.
        raise ldap.SERVER_DOWN(
            {
                "desc": "Can't contact LDAP server",
                "errno": errno.ETIMEDOUT,
                "info": f"{server} did not accept the connection in {seconds:g} s",
            }
        ) from None
    except (OSError, ValueError):
        return


def reach(server: str, seconds: float) -> None:
    """See that somebody listens where *server* is said to be, on a network.

    libldap has no words for a name that nobody knows, and the wrong ones for a closed port.

    Args:
        server: an ``ldap:`` or ``ldaps:`` URL, as ``ldap.initialize`` takes it.
        seconds: how long it may take to be connected.

    Raises:
        ldap.SERVER_DOWN: nobody does; the ``info`` says why.
    """
    try:
        host, port = _address(server)
        socket.create_connection((host, port), seconds).close()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ldap.SERVER_DOWN(
            {"desc": "Can't contact LDAP server", "info": why or str(error)}
        ) from (error)


def _address(server: str) -> "tuple[str, int]":
    parts = urlsplit(server)
    return parts.hostname or "localhost", parts.port or _PORTS.get(parts.scheme, 389)


def _expect_answer(connection: socket.socket, hello: bytes, server: str) -> None:
    seconds = connection.gettimeout()
    try:
        connection.sendall(hello)
        connection.recv(1)  # an alert will do, and so will the end
    except socket.timeout:
        raise ldap.TIMEOUT(
            {
                "desc": "Timed out",
                "info": f"{server} accepted the connection, but did not answer the TLS handshake "
                f"in {seconds:g} s",
            }
        ) from None


def _client_hello(host: str) -> bytes:
    """Return what a client says first."""
    import ssl  # takes its time, and nobody else needs it

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # there will be no session
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=host)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read(_MOST_OCTETS)
