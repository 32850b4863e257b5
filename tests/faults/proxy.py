# SPDX-License-Identifier: BSD-3-Clause
"""A proxy that stalls in the middle of what the server says."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from types import TracebackType

from tests.servers.process import LOOPBACK


class Proxy:
    """Hands on what a client and a server say, whole, until it is told to stall."""

    def __init__(self, server_port: int) -> None:
        """Nothing is connected before a client is."""
        self._server_port = server_port
        self._listener = socket.create_server((LOOPBACK, 0))
        self._bell, self._ear = socket.socketpair()
        self._stall = threading.Event()
        self.stalled = threading.Event()
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="proxy")

    def stall(self) -> None:
        """From the next thing that the server says, hand on the first half and no more."""
        self._stall.set()

    def drip(self, client: socket.socket, data: bytes) -> None:
        for octet in data[: len(data) // 2]:
            client.sendall(bytes((octet,)))
        self.stalled.set()

    def __enter__(self) -> Proxy:
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

    def _run(self) -> None:
        while self._ear not in select.select([self._listener, self._ear], [], [])[0]:
            client, _ = self._listener.accept()
            server = socket.create_connection((LOOPBACK, self._server_port))
            with client, server, contextlib.suppress(OSError):
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
                    server.sendall(data)
                elif not self._stall.is_set():
                    client.sendall(data)
                elif not self.stalled.is_set():
                    self.drip(client, data)
