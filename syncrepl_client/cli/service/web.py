# SPDX-License-Identifier: BSD-3-Clause
"""Metrics and status page over HTTP: what is read, and by whom it may be asked for."""

import ipaddress
import logging
import re
import socket
import sys
import threading
from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Callable, NamedTuple, Optional

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

logger = logging.getLogger(__name__)

_STYLE = Path(__file__).with_name("style.css")
_REQUEST_SECONDS = 10.0
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^:\[\]@/]+)(:\d{1,5})?")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Of every answer: nothing but the style sheet is loaded; nothing is kept, or framed elsewhere."""


@dataclass(frozen=True)
class Site:
    """What is served.

    Attributes:
        registry: the metrics.
        page: returns the status page; None if there is none.
        hosts: names, in lower case, by which it may be asked for, besides ``localhost``.
        is_local: whether it is served on loopback only.
    """

    registry: CollectorRegistry
    page: Optional[Callable[[], str]]
    hosts: Collection[str]
    is_local: bool

    def allows(self, host: Optional[str]) -> bool:
        """Return whether this is the site that a browser means by *host*.

        A page of somebody else's may make its own name one of this host's addresses, and then read
        what this server answers (DNS rebinding).  An address is nobody's name.
        """
        found = _HOST.fullmatch(host or "")
        if found is None:
            return False
        name = found["name"].lower().rstrip(".")
        if name == "localhost" or name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


class Answer(NamedTuple):
    """The answer to a request; *kind* is the media type."""

    status: HTTPStatus
    kind: str
    body: bytes


def _plain(status: HTTPStatus, words: str) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", f"{words}\n".encode())


class Server:
    """Serves a site, in threads, while a ``with`` block lasts.

    Attributes:
        site: what is served; it may be replaced.
        port: where it listens.
    """

    def __init__(self, host: str, port: int, site: Site) -> None:
        """Listen.

        Raises:
            OSError: the address can't be used.
        """
        self.site = site
        self._server = _Listener(host, port, self)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="http", daemon=True
        )

    def __enter__(self) -> "Server":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int, owner: Server) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.owner = owner
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind; the name of this host is not looked up, which may take long."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def handle_error(self, request: object, client_address: object) -> None:
        """Log what went wrong with a request; that a client went away is nothing."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            logger.error("a request failed", exc_info=error, extra={"event": "request-failed"})


class _Handler(BaseHTTPRequestHandler):
    timeout = _REQUEST_SECONDS
    server: _Listener

    def do_GET(self) -> None:
        answer = self._answer()
        self._send(answer, answer.body)

    def do_HEAD(self) -> None:
        self._send(self._answer(), b"")

    def send_error(
        self, code: int, message: Optional[str] = None, explain: Optional[str] = None
    ) -> None:
        """Answer a request that is not valid, without a word of it."""
        self.close_connection = True
        answer = _plain(HTTPStatus(code), HTTPStatus(code).phrase)
        self._send(answer, answer.body)

    def _send(self, answer: Answer, body: bytes) -> None:
        self.send_response(answer.status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self) -> Answer:
        site = self.server.owner.site
        path = self.path.partition("?")[0]
        wants_metrics = path == "/metrics" and not site.is_local
        if not wants_metrics and not site.allows(self.headers.get("Host")):
            return _plain(
                HTTPStatus.MISDIRECTED_REQUEST,
                "This name is not one of this service: add it to hosts in its configuration.",
            )
        if path == "/metrics":
            encoder, kind = choose_encoder(self.headers.get("Accept", ""))
            return Answer(HTTPStatus.OK, kind, encoder(site.registry))
        if path == "/style.css" and site.page is not None:
            return Answer(HTTPStatus.OK, "text/css; charset=utf-8", _STYLE.read_bytes())
        if path == "/" and site.page is not None:
            return Answer(HTTPStatus.OK, "text/html; charset=utf-8", site.page().encode())
        return _plain(HTTPStatus.NOT_FOUND, "There is nothing here: /metrics has the metrics.")

    def version_string(self) -> str:
        """Return the header Server, without versions."""
        return "syncrepl-client"

    def log_message(self, format: str, *args: object) -> None:
        """Log at level DEBUG."""
        logger.debug(format, *args)
