# SPDX-License-Identifier: BSD-3-Clause
"""Where a sink sends to: its URL, TLS, the secret, and arguments that all sinks have."""

import ipaddress
import logging
import math
import ssl
from collections.abc import Sequence
from typing import NamedTuple, Optional, Union
from urllib.parse import unquote, urlsplit

from ..exceptions import ConfigurationError
from ..network.credentials import PasswordFile, PasswordVariable
from .base import Message, Sink

logger = logging.getLogger(__name__)

Secret = Union[PasswordFile, PasswordVariable]
"""Where a secret is; it is read whenever it is needed."""


class Endpoint(NamedTuple):
    """The parts of a URL.

    Attributes:
        scheme: in lower case.
        user: the user name, decoded; None if there is none.
        servers: host and port of each server.
        path: without the first slash, decoded; empty if there is none.
    """

    scheme: str
    user: Optional[str]
    servers: tuple[tuple[str, int], ...]
    path: str

    @property
    def host(self) -> str:
        """The host of the first server."""
        return self.servers[0][0]

    @property
    def port(self) -> int:
        """The port of the first server."""
        return self.servers[0][1]

    @property
    def is_here(self) -> bool:
        """Whether all servers are on this host."""
        return all(is_loopback(host) for host, _ in self.servers)

    def __str__(self) -> str:
        """Return scheme and servers: what may be shown."""
        return f"{self.scheme}://{','.join(map(_host_port, self.servers))}"


def parse(url: str, schemes: Sequence[str], port: Union[int, Sequence[int]]) -> Endpoint:
    """Return the parts of *url*, which has one server, or several with commas between them.

    Args:
        url: the URL.
        schemes: the schemes that are allowed.
        port: the port of a server without one: for all schemes, or for each.

    Raises:
        ConfigurationError: it is not valid; no part of it that may be secret is in the message.
    """
    expected = f"the URL of the sink begins with {' or '.join(f'{each}://' for each in schemes)}"
    if type(url) is not str:
        raise ConfigurationError(f"{expected} and a host: it is a str")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigurationError("the URL of the sink is not valid") from None
    if parts.scheme not in schemes or not parts.netloc:
        raise ConfigurationError(f"{expected} and a host")
    if parts.query or parts.fragment:
        raise ConfigurationError("the URL of the sink ends after the path: no '?', no '#'")
    user, _, hosts = parts.netloc.rpartition("@")
    if ":" in user:
        raise ConfigurationError("the URL of the sink has a password in it: use a file or variable")
    default = port if isinstance(port, int) else port[schemes.index(parts.scheme)]
    servers = tuple(_server(each, default) for each in hosts.split(","))
    return Endpoint(parts.scheme, unquote(user) or None, servers, unquote(parts.path[1:]))


def _server(text: str, default: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host:
        raise ConfigurationError("the URL of the sink has a host or a port that is not valid")
    return host, port or default


def _host_port(server: tuple[str, int]) -> str:
    host, port = server
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Return True if *host* is this one, by its address or as ``localhost``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def tls_context(cacert: Optional[str]) -> ssl.SSLContext:
    """Return a context that verifies the server's certificate and name.

    Args:
        cacert: a file with the certificates of the authorities to trust, in PEM; None for those
            that the system trusts.

    Raises:
        ConfigurationError: they can't be used.
    """
    try:
        return ssl.create_default_context(cafile=cacert)
    except (OSError, TypeError) as error:
        raise ConfigurationError(f"the certificates in {cacert!r} can't be used: {error}") from None


def warn_in_clear(sink: Sink) -> None:
    """Log that what *sink* sends can be read on its way."""
    logger.warning(
        "%r is not encrypted: others may read, and change, what is sent",
        sink,
        extra={"event": "risk"},
    )


def address(template: str, message: Message) -> str:
    """Return *template* with ``{kind}`` and ``{key}`` replaced by those of *message*.

    Args:
        template: a routing key, or the like.
        message: the message; its kind is that of its event, such as ``add`` or ``snapshot``.
    """
    return template.replace("{kind}", message.event.kind).replace("{key}", message.key)


# Arguments of callers may be anything, whatever the annotations say.


def check_secret(name: str, secret: object, *, optional: bool = False) -> None:
    """Check that *secret* says where the secret is, which has to be there.

    Raises:
        ConfigurationError: it does not, or it is not there.
    """
    if secret is None and optional:
        return
    if not isinstance(secret, (PasswordFile, PasswordVariable)):
        raise ConfigurationError(f"{name} is a PasswordFile or a PasswordVariable")
    secret()


def text_of(secret: Secret) -> str:
    """Return the secret, read now, as text.

    Raises:
        ConfigurationError: it is not there, or not in UTF-8.
    """
    try:
        return secret().decode()
    except UnicodeDecodeError:
        raise ConfigurationError(f"the secret in {secret!r} is not in UTF-8") from None


def check_seconds(name: str, value: float) -> None:
    """Check a number of seconds.

    Raises:
        ConfigurationError: it is not a finite number above 0.
    """
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise ConfigurationError(f"{name} is a number of seconds above 0, not {value!r}")


def check_count(name: str, value: int, least: int = 1) -> None:
    """Check a number.

    Raises:
        ConfigurationError: it is not an int from *least* on.
    """
    if type(value) is not int or value < least:
        raise ConfigurationError(f"{name} is an int from {least} on, not {value!r}")


def check_text(name: str, value: str, longest: int = 0) -> None:
    """Check a name of something in the other system.

    Raises:
        ConfigurationError: it is not printable text, or empty, or longer than *longest* octets.
    """
    if type(value) is not str or not value or not value.isprintable():
        raise ConfigurationError(f"{name} is a str that is not empty, not {value!r}")
    if longest and len(value.encode("utf-8", "surrogatepass")) > longest:
        raise ConfigurationError(f"{name} has at most {longest} octets")
