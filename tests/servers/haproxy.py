# SPDX-License-Identifier: BSD-3-Clause
"""A throw-away HAProxy: the first server that runs gets all, or each gets its turn."""

from __future__ import annotations

from collections.abc import Sequence

from tests.servers.process import LOOPBACK, Server, find_program

CONFIG = """\
defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    default-server check inter 100ms rise 1 fall 1 on-marked-down shutdown-sessions
frontend ldap
    bind {host}:{port}
    default_backend servers
backend servers
    balance {balance}
    {servers}
"""


class HAProxy(Server):
    """One HAProxy on loopback.

    Clients of a server that ends are cut off; they come to the next one that runs.
    """

    def __init__(self, servers: Sequence[Server], *, in_turn: bool = False) -> None:
        """Nothing is started yet.

        Args:
            servers: whom it leads to.
            in_turn: whether each client gets another one; else the first gets all, while it runs.
        """
        self._program = find_program("haproxy", "haproxy")
        super().__init__("haproxy")
        self._servers = servers
        self._in_turn = in_turn
        self.suffix = servers[0].suffix

    def _prepare(self) -> None:
        lines = [
            f"server s{number} {LOOPBACK}:{server.port}"
            + ("" if self._in_turn or number == 0 else " backup")
            for number, server in enumerate(self._servers)
        ]
        text = CONFIG.format(
            host=LOOPBACK,
            port=self.port,
            balance="roundrobin" if self._in_turn else "first",
            servers="\n    ".join(lines),
        )
        (self.directory / "haproxy.cfg").write_text(text, encoding="ascii")

    def _command(self) -> list[str]:
        return [self._program, "-db", "-f", str(self.directory / "haproxy.cfg")]
