# SPDX-License-Identifier: BSD-3-Clause
"""A proxy that counts the server's LDAP messages, and strikes at one of them."""

from __future__ import annotations

import random
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from tests.faults.relay import Relay
from tests.servers.process import LOOPBACK

STALL_SECONDS = 0.1
SEARCH_ENTRY = 0x64
_RESET = struct.pack("ii", 1, 0)


class Strike(NamedTuple):
    """What to do, and when.

    Attributes:
        action: ``reset`` the connection; ``hole``: nothing passes any more, in either
            direction; ``stall`` for a moment; ``drip``: all of it, octet by octet; ``pass``.
        message: at which of the server's messages, counted from 0 in each connection.
        inside: somewhere within that message, not before it.
    """

    action: str = "pass"
    message: int = -1
    inside: bool = False


NO_STRIKE = Strike()


class Message(NamedTuple):
    """One message of the server."""

    operation: int
    size: int


def split(data: bytearray) -> Iterator[bytes]:
    """Take whole LDAP messages (BER, definite lengths) off the beginning of *data*."""
    while len(data) >= 2:
        start, size = 2, data[1]
        if size & 0x80:
            start += size & 0x7F
            size = int.from_bytes(data[2:start], "big")
        if len(data) < start + size or len(data) < start:
            return
        message = bytes(data[: start + size])
        del data[: start + size]
        yield message


def operation(message: bytes) -> int:
    """The tag of a message's operation (RFC 4511, 4.1.1): it follows the message ID."""
    start = 2 + (message[1] & 0x7F if message[1] & 0x80 else 0)
    return message[start + 2 + message[start + 1]]


class Proxy(Relay):
    """Hands on what clients and one server say, and strikes once.

    Attributes:
        messages: what the server said, in the connection that was made last.
        struck: set when the strike is done.
    """

    def __init__(self, server_port: int, strike: Strike = NO_STRIKE, seed: int = 0) -> None:
        """Nothing is connected before a client is."""
        super().__init__(server_port)
        self.messages: list[Message] = []
        self._waiting = bytearray()
        self.struck = threading.Event()
        self._strike = strike
        self._chance = random.Random(seed)
        self.url = f"ldap://{LOOPBACK}:{self.port}"

    @property
    def entries(self) -> int:
        """How many entries passed in the last connection."""
        return sum(message.operation == SEARCH_ENTRY for message in self.messages)

    def _begin(self) -> None:
        self.messages = []
        self._waiting = bytearray()

    def _heard(self, client: socket.socket, data: bytes) -> bool:
        self._waiting += data
        return all(self._pass(client, message) for message in split(self._waiting))

    def _pass(self, client: socket.socket, message: bytes) -> bool:
        """Hand a message on, or strike; return whether the connection is of use after that."""
        number = len(self.messages)
        self.messages.append(Message(operation(message), len(message)))
        if self._strike.action == "drip":
            for octet in message:
                client.send(bytes((octet,)))
            return True
        if number != self._strike.message or self.struck.is_set():
            client.sendall(message)
            return True
        head = self._chance.randrange(1, len(message)) if self._strike.inside else 0
        client.sendall(message[:head])
        return self._do(client, message[head:])

    def _do(self, client: socket.socket, rest: bytes) -> bool:
        if self._strike.action == "stall":
            time.sleep(STALL_SECONDS)
            self.struck.set()
            client.sendall(rest)
            return True
        if self._strike.action == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.close()
            self.struck.set()
        else:
            self.struck.set()
            select.select([self._ear], [], [])  # until the test is over: both stay open
        return False
