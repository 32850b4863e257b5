# SPDX-License-Identifier: BSD-3-Clause
"""A proxy before a broker, whose confirmations it keeps to itself when it is told to."""

from __future__ import annotations

import socket

from tests.faults.relay import Relay

HANDSHAKE = 50_000
"""More octets than a client sends before the first message of the contract is complete."""


class Muffler(Relay):
    """Hands everything on; while *muffled*, it cuts the connection when the broker confirms.

    While *away*, it cuts each connection at once.
    """

    def __init__(self, server_port: int) -> None:
        super().__init__(server_port)
        self.muffled = self.away = False
        self._sent = 0

    def _begin(self) -> None:
        self._sent = 0
        self._said(b"")

    def _said(self, data: bytes) -> None:
        if self.away:
            raise ConnectionAbortedError
        self._sent += len(data)

    def _heard(self, client: socket.socket, data: bytes) -> bool:
        if self.muffled and self._sent > HANDSHAKE:
            return False
        client.sendall(data)
        return True
