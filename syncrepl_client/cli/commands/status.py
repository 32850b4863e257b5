# SPDX-License-Identifier: BSD-3-Clause
"""``syncrepl-client status``: tells how far a store is behind its server."""

import time
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple, Optional

import click

from ... import url
from ...changelog import SinkState
from ...engine import lag
from ...engine.lag import Lag, Mark
from ...protocol.guard import Tally
from ...store import DataPath, Holder, Origin, Standby, read_store
from ...waiting.waker import Waker, wait_for
from .. import options
from ..exits import Exit
from ..output import nagios, sinks
from ..output.nagios import Thresholds
from ..output.report import Report, counted, write, write_json
from ..output.sinks import Limits
from ..target import Target

PATIENCE = 3.0
_LOOK_SECONDS = 0.2


class Stored(NamedTuple):
    """The state of the store."""

    path: str
    origin: Origin
    entries: int
    changed: float
    in_use: bool
    sinks: "list[SinkState]"
    holder: Optional[Holder] = None
    standbys: Sequence[Standby] = ()


def look(data_path: DataPath) -> Stored:
    """Return the current state of the store at *data_path*.

    Raises:
        StoreError: there is none, or it can't be read.
    """
    with read_store(data_path) as reader:
        numbers = len(reader), reader.changed, reader.in_use
        clients = reader.holder, reader.standbys
        return Stored(reader.path, reader.origin, *numbers, reader.sinks, *clients)


def look_patiently(data_path: DataPath, patience: float) -> Stored:
    """Return the state, when another client has taken a shared one over, if that is going on.

    Raises:
        StoreError: there is none, or it can't be read.
    """
    deadline = time.monotonic() + patience
    while True:
        stored = look(data_path)
        if stored.in_use or not stored.standbys or time.monotonic() >= deadline:
            return stored
        wait_for(min(deadline, time.monotonic() + _LOOK_SECONDS))


@click.command(cls=nagios.PluginCommand)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text",
              show_default=True, help="Output format.")  # fmt: skip
@click.option("--wait", "patience", type=click.FloatRange(0, 3600), default=PATIENCE,
              metavar="SECONDS", show_default=True,
              help="Let a program at work catch up for so long.")  # fmt: skip
@click.option("--nagios", is_flag=True, help="Write one line for Nagios or Icinga, and end with "
              "their exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.")  # fmt: skip
@click.option("-w", "warning", type=click.FloatRange(0), default=60, metavar="N",
              show_default=True, help="With --nagios: WARNING if the state is more than N seconds "
              "behind (389-ds: changes).")  # fmt: skip
@click.option("-c", "critical", type=click.FloatRange(0), default=600, metavar="N",
              show_default=True, help="With --nagios: the same for CRITICAL.")  # fmt: skip
@click.option("--sink-lag", type=(click.FloatRange(0), click.FloatRange(0)), default=(60, 600),
              metavar="W C", show_default=True, help="With --nagios: WARNING and CRITICAL if a "
              "sink has waited for a change for more seconds.")  # fmt: skip
@click.option("--sink-parked", type=(click.IntRange(0), click.IntRange(0)), default=(0, 100),
              metavar="W C", show_default=True, help="With --nagios: the same for parked changes. "
              "Lost ones are CRITICAL.")  # fmt: skip
@click.option(
    "--standbys",
    "least",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    show_default=True,
    help="With --nagios: WARNING if fewer than N programs stand by.",
)
@click.option("--idle-ok", is_flag=True, help="With --nagios: it is right that no program uses "
              "the state now.")  # fmt: skip
@options.search(data_required=True, data_help=options.LOOK)
def command(
    target: Target,
    form: str,
    patience: float,
    nagios: bool,
    warning: float,
    critical: float,
    sink_lag: "tuple[float, float]",
    sink_parked: "tuple[int, int]",
    least: int,
    idle_ok: bool,
) -> int:
    """Show how far a state is behind its server, and its sinks behind the state.

    Compares the cookie in the state with the server's state. The state may be in use;
    nothing is changed. Entries are not compared: verify does that. Without a URL the server
    in the state is asked.

    Exit code without --nagios: 0 if the state is in step, 1 if it is behind, ahead, or that
    can't be told, and if a sink has parked or lost changes.
    """
    with read_store(target.data_path or "") as reader:
        followed = reader.origin.url
    if followed is not None:
        target.url.check_same_search(url.parse(followed))
    found = _ask(target, patience)
    stored = look_patiently(target.data_path or "", patience)
    if nagios:
        limits = Limits(Thresholds(*sink_lag), Thresholds(*sink_parked))
        return _as_plugin(found, stored, Thresholds(warning, critical), limits, least, idle_ok)
    if form == "json":
        write_json(_members(found, stored))
    else:
        _write(found, stored)
    return Exit.DONE if _is_well(found, stored) else Exit.FOUND


def _is_well(found: Lag, stored: Stored) -> bool:
    wrong = found.ahead or found.lacks or found.misconfigured or _refused(stored)
    return bool(found.in_step) and not wrong and all(map(sinks.is_well, stored.sinks))


def _refused(stored: Stored) -> Optional[str]:
    """Return what the deletion guard said at the last refresh; None if that was done."""
    tally = Tally.parse(stored.origin.tally)
    if tally is None or tally.refused is None:
        return None
    return f"the deletion guard refused to delete {tally.refused:,} of {tally.entries:,} entries"


def _ask(target: Target, patience: float) -> Lag:
    def read() -> Origin:
        with read_store(target.data_path or "") as reader:
            return reader.origin

    waker = Waker()
    try:
        return lag.measure(target.connector(waker), read, patience)
    finally:
        waker.close()


def _as_plugin(
    found: Lag,
    stored: Stored,
    thresholds: Thresholds,
    limits: Limits,
    least: int,
    idle_ok: bool,
) -> int:
    """Write the line for Nagios; return its exit code."""
    state, text = nagios.judge(found, thresholds)
    for each, said in sinks.judge(stored.sinks, limits):
        state, text = nagios.worse(state, each), f"{said}; {text}"
    refused = _refused(stored)
    if refused is not None:
        state, text = nagios.State.CRITICAL, f"{refused}; {text}"
    if len(stored.standbys) < least:
        few = f"{counted(len(stored.standbys), 'standby', 'standbys')}, not {least}"
        state, text = nagios.worse(state, nagios.State.WARNING), f"{few}; {text}"
    if not (stored.in_use or idle_ok):
        state, text = nagios.State.CRITICAL, f"{_nobody(stored)}; {text}"
    numbers: list[nagios.Number] = [("entries", float(stored.entries), "", None)]
    if found.seconds is not None and found.changes is None:
        numbers.insert(0, ("lag", found.seconds, "s", thresholds))
    if found.changes is not None:
        numbers.insert(0, ("changes", float(found.changes), "", thresholds))
    if stored.holder is not None:
        numbers.append(("standbys", float(len(stored.standbys)), "", None))
    numbers.extend(sinks.numbers(stored.sinks, limits))
    write(nagios.line(state, text, numbers) + "\n")
    return state


def _nobody(stored: Stored) -> str:
    if stored.holder is None:
        return "nobody follows: no program uses the state"
    last = f"{stored.holder.host}/{stored.holder.pid}"
    waiting = counted(len(stored.standbys), "standby", "standbys")
    return f"nobody is active: the last one was {last}; {waiting}"


# --- text


def _write(found: Lag, stored: Stored) -> None:
    widest = max((len(sink.name) for sink in stored.sinks), default=0)
    report, origin = Report(max(15, widest + 7)), stored.origin
    report.row("state", stored.path)
    report.row("follows", origin.url or "nothing yet")
    report.row("entries", f"{stored.entries:,}")
    report.row("last written", f"{_when(stored.changed)}, by the time of the file")
    report.row("reconciled", _reconciled(origin))
    report.row("in use", "yes" if stored.in_use else "no")
    if stored.holder is not None:
        report.row("active", _active(stored.holder, stored.in_use))
    for standby in stored.standbys:
        report.row("standby", f"{standby.name}, since {_when(standby.since)}")
    report.row("server", f"{found.server}, {found.kind}")
    for sink in stored.sinks:
        report.row(f"sink {sink.name}", sinks.words(sink), style=sinks.style(sink))
    for mark in found.marks:
        report.row(f"server id {mark.sid}", _mark(mark))
    if found.misconfigured is not None:
        report.row("warning", f"changes are left out: {found.misconfigured}", style="bold yellow")
    if found.lacks is not None:
        report.row("next start", f"waits, and tries the other servers: {found.lacks}")
    if found.doubt is not None:
        report.row("next start", f"without a cookie, if bound as here: {found.doubt}")
    refused = _refused(stored)
    if refused is not None:
        report.row("warning", refused, style="bold red")
    report.line("")
    style = "green" if _is_well(found, stored) else "bold yellow"
    report.row("result", nagios.words(found), style=style)


def _active(holder: Holder, in_use: bool) -> str:
    term = f"term {holder.term}, timeline {holder.timeline}"
    said = f"{holder.host}/{holder.pid}, since {_when(holder.since)}, {term}"
    return said if in_use else f"nobody; the last one was {said}"


def _when(seconds: float) -> str:
    written = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    return f"{written} ({nagios.span(max(0.0, time.time() - seconds))} ago)"


def _reconciled(origin: Origin) -> str:
    if origin.reconciled is None:
        return "not known when; at the next start"
    return f"{_when(origin.reconciled)}: the last refresh without a cookie"


def _mark(mark: Mark) -> str:
    if mark.stored is None:
        return f"last change {_change(mark.there)}; the state knows of none"
    if mark.behind:
        return f"last change {_change(mark.there)}; the state knows of {_change(mark.stored)}"
    if mark.ahead:
        return f"last change {_change(mark.stored)}; the server does not know of it"
    return f"last change {_change(mark.stored)}"


def _change(made: Optional[datetime]) -> str:
    return "none" if made is None else f"{made.astimezone():%Y-%m-%d %H:%M:%S}"


# --- JSON


def _members(found: Lag, stored: Stored) -> "dict[str, Any]":
    origin, tally = stored.origin, Tally.parse(stored.origin.tally)
    return {
        "state": stored.path,
        "url": origin.url,
        "entries": stored.entries,
        "written": _iso(stored.changed),
        "reconciled": _iso(origin.reconciled),
        "in_use": stored.in_use,
        "active": _client(stored.holder) if stored.in_use else None,
        "last_active": _client(stored.holder),
        "standbys": [{"name": each.name, "since": _iso(each.since)} for each in stored.standbys],
        "server": found.server,
        "kind": found.kind,
        "in_step": found.in_step,
        "lag_seconds": found.seconds,
        "changes_behind": found.changes,
        "ahead": found.ahead,
        "reason": found.reason,
        "next_start_without_cookie": found.doubt,
        "server_lacks": found.lacks,
        "deletes_refused": None if tally is None else tally.refused,
        "misconfigured": found.misconfigured,
        "sinks": list(map(sinks.members, stored.sinks)),
        "server_ids": [
            {
                "id": mark.sid,
                "state": None if mark.stored is None else mark.stored.isoformat(),
                "server": None if mark.there is None else mark.there.isoformat(),
            }
            for mark in found.marks
        ],
    }


def _client(holder: Optional[Holder]) -> "Optional[dict[str, Any]]":
    return None if holder is None else {**holder._asdict(), "since": _iso(holder.since)}


def _iso(seconds: Optional[float]) -> Optional[str]:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).isoformat()
