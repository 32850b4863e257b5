# SPDX-License-Identifier: BSD-3-Clause
"""Metrics for Prometheus; requires the extra ``[metrics]``."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Callable, NamedTuple, Optional, Union

import click
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from ...changelog import SinkState
from ...engine.stats import Stats

STAGES = ("connecting", "standby", "disconnected", "refresh", "persist", "over")

_Family = Union[CounterMetricFamily, GaugeMetricFamily]
Value = tuple[Sequence[str], Optional[float]]
"""The values of the labels, and the number; None is not exported."""


class Figures(NamedTuple):
    """What is known of a client.

    Attributes:
        stats: its statistics.
        sinks: the sinks of its store.
        stream: its name, which is a label of all its metrics; None for the only client.
    """

    stats: Stats
    sinks: Sequence[SinkState] = ()
    stream: Optional[str] = None


class StatsCollector(Collector):
    """Converts statistics into metrics when they are scraped."""

    def __init__(
        self, read: Callable[[], Iterable[Figures]], stages: Sequence[str] = STAGES
    ) -> None:
        """Initialize.

        Args:
            read: returns the figures; it is called in other threads.
            stages: the names of stages that are always exported.
        """
        self._read = read
        self._stages = stages

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        figures = list(self._read())
        yield from self._of_clients(figures)
        yield from _of_sinks(figures)

    def _of_clients(self, figures: Sequence[Figures]) -> Iterator[Metric]:
        common = _labels(figures)
        yield _family(
            CounterMetricFamily("syncrepl_changes", "Changes that were committed.",
                                labels=[*common, "kind"]),
            [([*_names(each), kind.value], float(count))
             for each in figures for kind, count in each.stats.changes.items()],
        )  # fmt: skip
        yield _family(
            GaugeMetricFamily("syncrepl_stage", "1 for the stage it is in.",
                              labels=[*common, "stage"]),
            [([*_names(each), name], float(name == each.stats.stage))
             for each in figures for name in dict.fromkeys((*self._stages, each.stats.stage))],
        )  # fmt: skip
        for name, text in (
            ("commits", "Transactions that were committed."),
            ("reconnects", "Lost connections that were made again."),
            ("callback_errors", "Failures to handle a change."),
        ):
            counter = CounterMetricFamily(f"syncrepl_{name}", text, labels=common)
            yield _family(counter, [(_names(each), getattr(each.stats, name)) for each in figures])
        for name, attribute, text in (
            ("entries", "entries", "Entries in the store."),
            ("last_message_timestamp_seconds", "last_message",
             "When the server last said something, in Unix time."),
            ("lag_seconds", "lag",
             "From when the last change was made at the server to its commit here."),
            ("active", "active", "1 if it has the store; 0 if another client has."),
            ("term", "term", "How often the store was taken, by one client or another."),
        ):  # fmt: skip
            values = [(_names(each), getattr(each.stats, attribute)) for each in figures]
            gauge = GaugeMetricFamily(f"syncrepl_{name}", text, labels=common)
            if any(value is not None for _, value in values):
                yield _family(gauge, values)


def _of_sinks(figures: Sequence[Figures]) -> Iterator[Metric]:
    sinks = [([*_names(each), sink.name], sink) for each in figures for sink in each.sinks]
    if not sinks:
        return
    labels = [*_labels(figures), "sink"]
    for name, text, values in (
        ("behind_changes", "Changes that the sink did not get yet.",
         [(names, float(sink.behind)) for names, sink in sinks]),
        ("lag_seconds", "Since when the first of these is in the log.",
         [(names, sink.age or 0.0) for names, sink in sinks]),
        ("parked_changes", "Changes that were refused, or wait behind such a one.",
         [(names, float(sink.parked)) for names, sink in sinks]),
        ("lost_changes", "Changes that the sink can't get any more.",
         [(names, float(sink.lost)) for names, sink in sinks]),
        ("snapshot_entries", "Entries that were sent of a snapshot that is under way.",
         [(names, float(sink.snapshot.sent)) for names, sink in sinks if sink.snapshot]),
    ):  # fmt: skip
        gauge = GaugeMetricFamily(f"syncrepl_sink_{name}", text, labels=labels)
        yield _family(gauge, values)


def _family(family: _Family, values: Iterable[Value]) -> Metric:
    for labels, value in values:
        if value is not None:
            family.add_metric(labels, value)
    return family


def _labels(figures: Iterable[Figures]) -> Sequence[str]:
    return ["stream"] if any(each.stream is not None for each in figures) else []


def _names(figures: Figures) -> Sequence[str]:
    return [] if figures.stream is None else [figures.stream]


def registry_of(collector: Collector) -> CollectorRegistry:
    """Return a registry with the metrics of *collector*, and those of this process."""
    registry = CollectorRegistry()
    registry.register(collector)
    ProcessCollector(registry=registry)
    return registry


@contextmanager
def served(host: str, port: int, read: Callable[[], Iterable[Figures]]) -> Iterator[None]:
    """Serve the metrics of :class:`StatsCollector` over HTTP; a context manager.

    Raises:
        click.UsageError: the address can't be used.
    """
    try:
        server, thread = start_http_server(port, host, registry_of(StatsCollector(read)))
    except OSError as error:
        raise click.UsageError(f"--metrics can't listen on {host}:{port}: {error}") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
