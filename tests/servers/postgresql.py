# SPDX-License-Identifier: BSD-3-Clause
"""A throw-away PostgreSQL, as an unprivileged user: it refuses to run as root."""

from __future__ import annotations

import os
import re
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers.certificates import make_certificates
from tests.servers.process import (
    LOOPBACK,
    POLL_SECONDS,
    Server,
    ServerFailed,
    ServerMissing,
    find_program,
    run,
)

PROGRAMS = "/usr/lib/postgresql"
USER, GROUP = "nobody", "nogroup"
CONFIG = """\
listen_addresses = '{host}'
port = {port}
unix_socket_directories = '{sockets}'
max_connections = 50
shared_buffers = 32MB
log_min_messages = warning
"""
THROWN_AWAY = """\
fsync = off
full_page_writes = off
autovacuum = off
"""


class PostgreSQL(Server):
    """One PostgreSQL cluster on loopback; without fsync, unless it is *durable*.

    Attributes:
        ca_file: of the authority that signed its certificate, with *tls*.
        user: a superuser.
        password: of that one, over TCP.
        url: with the password, over TCP.
        socket_url: over a Unix socket, where no password is asked for.
    """

    user = "postgres"

    ca_file: Path | None = None

    def __init__(self, *, tls: bool = False, durable: bool = False) -> None:
        self._tls, self._durable = tls, durable
        self._programs = newest_programs()
        self._as_nobody = _as_nobody()
        super().__init__("postgresql", start_seconds=120)
        self.password = secrets.token_hex(16)
        self._data = self.directory / "data"
        self.url = f"postgresql://{self.user}:{self.password}@{LOOPBACK}:{self.port}/postgres"
        self.socket_url = (
            f"postgresql://{self.user}@/postgres?host={self.directory}&port={self.port}"
        )

    def _prepare(self) -> None:
        password = self.directory / "password"
        password.write_text(self.password, encoding="ascii")
        if self._as_nobody:
            run("chown", "-R", f"{USER}:{GROUP}", str(self.directory))
        run(
            *self._as_nobody, str(self._programs / "initdb"), "-D", str(self._data),
            "-U", self.user, "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions",
            "--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={password}",
        )  # fmt: skip
        if self._tls:
            self._make_certificates()
        text = CONFIG.format(host=LOOPBACK, port=self.port, sockets=self.directory)
        with (self._data / "postgresql.conf").open("a", encoding="ascii") as file:
            file.write(text if self._durable else text + THROWN_AWAY)

    def _make_certificates(self) -> None:
        home = self.directory / "tls"
        home.mkdir()
        files = make_certificates(home)
        self.ca_file = files.ca_file
        if self._as_nobody:
            run("chown", "-R", f"{USER}:{GROUP}", str(home))
        with (self._data / "postgresql.conf").open("a", encoding="ascii") as file:
            file.write(f"ssl = on\nssl_cert_file = '{files.cert_file}'\n")
            file.write(f"ssl_key_file = '{files.key_file}'\n")

    def _command(self) -> list[str]:
        return [*self._as_nobody, str(self._programs / "postgres"), "-D", str(self._data)]

    def _wait_until_it_answers(self) -> None:
        super()._wait_until_it_answers()
        deadline = time.monotonic() + self._start_seconds
        while not self._ready():
            if time.monotonic() > deadline or not self.running:
                self.kill()
                raise ServerFailed(f"postgresql did not start:\n{self.log()}")
            time.sleep(POLL_SECONDS)

    def _ready(self) -> bool:
        """It listens before it takes connections."""
        lines = (self._data / "postmaster.pid").read_text(encoding="ascii").splitlines()
        return len(lines) == 8 and lines[7].strip() == "ready"

    def stop(self) -> None:
        """Shut down without waiting for clients ("fast")."""
        self._end(signal.SIGINT)

    def session(self) -> Any:
        """Return a psycopg connection of the superuser, in autocommit mode."""
        import psycopg

        return psycopg.connect(self.socket_url, autocommit=True)

    @contextmanager
    def database(self) -> Iterator[str]:
        """Create an empty database; return its name, and drop it at the end."""
        name = f"test_{secrets.token_hex(8)}"
        self.execute(f"CREATE DATABASE {name}")
        yield name
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Execute a statement as the superuser; return the rows, if there are any."""
        with self.session() as session:
            cursor = session.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []


def newest_programs() -> Path:
    """Return the directory of the newest PostgreSQL's programs, which are not in a user's PATH."""
    there = [each for each in Path(PROGRAMS).glob("*/bin") if (each / "initdb").exists()]
    if there:
        return max(there, key=lambda each: int(re.sub(r"\D", "", each.parent.name) or 0))
    try:
        return Path(find_program("initdb", "postgresql")).resolve().parent
    except ServerMissing:
        raise ServerMissing(
            f"PostgreSQL is neither in {PROGRAMS} nor in PATH: install it (Debian package "
            "postgresql)"
        ) from None


def _as_nobody() -> list[str]:
    if os.geteuid() != 0:
        return []
    program = find_program("setpriv", "util-linux")
    return [program, f"--reuid={USER}", f"--regid={GROUP}", "--clear-groups", "--"]
