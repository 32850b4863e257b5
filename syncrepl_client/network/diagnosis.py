# SPDX-License-Identifier: BSD-3-Clause
"""Why a server can't be reached or trusted: libldap does not tell, so it is asked once more.

libldap names neither a host that nobody knows nor what is wrong with a certificate, and its words
for a closed port are those of another error.  The standard library's sockets and ``ssl``, put
before the same server with the same files, find the same fault and say which it is.  Nothing is
sent but what begins TLS.
"""

import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import unquote, urlsplit

import ldap

if TYPE_CHECKING:
    import ssl

SECONDS = 5.0
"""How long the server may take to be connected, and again to answer."""

_PORTS = {"ldap": 389, "ldaps": 636}
# ExtendedRequest (RFC 4511, 4.14.1), message 1, with the name 1.3.6.1.4.1.1466.20037.
_START_TLS = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"

_FILES = {
    "the certificates of the authorities": ldap.OPT_X_TLS_CACERTFILE,
    "the client's certificate": ldap.OPT_X_TLS_CERTFILE,
    "the key of the client's certificate": ldap.OPT_X_TLS_KEYFILE,
}
# X509_V_ERR_..., by OpenSSL's numbers
_NOT_YET_VALID, _EXPIRED = 9, 10
_SELF_SIGNED, _SELF_SIGNED_ROOT, _NO_ISSUER, _UNVERIFIABLE = 18, 19, 20, 21
_OTHER_HOST, _OTHER_ADDRESS = 62, 64


def address(server: str) -> "tuple[str, int]":
    """Return host and port of an ``ldap:`` or ``ldaps:`` URL.

    Raises:
        ValueError: the port is none.
    """
    parts = urlsplit(server)
    return parts.hostname or "localhost", parts.port or _PORTS.get(parts.scheme, 389)


def find_out(
    server: str, *, starttls: bool, options: Mapping[int, Any], seconds: float = SECONDS
) -> Optional[str]:
    """Return what is wrong on the way to *server*, in words; None if nothing is found.

    Args:
        server: as ``ldap.initialize`` takes it.
        starttls: whether TLS is to be started there.
        options: of libldap: the TLS options matter.
        seconds: how long each step may take.
    """
    if server.startswith("ldapi:"):
        return _local_socket(unquote(server.partition("://")[2]).rstrip("/"))
    try:
        host, port = address(server)
        with socket.create_connection((host, port), seconds) as connection:
            if server.startswith("ldaps:"):
                return _tls(connection, host, options)
            return _starttls(connection, host, options) if starttls else None
    except (OSError, ValueError) as error:
        return _words(error, seconds)


def unreachable(server: str, seconds: float) -> Optional[str]:
    """Return why *server* does not accept a connection within *seconds*; None if it does."""
    try:
        socket.create_connection(address(server), seconds).close()
    except (OSError, ValueError) as error:
        return _words(error, seconds)
    return None


def _words(error: Exception, seconds: float = SECONDS) -> str:
    if isinstance(error, socket.timeout):
        return f"no connection was accepted in {seconds:g} s"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _local_socket(path: str) -> Optional[str]:
    if not path:
        return None  # libldap's default place
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
    except (OSError, ValueError) as error:
        return f"{path}: {_words(error)}"
    return None


def _starttls(connection: socket.socket, host: str, options: Mapping[int, Any]) -> Optional[str]:
    connection.sendall(_START_TLS)
    answer = connection.recv(4096)
    # An ExtendedResponse whose resultCode is 0; any other libldap has told of itself.
    return _tls(connection, host, options) if b"\x0a\x01\x00" in answer[:24] else None


def _tls(connection: socket.socket, host: str, options: Mapping[int, Any]) -> Optional[str]:
    import ssl  # takes its time, and nobody needs it before something fails

    unreadable = unreadable_file(options)
    if unreadable is not None:
        return unreadable
    try:
        context = _context(options)
    except (ssl.SSLError, OSError) as error:
        return f"the files of the TLS options can't be used: {_words(error)}"
    name = _checked_name(host)
    try:
        with context.wrap_socket(connection, server_hostname=name):
            return None
    except ssl.SSLCertVerificationError as error:
        return _certificate(error, host, name)
    except ssl.SSLError as error:
        return _no_session(error)
    except socket.timeout:
        return f"the server did not answer the TLS handshake in {connection.gettimeout():g} s"
    except OSError as error:
        return f"the server ended the TLS handshake ({error}): does it speak TLS on this port?"


def unreadable_file(options: Mapping[int, Any]) -> Optional[str]:
    """Return which file of the TLS options can't be read, and why; None if all can."""
    for what, option in _FILES.items():
        path = _option(options, option)
        try:
            if path is not None:
                open(path, "rb").close()
        except OSError as error:
            return f"{what} can't be read from {path}: {error.strerror}"
    return None


def _option(options: Mapping[int, Any], option: int) -> Optional[str]:
    value = options.get(option) or ldap.get_option(option)
    return value if isinstance(value, str) and value else None


def _context(options: Mapping[int, Any]) -> "ssl.SSLContext":
    import ssl

    authorities = _option(options, ldap.OPT_X_TLS_CACERTFILE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if options.get(ldap.OPT_X_TLS_REQUIRE_CERT) in (ldap.OPT_X_TLS_NEVER, ldap.OPT_X_TLS_ALLOW):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif authorities is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(authorities)
    certificate = _option(options, ldap.OPT_X_TLS_CERTFILE)
    if certificate is not None:
        context.load_cert_chain(certificate, _option(options, ldap.OPT_X_TLS_KEYFILE))
    return context


def _checked_name(host: str) -> str:
    """Return the name that libldap looks for in the certificate: localhost is this machine's."""
    return socket.getfqdn() if host == "localhost" else host


def _certificate(error: "ssl.SSLCertVerificationError", host: str, name: str) -> str:
    code = error.verify_code
    if code == _EXPIRED:
        return "the server's certificate has expired"
    if code == _NOT_YET_VALID:
        return "the server's certificate is not valid yet: is the clock of one of both wrong?"
    if code == _SELF_SIGNED:
        return (
            "the server's certificate is self-signed: trust it by itself, as OPT_X_TLS_CACERTFILE, "
            "or have it signed by an authority"
        )
    if code in (_SELF_SIGNED_ROOT, _NO_ISSUER, _UNVERIFIABLE):
        return (
            "the server's certificate is signed by an authority that is not trusted: name the "
            "file with the authority's certificate in OPT_X_TLS_CACERTFILE"
        )
    if code in (_OTHER_HOST, _OTHER_ADDRESS):
        trap = (
            f" (libldap takes {host} for this machine's own name, which is {name}: use that name)"
            if name != host
            else ""
        )
        return f"the server's certificate is made out for another name than {name}{trap}"
    return f"the server's certificate is not valid: {error.verify_message}"


def _no_session(error: "ssl.SSLError") -> str:
    reason = error.reason or str(error)
    if reason in ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE"):
        return "the server speaks no TLS of version 1.2 or later (RFC 8996)"
    if reason in ("WRONG_VERSION_NUMBER", "UNEXPECTED_EOF_WHILE_READING", "HTTP_REQUEST"):
        return (
            "the server speaks no TLS on this port: ldaps:// has a port of its own (636), "
            "ldap:// with starttls=True starts TLS on the other one"
        )
    if "HANDSHAKE_FAILURE" in reason or "CERTIFICATE_REQUIRED" in reason:
        return f"the server refuses TLS ({reason}): does it want a client certificate?"
    return f"the TLS handshake failed: {reason}"
