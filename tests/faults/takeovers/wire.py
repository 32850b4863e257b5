# SPDX-License-Identifier: BSD-3-Clause
"""Between one follower and one PostgreSQL server: cuts answers off, or swallows everything."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from types import TracebackType

from tests.servers.process import LOOPBACK

_COMMIT = re.compile(rb"COMMIT\0")


class _Pair:
    """A connection of the follower, and the one to the server for it."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.swallowed = self.cut = False

    def close(self) -> None:
        for each in (self.client, self.server):
            with contextlib.suppress(OSError):  # the other end has closed it
                each.shutdown(socket.SHUT_RDWR)


class Wire:
    """Hands on what they say.

    Attributes:
        port: where the follower connects.
        cuts: how many answers to a COMMIT were cut off.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server((LOOPBACK, 0))
        self._pairs: list[_Pair] = []
        self._threads: list[threading.Thread] = []
        self._cut = threading.Event()
        self.port: int = self._listener.getsockname()[1]
        self.cuts = 0

    def __enter__(self) -> Wire:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for pair in self._pairs:
            pair.swallowed = False
            pair.close()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def cut_next_commit(self) -> None:
        """Let the server do the next COMMIT, and the follower not hear of it."""
        self._cut.set()

    def swallow(self) -> None:
        """Hand nothing on any more over the connections that there are; new ones are fine."""
        for pair in self._pairs:
            pair.swallowed = True

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # it is the end
                return
            try:
                server = socket.create_connection((LOOPBACK, self._server_port))
            except OSError:  # it is down
                client.close()
                continue
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = _Pair(client, server)
            self._pairs.append(pair)
            self._start(self._from_client, pair)
            self._start(self._from_server, pair)

    def _from_client(self, pair: _Pair) -> None:
        with pair.client, contextlib.suppress(OSError):
            while data := pair.client.recv(65536):
                if pair.swallowed:
                    continue
                if self._cut.is_set() and _COMMIT.search(data):
                    self._cut.clear()
                    pair.cut = True
                pair.server.sendall(data)
        if not pair.swallowed:
            pair.close()

    def _from_server(self, pair: _Pair) -> None:
        with pair.server, contextlib.suppress(OSError):
            while data := pair.server.recv(65536):
                if pair.cut:
                    self.cuts += 1
                    break
                if not pair.swallowed:
                    pair.client.sendall(data)
        if not pair.swallowed:
            pair.close()
