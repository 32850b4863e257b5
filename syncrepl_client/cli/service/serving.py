# SPDX-License-Identifier: BSD-3-Clause
"""The service with its metrics and its status page."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Optional

import click

from ...changelog import SinkState
from ...exceptions import StoreError
from ...service import Notifier
from ...sinks.endpoint import is_loopback
from ...store import sinks_of
from ..output import terminal
from . import page, view
from .samples import Samples
from .settings import Settings
from .supervisor import Service
from .view import View

if TYPE_CHECKING:  # they need the extra for metrics
    from ..output.metrics import Figures
    from .web import Server, Site

logger = logging.getLogger(__name__)

STAGES = ("connecting", "standby", "disconnected", "refresh", "persist", "over", "failed")


def serve(path: str, settings: Settings, notifier: Notifier) -> int:
    """Run the service; return its exit code.

    Raises:
        click.UsageError: the address to listen on can't be used.
    """
    service = Service(path, settings, notifier)
    front = Front(service)
    try:
        front.change(settings)
    except OSError as error:
        raise click.UsageError(str(error)) from None
    service.on_settings = front.change
    terminal.handler.addFilter(_named)
    try:
        return service.run()
    finally:
        terminal.handler.removeFilter(_named)
        front.close()


def _named(record: logging.LogRecord) -> bool:
    """Say which stream or sink a message is of: the library does not know."""
    name = record.threadName or ""
    if name.startswith(("stream ", "sink ")):
        record.msg = f"{name}: {record.msg}"
    return True


class Front:
    """What is served of a service, over HTTP."""

    def __init__(self, service: Service) -> None:
        """Initialize; nothing is served."""
        self._service = service
        self._server: Optional[Server] = None
        self._address: Optional[tuple[str, int]] = None

    def change(self, settings: Settings) -> None:
        """Serve what *settings* say from now on.

        Raises:
            OSError: the address can't be used; nothing was changed.
        """
        if settings.listen is None:
            self.close()
            return
        site = self._site(settings, *settings.listen)
        if self._server is not None and settings.listen == self._address:
            self._server.site = site
            return
        from .web import Server

        host, port = settings.listen
        try:
            server = Server(host, port, site)
        except OSError as error:
            raise OSError(f"can't listen on {host}:{port}: {error.strerror or error}") from None
        self.close()
        self._server, self._address = server.__enter__(), settings.listen
        logger.info("listens on %s:%d", host, server.port, extra={"event": "listening"})

    def close(self) -> None:
        """Serve nothing any more."""
        server, self._server, self._address = self._server, None, None
        if server is not None:
            server.__exit__(None, None, None)

    def _site(self, settings: Settings, host: str, port: int) -> "Site":
        from ..output.metrics import StatsCollector, registry_of
        from .web import Site

        is_local = is_loopback(host)
        has_page = is_local if settings.page is None else settings.page
        if has_page and not is_local:
            logger.warning(
                "whoever reaches %s:%d may read the status page, with DNs%s, without encryption",
                host,
                port,
                " and values" if settings.values else "",
                extra={"event": "risk"},
            )

        def shown() -> str:
            views = list(self._views(values=settings.values))
            return page.render(views, datetime.now().astimezone())

        registry = registry_of(StatsCollector(lambda: list(self._figures()), STAGES))
        hosts = frozenset(name.lower() for name in settings.hosts)
        return Site(registry, shown if has_page else None, hosts, is_local)

    # --- what is served, asked for in other threads

    def _figures(self) -> "Iterator[Figures]":
        from ..output.metrics import Figures

        for name, stream in list(self._service.streams.items()):
            sinks: Sequence[SinkState] = ()
            with suppress(StoreError):
                sinks = sinks_of(stream.settings.data_path)
            yield Figures(stream.stats, sinks, name)

    def _views(self, *, values: bool) -> Iterator[View]:
        now = time.monotonic()
        sinks = list(self._service.sinks.items())
        for name, stream in list(self._service.streams.items()):
            yield View(
                name,
                stream.settings.arguments["ldap_url"],
                stream.stats,
                stream.refreshed,
                stream.error,
                self._service.samples.get(name, Samples()).bars(now),
                {sink: each.error for (of, sink), each in sinks if of == name},
                view.read(stream.settings.data_path, values=values),
            )
