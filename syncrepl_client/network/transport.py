# SPDX-License-Identifier: BSD-3-Clause
"""Options of connections, warnings about missing protection, and clearer errors."""

import ipaddress
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import ldap

from ..exceptions import ProtocolError, SyncUnsupported
from ..protocol.wire import details_of
from ..url import SearchUrl
from .credentials import Credentials

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 60.0
"""How long the server may take to answer StartTLS, a bind, or a read of its root DSE."""
UNACKNOWLEDGED_MS = 60_000
"""How long, in milliseconds, sent data may stay unacknowledged by TCP."""
TCP_USER_TIMEOUT = getattr(ldap, "OPT_TCP_USER_TIMEOUT", None)
"""The option for that; None where python-ldap was built with a libldap before 2.5."""
REQUIRE_SAN = getattr(ldap, "OPT_X_TLS_REQUIRE_SAN", None)
"""The option for subjectAltNames; None where python-ldap was built with a libldap before 2.5."""
_TLS_1_2 = ldap.OPT_X_TLS_PROTOCOL_TLS1_2
_DEFAULTS = {
    ldap.OPT_PROTOCOL_VERSION: ldap.VERSION3,
    ldap.OPT_DEREF: ldap.DEREF_NEVER,  # RFC 4533, 3.5.2
    ldap.OPT_REFERRALS: ldap.OPT_OFF,
    # Even a poll(2) without a wait is interrupted by a signal that is pending; without this
    # libldap takes that for the end of the connection.
    ldap.OPT_RESTART: ldap.OPT_ON,
    ldap.OPT_NETWORK_TIMEOUT: 30.0,
    ldap.OPT_TIMEOUT: ANSWER_SECONDS,
    ldap.OPT_X_TLS_REQUIRE_CERT: ldap.OPT_X_TLS_DEMAND,
    # By default libldap lets the common name decide where the subjectAltName names other hosts.
    **({} if REQUIRE_SAN is None else {REQUIRE_SAN: ldap.OPT_X_TLS_TRY}),
    ldap.OPT_X_TLS_PROTOCOL_MIN: _TLS_1_2,
    # A persistent search waits for days: a peer that is gone without a word is noticed within
    # 30 + 3 * 10 seconds.
    ldap.OPT_X_KEEPALIVE_IDLE: 30,
    ldap.OPT_X_KEEPALIVE_PROBES: 3,
    ldap.OPT_X_KEEPALIVE_INTERVAL: 10,
    **({} if TCP_USER_TIMEOUT is None else {TCP_USER_TIMEOUT: UNACKNOWLEDGED_MS}),
}
_GNUTLS_DEFAULT = "NORMAL:%PROFILE_MEDIUM"  # 2048-bit RSA at least, like OpenSSL 3
_VERSIONS = (
    (ldap.OPT_X_TLS_PROTOCOL_TLS1_0, "TLS1.0"),
    (ldap.OPT_X_TLS_PROTOCOL_TLS1_1, "TLS1.1"),
    (ldap.OPT_X_TLS_PROTOCOL_TLS1_2, "TLS1.2"),
)


def effective_options(options: Mapping[int, Any]) -> dict[int, Any]:
    """Return the options to set: the defaults, overridden and extended by *options*."""
    chosen = {**_DEFAULTS, **options}
    if ldap.get_option(ldap.OPT_X_TLS_PACKAGE) == "GnuTLS":
        # libldap with GnuTLS, Debian's, takes PROTOCOL_MIN and ignores it: TLS 1.1 was spoken
        # with 2.5.13.  GnuTLS itself obeys its priority string.
        suite = ldap.OPT_X_TLS_CIPHER_SUITE
        given = chosen.get(suite) or ldap.get_option(suite) or _GNUTLS_DEFAULT
        too_old = [name for version, name in _VERSIONS if version < _minimum(chosen)]
        if too_old and isinstance(given, str):
            chosen[suite] = "".join([given, *(f":-VERS-{name}" for name in too_old)])
    return chosen


def _minimum(options: Mapping[int, Any]) -> int:
    value = options.get(ldap.OPT_X_TLS_PROTOCOL_MIN, _TLS_1_2)
    return value if isinstance(value, int) else _TLS_1_2


def is_tls(server: str) -> bool:
    """Return True if the connection to *server* starts with TLS."""
    return server.startswith("ldaps:")


def is_local(server: str) -> bool:
    """Return True if the connection to *server* does not leave this machine."""
    if server.startswith("ldapi:"):
        return True
    try:
        host = urlsplit(server).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # another name, or none at all
        return False


def warn_of_risks(
    url: SearchUrl, credentials: Credentials, *, starttls: bool, options: Mapping[int, Any]
) -> None:
    """Log a warning for each protection that was turned off, or is missing.

    To be called once per client, before it connects.
    """
    for risk in _risks(url, credentials, starttls, options):
        logger.warning("%s", risk, extra={"event": "risk"})


def _risks(
    url: SearchUrl, credentials: Credentials, starttls: bool, options: Mapping[int, Any]
) -> Iterator[str]:
    if url.scope_warning is not None:
        yield url.scope_warning
    if starttls or any(map(is_tls, url.servers)):
        yield from _tls_risks(" ".join(url.servers), options)
    clear = [each for each in url.servers if not is_tls(each) and not is_local(each)]
    if credentials.shows_password and not starttls and clear:
        yield (
            f"the password of {credentials.bindname} crosses the network in clear to "
            f"{' '.join(clear)}: use starttls=True, or ldaps://"
        )


def _tls_risks(servers: str, options: Mapping[int, Any]) -> Iterator[str]:
    lax = (ldap.OPT_X_TLS_NEVER, ldap.OPT_X_TLS_ALLOW)
    if options.get(ldap.OPT_X_TLS_REQUIRE_CERT) in lax:
        yield (
            "OPT_X_TLS_REQUIRE_CERT accepts any certificate: whoever is in between can read along, "
            f"and change what {servers} says"
        )
    elif REQUIRE_SAN is not None and options.get(REQUIRE_SAN) in lax:
        yield (
            "OPT_X_TLS_REQUIRE_SAN lets the common name of a certificate decide, though its "
            "subjectAltName may name other hosts (RFC 6125)"
        )
    if _minimum(options) < _TLS_1_2:
        yield "OPT_X_TLS_PROTOCOL_MIN allows versions before TLS 1.2 (RFC 8996)"


# --- clearer errors

CERTIFICATE_HINT = (
    "is the server's certificate made out for this host, valid, and signed by an authority in "
    "OPT_X_TLS_CACERTFILE or the system's list? Does it speak TLS 1.2 or later?"
)


def is_explained(error: ldap.LDAPError) -> bool:
    """Return True if *error* was raised by this library, with a message of its own."""
    details = details_of(error)
    return "info" in details and "result" not in details


def referral(urls: Iterable[str]) -> ldap.REFERRAL:
    """Return the error that libldap makes of a referral to *urls*."""
    return ldap.REFERRAL({"desc": "Referral", "info": "\n".join(("Referral:", *urls))})


def explained(error: Exception, url: SearchUrl) -> Exception:
    """Return the exception to raise in place of one that ended a search, or *error* itself."""
    if isinstance(error, ldap.REFERRAL):
        explain_referral(error, url)
    if isinstance(error, ldap.UNAVAILABLE_CRITICAL_EXTENSION):
        return SyncUnsupported(
            f"the server at {url.server} has no content synchronization on {url.base!r}: on "
            "OpenLDAP, add 'overlay syncprov' to that database; on 389-ds, enable the plug-ins "
            "'Retro Changelog' and 'Content Synchronization'; and let this user use the control"
        )
    if isinstance(error, ldap.DECODING_ERROR):
        return ProtocolError(f"the server sent something that is not LDAP: {error}")
    return error


def explain_referral(error: ldap.REFERRAL, url: SearchUrl) -> None:
    """Say in the error where the search base is, and what to do: libldap lists URLs alone."""
    details = details_of(error)
    head, *lines = details.get("info", "").split("\n")
    where = [line.partition("?")[0] for line in lines if line]
    if head == "Referral:" and where:
        details["info"] = (
            f"{url.server} does not have {url.base!r}, and refers to {' or '.join(where)}: follow "
            "it there, with that URL"
        )


def add_strerror(error: ldap.LDAPError) -> None:
    """Add the system's message for an errno, if libldap has none, as python-ldap does."""
    details = details_of(error)
    if "errno" in details:
        details.setdefault("info", os.strerror(details["errno"]))


def hint_at_certificate(error: ldap.LDAPError) -> None:
    """Add to the error that the certificate may be the cause, which libldap does not say."""
    details = details_of(error)
    details["info"] = f"{details.get('info', 'TLS failed')}; {CERTIFICATE_HINT}"


def hint_at_mechanism(error: ldap.LDAPError, mechanism: str, server: str) -> None:
    """Add to the error which side does not support the SASL mechanism."""
    details = details_of(error)
    if not isinstance(error, ldap.AUTH_UNKNOWN):  # which is libsasl's own
        hint = f"the server at {server} has no SASL mechanism {mechanism} for this connection"
    elif mechanism == "EXTERNAL":
        hint = f"nothing external says who we are to {server}: use ldapi://, or TLS with a client "
        hint += "certificate (OPT_X_TLS_CERTFILE, OPT_X_TLS_KEYFILE)"
    elif mechanism.endswith("-PLUS"):
        hint = (
            f"{mechanism} wants TLS, a libsasl that has it, and channel binding: SASL_CBINDING "
            "tls-endpoint in ldap.conf, or LDAPSASL_CBINDING in the environment"
        )
    else:
        hint = (
            f"libsasl on this machine has no mechanism {mechanism} for {server} (the packages of "
            "Debian are libsasl2-modules and libsasl2-modules-gssapi-mit)"
        )
    details["info"] = f"{details.get('info', '')}; {hint}".lstrip("; ")


def most_telling(failures: Sequence[tuple[str, ldap.LDAPError]]) -> ldap.LDAPError:
    """Return the exception to raise for *failures*: pairs of a server and its error, at least one.

    It is INVALID_CREDENTIALS if there is one, else one from a server that could be reached, else
    the last.  With several servers, its ``info`` has the errors of all.
    """
    errors = [error for _, error in failures]
    unreached = (ldap.SERVER_DOWN, ldap.CONNECT_ERROR, ldap.TIMEOUT)
    answers = [error for error in errors if not isinstance(error, unreached)]
    refusals = [error for error in errors if isinstance(error, ldap.INVALID_CREDENTIALS)]
    chosen = (refusals or answers or errors)[-1]
    if len(failures) > 1:
        said = "; ".join(f"{server} said: {described(error)}" for server, error in failures)
        details_of(chosen)["info"] = f"none of {len(failures)} servers let us in: {said}"
    return chosen


def described(error: ldap.LDAPError) -> str:
    """Return the text of *error*."""
    details = details_of(error)
    words = [str(details[name]) for name in ("desc", "info") if details.get(name)]
    return ", ".join(words) or type(error).__name__
