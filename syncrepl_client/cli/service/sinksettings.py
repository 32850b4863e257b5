# SPDX-License-Identifier: BSD-3-Clause
"""The table of a sink: the arguments of the sink, and of its relay."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from ...entries.differences import OPERATIONAL
from ...exceptions import SyncreplError
from ...sinks import Relay, Sink
from ...sinks.registry import SINKS, Kind, kind_of, load_sink
from ...store import DataPath
from .. import parameters
from . import values
from .streamsettings import secret_of
from .values import Table

_BEGIN: Mapping[str, Mapping[str, Any]] = {
    "now": {},
    "start": {"position": 0},
    "snapshot": {"snapshot": True},
}
"""Where a new sink begins: the arguments of its relay."""


@dataclass(frozen=True)
class SinkSettings:
    """A sink of a stream.  Two are equal if the file says the same of them.

    Attributes:
        stream: the name of the stream.
        name: its name in the log.
        said: what the file says of it.
        data_path: of the stream's store.
        make: makes the sink.
        relay: further keyword arguments for the relay.
    """

    stream: str
    name: str
    said: Mapping[str, Any]
    data_path: DataPath
    make: Callable[[], Sink] = field(compare=False, repr=False)
    relay: Mapping[str, Any] = field(compare=False, repr=False)

    def make_relay(self, lease: Optional[float] = None) -> Relay:
        """Return a relay, which is not opened.

        Args:
            lease: of the relay on its sink.

        Raises:
            ConfigurationError: an argument is not valid.
        """
        return Relay(self.data_path, self.make(), name=self.name, lease=lease, **self.relay)


def read_sink(name: str, table: Table, data_path: DataPath) -> Optional[SinkSettings]:
    """Return the settings of a sink; note mistakes.  None: it is not known what makes the sink."""
    kind = table.get("kind", values.text, "")
    make = table.get("kind", _own, None) if ":" in kind else _maker(table, kind, data_path)
    none: list[str] = []
    leave_out = set(table.get("leave_out", values.texts, none))
    if not table.get("operational", values.flag, False):
        leave_out |= OPERATIONAL
    relay: dict[str, Any] = {
        **_BEGIN[table.get("begin", values.one_of(*_BEGIN), "now")],
        "source": table.get("source", values.text, None),
        "leave_out": leave_out,
        "max_parked": table.get("max_parked", values.whole(1), 1000),
        "batch": table.get("batch", values.whole(1), 100),
    }
    table.end()
    if make is None:
        return None
    settings = SinkSettings(table.path[1], name, table.values, data_path, make, relay)
    if table.is_well:
        try:
            settings.make_relay()
        except SyncreplError as error:
            table.mistake((), str(error))
    return settings


def _own(value: Any) -> Callable[[], Sink]:
    """Return what ``MODULE:NAME`` names: a class of the user's, or a function."""
    factory = values.reference(value)

    def make() -> Sink:
        sink = parameters.calling(value, factory)
        if not isinstance(sink, Sink):
            raise ValueError(f"{value} is no syncrepl_client.sinks.Sink")
        return sink

    make()
    return make


def _maker(table: Table, name: str, data_path: DataPath) -> Optional[Callable[[], Sink]]:
    """Return what makes a sink of a kind that the library has."""
    where = table.get("url", values.text, "", required=True)
    name = name or kind_of(where) or ""
    kind = SINKS.get(name)
    if kind is None:
        wrong = ("kind",) if "kind" in table else ("url",)
        table.mistake(wrong, f"this is one of the sinks {', '.join(SINKS)}, or MODULE:NAME")
        return None
    arguments = _arguments(table, kind)
    if kind.reads_store:
        arguments["data_path"] = data_path
    try:
        sink = load_sink(name)
    except ModuleNotFoundError as error:
        table.mistake((), str(error))
        return None
    return lambda: sink(where, **arguments)  # type: ignore[call-arg]


def _arguments(table: Table, kind: Kind) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        name: table.get(name, values.text, "", required=True) for name in kind.required
    }
    for name, of in kind.options.items():
        convert = values.file if name == "cacert" else values.by_type(of)
        value = table.get(name, convert, None)
        if value is not None:
            arguments[name] = value
    secret = secret_of(table, kind.secret)
    if secret is not None:
        arguments[kind.secret] = secret
    elif kind.needs_secret and kind.secret not in table and table.is_well:
        table.mistake((), f"the key {kind.secret}_file or {kind.secret}_variable is missing")
    return arguments
