# SPDX-License-Identifier: BSD-3-Clause
"""Between clients and one server: what the proxies of the tests share."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from types import TracebackType
from typing import TypeVar

from tests.servers.process import LOOPBACK

R = TypeVar("R", bound="Relay")


class Relay:
    """Hands on what a client says, one client after another; the server's words are _heard().

    Attributes:
        port: where clients connect.
    """

    def __init__(self, server_port: int) -> None:
        """Nothing is connected before a client is."""
        self._server_port = server_port
        self._listener = socket.create_server((LOOPBACK, 0))
        self._bell, self._ear = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="proxy")
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self: R) -> R:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bell.send(b"\0")
        self._thread.join()
        for each in (self._bell, self._ear, self._listener):
            each.close()

    def _begin(self) -> None:
        """Hear that a client is there."""

    def _said(self, data: bytes) -> None:
        """Hear what the client says, before the server does."""

    def _heard(self, client: socket.socket, data: bytes) -> bool:
        """Hand on what the server said; return whether the connection is of use after that."""
        raise NotImplementedError

    def _run(self) -> None:
        while self._ear not in select.select([self._listener, self._ear], [], [])[0]:
            client, _ = self._listener.accept()
            with client, contextlib.suppress(OSError):
                self._begin()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                server = socket.create_connection((LOOPBACK, self._server_port))
                with server:
                    self._hand_on(client, server)

    def _hand_on(self, client: socket.socket, server: socket.socket) -> None:
        while True:
            for source in select.select([client, server, self._ear], [], [])[0]:
                if source is self._ear:
                    return
                data = source.recv(65536)
                if not data:
                    return
                if source is client:
                    self._said(data)
                    server.sendall(data)
                elif not self._heard(client, data):
                    return
