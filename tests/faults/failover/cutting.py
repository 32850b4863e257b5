# SPDX-License-Identifier: BSD-3-Clause
"""A proxy between a store and PostgreSQL: it swallows answers, or everything."""

from __future__ import annotations

import socket
import threading

from tests.faults.relay import Relay


class Cutting(Relay):
    """Hands on what both say, until it is told otherwise.

    Attributes:
        happened: set when it has cut, or swallowed something.
    """

    def __init__(self, server_port: int) -> None:
        super().__init__(server_port)
        self._cuts = self._committing = False
        self._swallows = False
        self.happened = threading.Event()

    def cut_next_commit(self) -> None:
        """Let the next COMMIT pass, and close the connection instead of handing on its answer."""
        self._cuts = True

    def swallow(self) -> None:
        """Hand on nothing more over this connection, which stays open."""
        self._swallows = True

    def _begin(self) -> None:
        self._swallows = self._committing = False

    def _said(self, data: bytes) -> None:
        self._committing = self._cuts and b"COMMIT\0" in data

    def _heard(self, client: socket.socket, data: bytes) -> bool:
        if self._swallows:
            self.happened.set()
        elif self._committing:
            self._cuts = False
            self.happened.set()
            return False
        else:
            client.sendall(data)
        return True
