# SPDX-License-Identifier: BSD-3-Clause
"""The other end of a webhook: an HTTP server that checks signatures, and can misbehave."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, NamedTuple

from syncrepl_client.testing.certificates import Certificates

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TOLERANCE_SECONDS = 3600  # a machine under load may be slow, but not that slow


def write_secret(path: Path) -> Path:
    """Write the secret to a file that nobody else may read; return *path*."""
    path.write_text(f"{SECRET}\n", encoding="ascii")
    path.chmod(0o600)
    return path


def verify(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Check a request as Standard Webhooks says, with nothing but the standard library."""
    sent = int(headers["webhook-timestamp"])
    if abs(time.time() - sent) > TOLERANCE_SECONDS:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{sent}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    signatures = [each.partition(",") for each in headers["webhook-signature"].split()]
    return any(
        version == "v1" and hmac.compare_digest(value, expected) for version, _, value in signatures
    )


def speak_tls(server: ThreadingHTTPServer, certificates: Certificates) -> None:
    """Let a server speak TLS only; the handshake is made in the thread of the connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.cert_file, certificates.key_file)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )


class Received(NamedTuple):
    """A request with a valid signature."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


class Receiver:
    """The server; what it has taken is in *received*.

    *reply* says how it answers a request: a status with headers; None for no answer at all.
    """

    def __init__(self, certificates: Certificates | None = None, secret: str = SECRET) -> None:
        self.received: list[Received] = []
        self.forged: list[dict[str, str]] = []
        self.changed = threading.Condition()
        self.reply: Callable[[Received], tuple[int, dict[str, str]] | None] = lambda _: (204, {})
        self.body = b""
        self.secret = secret
        self._certificates = certificates
        self._port = 0
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Receiver:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        scheme = "http" if self._certificates is None else "https"
        return f"{scheme}://localhost:{self._port}/hook"

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._server = _Server(("127.0.0.1", self._port), _handler(self))
        if self._certificates is not None:
            speak_tls(self._server, self._certificates)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        """Close the port."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            self._thread.join()
            server.server_close()

    def take(self, request: Received) -> tuple[int, dict[str, str]] | None:
        if not verify(self.secret, request.headers, request.body):
            self.forged.append(request.headers)
            return 401, {}
        with self.changed:
            reply = self.reply(request)
            if reply is None or 200 <= reply[0] < 300:
                self.received.append(request)
            self.changed.notify_all()
        return reply


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # they are joined at the end

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client was killed, or trusts nobody."""


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["content-length"])
            body = self.rfile.read(size)
            if len(body) < size:
                return  # the client was killed
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = receiver.take(Received(headers, body))
            if reply is None:
                self.close_connection = True
                return
            self.send_response(reply[0])
            for name, value in reply[1].items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(receiver.body)

        def log_message(self, format: str, *args: Any) -> None:
            """Be silent."""

    return Handler
