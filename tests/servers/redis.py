# SPDX-License-Identifier: BSD-3-Clause
"""A throw-away Redis server on loopback, which keeps what it has (AOF)."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from tests.servers.process import LOOPBACK, Server, find_program


class Redis(Server):
    """One server; *options* are further lines of its configuration."""

    def __init__(self, options: Sequence[str] = (), tls: bool = False) -> None:
        self._program = find_program("redis-server", "redis-server")
        super().__init__("redis")
        self._options = options
        self._listen = "tls-port" if tls else "port"
        self.url = f"{'rediss' if tls else 'redis'}://{LOOPBACK}:{self.port}"

    def client(self, **options: Any) -> Any:
        """A client; close it."""
        import redis

        return redis.Redis(LOOPBACK, self.port, protocol=2, **options)

    def command(self, *words: Any, **options: Any) -> Any:
        """The answer to a command."""
        with self.client(**options) as client:
            return client.execute_command(*words)

    def _wait_until_it_answers(self) -> None:
        super()._wait_until_it_answers()
        with socket.create_connection((LOOPBACK, self.port)) as connection:
            answer = b"" if self._listen == "port" else b"TLS"
            while not answer.startswith((b"+PONG", b"-NOAUTH", b"TLS")):  # it loads its data
                connection.sendall(b"PING\r\n")
                answer = connection.recv(1000)

    def _prepare(self) -> None:
        lines = [
            f"bind {LOOPBACK} 127.0.0.2",
            "port 0",
            f"{self._listen} {self.port}",
            f"dir {self.directory}",
            "appendonly yes",
            "appendfsync always",
            'save ""',
            *self._options,
        ]
        (self.directory / "redis.conf").write_text("\n".join(lines) + "\n", encoding="ascii")

    def _command(self) -> list[str]:
        return [self._program, str(self.directory / "redis.conf")]
