# SPDX-License-Identifier: BSD-3-Clause
"""Two PostgreSQL servers: one is the primary, the other one streams from it."""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import ExitStack
from types import TracebackType

import psycopg

from tests.patience import HANGS_SECONDS
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgresql import PostgreSQL
from tests.servers.process import run

CONFIG = """\
wal_level = replica
max_wal_senders = 5
wal_keep_size = 256MB
wal_retrieve_retry_interval = 500
hot_standby = on
track_commit_timestamp = on
"""


class Node(PostgreSQL):
    """One server; with a *source* it begins as a copy of that, and streams from it."""

    def __init__(self, source: Node | None = None) -> None:
        super().__init__()
        self.source = source

    def _prepare(self) -> None:
        source = self.source
        if source is None:
            super()._prepare()
            text = CONFIG
        else:
            self.password = source.password
            self.url = self.url.replace(self.url.split(":")[2].split("@")[0], self.password)
            if self._as_nobody:
                run("chown", "nobody:nogroup", str(self.directory))
            run(
                *self._as_nobody, str(self._programs / "pg_basebackup"), "-D", str(self._data),
                "-h", str(source.directory), "-p", str(source.port), "-U", self.user,
                "-R", "-X", "stream", "-c", "fast", "--no-sync", "--no-manifest",
            )  # fmt: skip
            text = f"port = {self.port}\nunix_socket_directories = '{self.directory}'\n"
        with (self._data / "postgresql.conf").open("a", encoding="ascii") as file:
            file.write(text)

    def crash(self) -> None:
        """End it without a checkpoint: what was committed is in the WAL."""
        self._end(signal.SIGQUIT)

    def follow(self, source: Node) -> None:
        """Begin anew, as a copy of another one."""
        self.stop()
        shutil.rmtree(self._data)
        self.source, self._prepared = source, False
        self.start()


class Pooler(PgBouncer):
    """Pools sessions; one server that is down is tried again soon."""

    def __init__(self, node: Node) -> None:
        super().__init__(node, "session")

    def _prepare(self) -> None:
        super()._prepare()
        with (self.directory / "pgbouncer.ini").open("a", encoding="ascii") as file:
            file.write("server_login_retry = 1\n")

    def turn_to(self, node: Node) -> None:
        """Use another server from now on."""
        self._server = node
        self._prepare()
        os.kill(self.pid, signal.SIGHUP)


class Cluster:
    """Both of them, in the order in which clients ask; or a pooler before the primary.

    With a pooler before each of them libpq would not go on to the second one: the first answers.

    Attributes:
        nodes: the servers.
        primary: the one that is written to.
        query: what the URL ends with.
        ports: where clients connect.
    """

    def __init__(self, *, pooled: bool = False) -> None:
        self.primary = Node()
        self.nodes = [self.primary, Node(self.primary)]
        self._pooler = Pooler(self.primary) if pooled else None
        self.query = "target_session_attrs=read-write"
        self.ports = [node.port for node in self.nodes]
        if self._pooler is not None:
            self.query, self.ports = "session_pooling=true", [self._pooler.port]

    def __enter__(self) -> Cluster:
        with ExitStack() as stack:
            for node in self.nodes:
                stack.enter_context(node)
            if self._pooler is not None:
                stack.enter_context(self._pooler)
            self._stack = stack.pop_all()
        self.wait_for_standby()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def standby(self) -> Node:
        return next(node for node in self.nodes if node is not self.primary)

    def wait_for_standby(self) -> None:
        """Wait until the other one streams."""
        deadline = time.monotonic() + HANGS_SECONDS
        streaming = "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"
        while not self.primary.execute(streaming):
            assert time.monotonic() < deadline, "the standby does not stream"
            time.sleep(0.05)

    def part(self) -> None:
        """Let the standby get nothing more."""
        self.standby.execute("ALTER SYSTEM SET primary_conninfo = ''")
        self.standby.execute("SELECT pg_reload_conf()")
        deadline = time.monotonic() + HANGS_SECONDS
        while self.standby.execute("SELECT 1 FROM pg_stat_wal_receiver"):
            assert time.monotonic() < deadline, "the standby goes on streaming"
            time.sleep(0.02)

    def promote(self) -> None:
        """Let the standby be the primary; the old one has ended."""
        self.standby.execute("SELECT pg_promote(true, 60)")
        self.primary = self.standby
        if self._pooler is not None:
            self._pooler.turn_to(self.primary)

    @property
    def way(self) -> int:
        """By which of the ports clients reach the primary."""
        return 0 if self._pooler is not None else self.nodes.index(self.primary)

    def rejoin(self) -> None:
        """Let the old primary be a copy of the new one."""
        self.standby.follow(self.primary)
        self.wait_for_standby()

    def connect(self) -> psycopg.Connection:
        """A session with the primary."""
        return psycopg.connect(self.primary.socket_url, autocommit=True)
