# SPDX-License-Identifier: BSD-3-Clause
"""TLS before the mock cluster of librdkafka, which speaks none itself.

The broker's address in its answers is replaced by that of the proxy, so all connections go there.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from contextlib import suppress
from types import TracebackType

from syncrepl_client.testing.certificates import Certificates
from tests.servers.kafka import Kafka
from tests.servers.process import LOOPBACK

_HEADER = struct.Struct(">i")
"""A response begins with its size; a port has as many octets."""


class KafkaTLS:
    """The proxy; *url* is what a sink gets."""

    def __init__(self, server: Kafka, certificates: Certificates) -> None:
        host, _, port = server.address.rpartition(":")
        self._broker = (host, int(port))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificates.cert_file, certificates.key_file)
        self._listener = socket.create_server((LOOPBACK, 0))
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self.port: int = self._listener.getsockname()[1]
        self.url = f"kafkas://{LOOPBACK}:{self.port}"

    def __enter__(self) -> KafkaTLS:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in (self._listener, *self._sockets):
            with suppress(OSError):  # it is closed already
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
                self._sockets.append(plain)
            except OSError:  # the listener was closed
                return
            with suppress(OSError):  # the client does not trust it
                client = self._context.wrap_socket(plain, server_side=True)
                broker = socket.create_connection(self._broker)
                self._sockets += [client, broker]
                for copy in (self._requests, self._responses):
                    thread = threading.Thread(target=copy, args=(client, broker))
                    self._threads.append(thread)
                    thread.start()

    def _requests(self, client: socket.socket, broker: socket.socket) -> None:
        with suppress(OSError):  # one of them has ended
            while data := client.recv(65536):
                broker.sendall(data)

    def _responses(self, client: socket.socket, broker: socket.socket) -> None:
        host, port = self._broker
        old, new = (host.encode() + _HEADER.pack(each) for each in (port, self.port))
        with suppress(OSError):
            while header := broker.recv(_HEADER.size, socket.MSG_WAITALL):
                body = broker.recv(_HEADER.unpack(header)[0], socket.MSG_WAITALL)
                client.sendall(header + body.replace(old, new))
