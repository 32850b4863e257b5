# SPDX-License-Identifier: BSD-3-Clause
"""Metrics for Prometheus; requires the extra ``[metrics]``."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable

import click
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from ...changes import ChangeKind
from ...engine.stats import Stats

CONNECTING = Stats("connecting", 0, dict.fromkeys(ChangeKind, 0), 0, 0, 0, None, None)
"""The statistics before there is a client."""
STAGES = ("connecting", "disconnected", "refresh", "persist", "over")


class StatsCollector(Collector):
    """Converts statistics into metrics when they are scraped."""

    def __init__(self, read: Callable[[], Stats]) -> None:
        """Initialize with a function that returns the statistics; it is called in other threads."""
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        numbers = self._read()
        changes = CounterMetricFamily(
            "syncrepl_changes", "Changes that were committed.", labels=["kind"]
        )
        for kind, count in numbers.changes.items():
            changes.add_metric([kind.value], count)
        yield changes
        stage = GaugeMetricFamily("syncrepl_stage", "1 for the stage it is in.", labels=["stage"])
        for name in dict.fromkeys((*STAGES, numbers.stage)):
            stage.add_metric([name], float(name == numbers.stage))
        yield stage
        for name, text, count in (
            ("commits", "Transactions that were committed.", numbers.commits),
            ("reconnects", "Lost connections that were made again.", numbers.reconnects),
            ("callback_errors", "Failures to handle a change.", numbers.callback_errors),
        ):
            yield CounterMetricFamily(f"syncrepl_{name}", text, value=count)
        yield GaugeMetricFamily("syncrepl_entries", "Entries in the store.", value=numbers.entries)
        for name, text, seconds in (
            (
                "last_message_timestamp_seconds",
                "When the server last said something, in Unix time.",
                numbers.last_message,
            ),
            (
                "lag_seconds",
                "From when the last change was made at the server to its commit here.",
                numbers.lag,
            ),
        ):
            if seconds is not None:
                yield GaugeMetricFamily(f"syncrepl_{name}", text, value=seconds)


@contextmanager
def served(host: str, port: int, read: Callable[[], Stats]) -> Iterator[None]:
    """Serve the metrics of :class:`StatsCollector` over HTTP; a context manager.

    Raises:
        click.UsageError: the address can't be used.
    """
    registry = CollectorRegistry()
    registry.register(StatsCollector(read))
    ProcessCollector(registry=registry)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise click.UsageError(f"--metrics can't listen on {host}:{port}: {error}") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
