# SPDX-License-Identifier: BSD-3-Clause
"""A proxy that stalls in the middle of what the server says."""

from __future__ import annotations

import socket
import threading

from tests.faults.relay import Relay


class Proxy(Relay):
    """Hands on what a client and a server say, whole, until it is told to stall."""

    def __init__(self, server_port: int) -> None:
        super().__init__(server_port)
        self._stall = threading.Event()
        self.stalled = threading.Event()

    def stall(self) -> None:
        """From the next thing that the server says, hand on the first half and no more."""
        self._stall.set()

    def drip(self, client: socket.socket, data: bytes) -> None:
        for octet in data[: len(data) // 2]:
            client.sendall(bytes((octet,)))
        self.stalled.set()

    def _heard(self, client: socket.socket, data: bytes) -> bool:
        if not self._stall.is_set():
            client.sendall(data)
        elif not self.stalled.is_set():
            self.drip(client, data)
        return True


class Gate(Relay):
    """Hands on everything, and keeps what the server says while it is shut."""

    def __init__(self, server_port: int) -> None:
        super().__init__(server_port)
        self._open = threading.Event()
        self._open.set()
        self.held = threading.Event()

    def shut(self) -> None:
        self.held.clear()
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def _heard(self, client: socket.socket, data: bytes) -> bool:
        if not self._open.is_set():
            self.held.set()
            self._open.wait()
        client.sendall(data)
        return True
