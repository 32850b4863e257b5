# SPDX-License-Identifier: BSD-3-Clause
"""Whoever sits in the middle: answers StartTLS as it likes, or speaks TLS of some version.

What the client sends is kept, all of it: so a test can see what it gave away.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import TypeVar

from syncrepl_client.network import handshake
from tests.patience import HANGS_SECONDS
from tests.servers.certificates import Certificates
from tests.servers.process import LOOPBACK

L = TypeVar("L", bound="Listener")


class Listener:
    """Serves one connection after another, so many, in a thread of its own."""

    scheme = "ldap"
    connections = 1

    def __init__(self) -> None:
        self.received = b""
        self._listener = socket.create_server((LOOPBACK, 0))
        self._listener.settimeout(HANGS_SECONDS)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{self.scheme}://{LOOPBACK}:{self.port}"
        self._thread = threading.Thread(target=self._run, name="middle")

    def _serve(self, connection: socket.socket) -> None:
        raise NotImplementedError

    def _run(self) -> None:
        for _ in range(self.connections):
            with contextlib.suppress(OSError):  # the client is gone, or would not have us
                connection, _ = self._listener.accept()
                with connection:
                    connection.settimeout(HANGS_SECONDS)
                    self._serve(connection)

    def _read_all(self, connection: socket.socket) -> None:
        while True:
            data = connection.recv(65536)
            if not data:
                return
            self.received += data

    def join(self) -> None:
        """Wait until the last connection has ended, so that all that was sent is there."""
        self._thread.join(HANGS_SECONDS)
        assert not self._thread.is_alive()

    def __enter__(self: L) -> L:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # ends accept(), if nobody came
        self.join()
        self._listener.close()


class Middle(Listener):
    """Answers the first thing that it hears with what it is given; then it listens, or hangs up."""

    def __init__(self, answer: bytes, *, hang_up: bool = False) -> None:
        super().__init__()
        self._answer = answer
        self._hang_up = hang_up

    def _serve(self, connection: socket.socket) -> None:
        self.received += connection.recv(65536)
        connection.sendall(self._answer)
        if self._hang_up:
            connection.shutdown(socket.SHUT_WR)
        self._read_all(connection)


class TlsListener(Listener):
    """Speaks one version of TLS only, and reads what comes through it.

    Attributes:
        version: what was agreed upon; None until then.
    """

    scheme = "ldaps"
    connections = 2 if handshake.is_needed() else 1

    def __init__(self, files: Certificates, version: ssl.TLSVersion, *, looks: int = 0) -> None:
        """*looks*: so often a client that was refused comes back to see why."""
        super().__init__()
        self.connections += looks
        self.version: str | None = None
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(files.cert_file, files.key_file)
        only_version(self._context, version)

    def _serve(self, connection: socket.socket) -> None:
        with self._context.wrap_socket(connection, server_side=True) as secured:
            self.version = secured.version()
            self._read_all(secured)


def only_version(context: ssl.SSLContext, version: ssl.TLSVersion) -> None:
    """Let *context* speak nothing but *version*, though it be an old one."""
    context.set_ciphers("ALL:@SECLEVEL=0")  # OpenSSL 3 has no TLS 1.1 above that
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version


@contextlib.contextmanager
def silent_listener() -> Iterator[str]:
    """Take ldaps connections, and say nothing: a server that hangs.  The URL is yielded."""
    with socket.create_server((LOOPBACK, 0)) as listener:  # the kernel accepts
        yield f"ldaps://{LOOPBACK}:{listener.getsockname()[1]}"
