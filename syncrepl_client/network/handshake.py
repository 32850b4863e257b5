# SPDX-License-Identifier: BSD-3-Clause
"""Checks before libldap connects: that a server is reachable, and answers a TLS handshake.

Built on GnuTLS (Debian, Ubuntu), libldap ignores its time limits during a handshake: if a server
accepts the connection and stays silent, it keeps a core busy forever and can't be interrupted.
Therefore such a server is detected over a separate connection, on which Python waits.  Nothing is
trusted or sent over it: it starts a handshake, receives the first octet, and is closed.

Besides :mod:`.session`, which calls it, no other module accesses the network.
"""

import contextlib
import errno
import socket
from typing import Optional

import ldap

from . import diagnosis

_MOST_OCTETS = 65536


def is_needed() -> bool:
    """Return True if this libldap may hang in a handshake."""
    return bool(ldap.get_option(ldap.OPT_X_TLS_PACKAGE) == "GnuTLS")


def check(server: str, seconds: Optional[float]) -> None:
    """Check that *server* answers a handshake.  All other errors are left to libldap.

    Args:
        server: an ``ldaps:`` URL, as ``ldap.initialize`` takes it.
        seconds: how long it may take to connect, and again to answer; None: as long as it takes.

    Raises:
        ldap.SERVER_DOWN: it did not accept the connection in time.
        ldap.TIMEOUT: it accepted the connection, and did not answer in time.
    """
    if seconds is not None and seconds <= 0:
        return  # nobody answers in no time
    try:
        host, port = diagnosis.address(server)
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
    """Return the first message of a TLS handshake."""
    import ssl  # takes its time, and nobody else needs it

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # there will be no session
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=host)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read(_MOST_OCTETS)
