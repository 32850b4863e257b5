# SPDX-License-Identifier: BSD-3-Clause
"""A throw-away RabbitMQ on loopback: one node, without plugins and without epmd's usual port."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.servers.certificates import Certificates
from tests.servers.process import LOOPBACK, Server, ServerMissing, answers, find_program, free_port

STARTS_SECONDS = 300  # an Erlang machine, on a machine under load
LARGEST = 1_000_000
"""The largest message in octets that this broker takes."""
_SCRIPTS = "/usr/lib/rabbitmq/bin"


class RabbitMQ(Server):
    """One node, which speaks TLS on *tls_port*, and there on 127.0.0.2 as well."""

    def __init__(self, certificates: Certificates) -> None:
        find_program("rabbitmq-server", "rabbitmq-server")
        self._program = f"{_SCRIPTS}/rabbitmq-server"
        if not Path(self._program).exists():
            raise ServerMissing(f"there is no {self._program} (Debian package rabbitmq-server)")
        super().__init__("rabbitmq", STARTS_SECONDS)
        self._certificates = certificates
        self.tls_port = free_port()
        self._epmd_port, self._distribution_port = free_port(), free_port()
        self.url = f"amqp://{LOOPBACK}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What makes the scripts use this node alone, and the user of the tests."""
        place = str(self.directory)
        return {
            **os.environ,
            "HOME": place,  # the cookie
            "RABBITMQ_HOME": "/usr/lib/rabbitmq",
            "RABBITMQ_NODENAME": "test@localhost",
            "RABBITMQ_CONFIG_FILE": f"{place}/rabbitmq",
            "RABBITMQ_CONF_ENV_FILE": f"{place}/none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{place}/plugins",
            "RABBITMQ_MNESIA_BASE": f"{place}/data",
            "RABBITMQ_LOG_BASE": f"{place}/logs",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": f"{place}/pid",
            "RUNNING_UNDER_SYSTEMD": "true",  # the script is replaced by the node
            "RABBITMQ_SCHEDULER_BIND_TYPE": "u",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +A 4 +sbwt none -kernel "
            "inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
        }

    def _prepare(self) -> None:
        lines = [
            f"listeners.tcp.1 = {LOOPBACK}:{self.port}",
            "log.console.level = warning",
            "disk_free_limit.absolute = 1MB",
            f"max_message_size = {LARGEST}",
            f"listeners.ssl.1 = {LOOPBACK}:{self.tls_port}",
            f"listeners.ssl.2 = 127.0.0.2:{self.tls_port}",
            f"ssl_options.cacertfile = {self._certificates.ca_file}",
            f"ssl_options.certfile = {self._certificates.cert_file}",
            f"ssl_options.keyfile = {self._certificates.key_file}",
        ]
        (self.directory / "rabbitmq.conf").write_text("\n".join(lines) + "\n", encoding="ascii")
        (self.directory / "plugins").write_text("[].\n", encoding="ascii")
        cookie = self.directory / ".erlang.cookie"
        cookie.write_text("A" * 20, encoding="ascii")
        cookie.chmod(0o400)

    def _command(self) -> list[str]:
        settings = [f"{name}={value}" for name, value in self.environment.items()]
        return ["/usr/bin/env", "-i", *settings, self._program]

    @contextmanager
    def channel(self) -> Iterator[Any]:
        """A channel of pika's."""
        import pika

        parameters = pika.ConnectionParameters(LOOPBACK, self.port)
        with closing(pika.BlockingConnection(parameters)) as connection:
            yield connection.channel()

    def declare(self, queue: str, arguments: dict[str, Any] | None = None, **bind: str) -> None:
        """Declare a durable queue, and bind it."""
        with self.channel() as channel:
            channel.queue_declare(queue, durable=True, arguments=arguments)
            if bind:
                channel.queue_bind(queue, **bind)

    def purge(self, queue: str) -> None:
        """Remove what is in a queue."""
        with self.channel() as channel:
            channel.queue_purge(queue)

    def browse(self, queue: str) -> list[tuple[Any, bytes]]:
        """The messages in a queue, which stay there: properties and body of each."""
        found: list[tuple[Any, bytes]] = []
        with self.channel() as channel:
            while True:
                _, properties, body = channel.basic_get(queue)
                if properties is None:
                    return found
                found.append((properties, body))

    def kill(self) -> None:
        super().kill()
        # The node has started a daemon; while it knows a node, it does not end.
        epmd = ["epmd", "-port", str(self._epmd_port), "-kill"]
        while answers(self._epmd_port):
            subprocess.run(epmd, env=self.environment, capture_output=True, check=True)
