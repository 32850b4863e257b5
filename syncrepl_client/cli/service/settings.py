# SPDX-License-Identifier: BSD-3-Clause
"""What the file says, checked and converted: nothing is opened for writing, or connected to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from ...callbacks import BaseCallback, usable
from ...store import DataPath
from ...store.location import identify
from .. import parameters
from . import values
from .document import Document, Mistake
from .sinksettings import SinkSettings, read_sink
from .streamsettings import arguments_of
from .values import Table

DRAIN_SECONDS = 10.0


@dataclass(frozen=True)
class StreamSettings:
    """A stream.  Two are equal if the file says the same of them.

    Attributes:
        name: its name.
        said: what the file says of it, without its sinks.
        data_path: of its store.
        arguments: keyword arguments for ``Syncrepl``, all but *callback*.
        callback: makes the callback.
        sinks: its sinks, by name.
    """

    name: str
    said: Mapping[str, Any]
    data_path: DataPath
    arguments: Mapping[str, Any] = field(compare=False, repr=False)
    callback: Callable[[], Any] = field(compare=False, repr=False)
    sinks: Mapping[str, SinkSettings] = field(compare=False)


@dataclass(frozen=True)
class Settings:
    """The whole file.

    Attributes:
        listen: where metrics and status page are served: host and port; None for nowhere.
        page: whether there is a status page; None for the default: on loopback.
        hosts: names, besides those of loopback, by which the page may be asked for.
        values: whether the page shows values of attributes.
        drain: how many seconds the sinks have, at the end, to get what is committed.
        streams: the streams, by name.
    """

    listen: Optional[tuple[str, int]]
    page: Optional[bool]
    hosts: tuple[str, ...]
    values: bool
    drain: float
    streams: Mapping[str, StreamSettings]


def read(path: str) -> Settings:
    """Return what the file *path* says.

    Raises:
        Invalid: it can't be used; all mistakes that could be found are in it.
    """
    document = Document(path)
    mistakes: list[Mistake] = []
    top = Table((), document.table, mistakes)
    service = top.table("service")
    listen = service.get("listen", values.address, None)
    if listen is not None:
        _check_metrics(service)
    settings = Settings(
        listen,
        service.get("page", values.flag, None),
        tuple(service.get("hosts", values.texts, [])),
        service.get("values", values.flag, False),
        service.get("drain", values.seconds, DRAIN_SECONDS),
        {name: _stream(name, table) for name, table in top.tables("stream").items()},
    )
    service.end()
    top.end()
    if not settings.streams and not mistakes:
        top.mistake((), "there is no stream: begin one with [stream.NAME]")
    _check_stores(top, settings.streams)
    if mistakes:
        raise document.invalid(mistakes)
    return settings


def _check_metrics(service: Table) -> None:
    try:
        import prometheus_client  # noqa: F401 - the extra is there
    except ModuleNotFoundError:
        service.mistake(
            ("listen",), "it needs prometheus_client: pip install 'syncrepl_client[metrics]'"
        )


def _stream(name: str, table: Table) -> StreamSettings:
    arguments = arguments_of(table)
    callback: Callable[[], Any] = table.get("callback", _callback, _nothing)
    data_path = arguments["data_path"]
    tables = table.tables("sink")
    read = {each: read_sink(each, below, data_path) for each, below in tables.items()}
    sinks = {each: sink for each, sink in read.items() if sink is not None}
    if tables and "log" not in table:
        table.mistake((), 'sinks need a log of changes: log = "30d"')
    table.end()
    said = {key: value for key, value in table.values.items() if key != "sink"}
    return StreamSettings(name, said, data_path, arguments, callback, sinks)


def _nothing() -> BaseCallback:
    """Return a callback for a stream whose changes go to its sinks only."""
    return BaseCallback()


def _callback(value: Any) -> Callable[[], Any]:
    made = values.reference(value)
    parameters.calling(value, lambda: usable(made))
    return lambda: usable(made)


def _check_stores(top: Table, streams: Mapping[str, StreamSettings]) -> None:
    """Check that no two streams use one store."""
    seen: dict[str, str] = {}
    for stream in streams.values():
        if stream.data_path:
            path = identify(stream.data_path)
            other = seen.setdefault(path, stream.name)
            if other != stream.name:
                key = ("stream", stream.name, "data")
                top.mistake(key, f"the stream {other} has its store there")
