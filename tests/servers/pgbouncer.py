# SPDX-License-Identifier: BSD-3-Clause
"""A throw-away PgBouncer before a PostgreSQL server: it pools sessions, or transactions."""

from __future__ import annotations

import os

from tests.servers.postgresql import GROUP, USER, PostgreSQL
from tests.servers.process import LOOPBACK, Server, find_program, run

CONFIG = """\
[databases]
* = host={sockets} port={server} user={user}
[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
"""


class PgBouncer(Server):
    """One PgBouncer on loopback, which asks for no password.

    Attributes:
        url: of the server's database ``postgres``, through the pooler.
    """

    def __init__(self, server: PostgreSQL, mode: str) -> None:
        """Nothing is started yet; *mode* is ``session`` or ``transaction``."""
        self._program = find_program("pgbouncer", "pgbouncer")
        super().__init__("pgbouncer")
        self._server = server
        self._mode = mode
        self.url = f"postgresql://{server.user}@{LOOPBACK}:{self.port}/postgres"

    def _prepare(self) -> None:
        text = CONFIG.format(
            sockets=self._server.directory, server=self._server.port, user=self._server.user,
            host=LOOPBACK, port=self.port, mode=self._mode,
        )  # fmt: skip
        (self.directory / "pgbouncer.ini").write_text(text, encoding="ascii")
        if os.geteuid() == 0:
            run("chown", "-R", f"{USER}:{GROUP}", str(self.directory))

    def _command(self) -> list[str]:
        user = ["-u", USER] if os.geteuid() == 0 else []  # it refuses to run as root
        return [self._program, *user, str(self.directory / "pgbouncer.ini")]
