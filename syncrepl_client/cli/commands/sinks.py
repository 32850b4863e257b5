# SPDX-License-Identifier: BSD-3-Clause
"""``syncrepl-client sinks``: shows the sinks of a state, and deals with what they refused."""

from collections.abc import Iterable
from datetime import datetime
from typing import Optional
from uuid import UUID

import click

from ...changelog import Log, Parked, SinkState
from ...entries import dn
from ...store import DataPath, open_changelog, read_store
from .. import options, past
from ..exits import Exit
from ..output import report
from ..output import sinks as described
from ..output.report import Report, counted

_WIDTHS = 10, 21
"""The columns of a parked change: its number, and when it was parked."""


@click.command
@click.argument("name", required=False, metavar="[NAME]")
@click.option("--release", "action", flag_value="release",
              help="Have the relay send the parked changes again.")  # fmt: skip
@click.option("--drop", "action", flag_value="drop",
              help="Give the parked changes up: the sink never gets them.")  # fmt: skip
@click.option("--snapshot", "action", flag_value="snapshot",
              help="Have the relay send all entries, each as it is then, beside the changes."
              )  # fmt: skip
@click.option("--cancel-snapshot", "action", flag_value="cancel-snapshot",
              help="Have it send no more of them.")  # fmt: skip
@click.option("--acknowledge", "action", flag_value="acknowledge",
              help="Forget how many changes the sink has lost: that was mended.")  # fmt: skip
@click.option("--remove", "action", flag_value="remove",
              help="Forget the sink, with its position and its parked changes.")  # fmt: skip
@click.option("--entry", metavar="DN | UUID",
              help="Release or drop only the parked changes of that entry.")  # fmt: skip
@click.option("--change", "seq", metavar="NUMBER", type=click.IntRange(1),
              help="Drop only that parked change.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text",
              show_default=True, help="Text, or one JSON object a line.")  # fmt: skip
@options.data(required=True, help=options.LOOK)
@options.verbose
def command(
    data_path: DataPath,
    name: Optional[str],
    action: Optional[str],
    entry: Optional[str],
    seq: Optional[int],
    form: str,
) -> int:
    """Show the sinks of a state: how far behind they are, and what they refused.

    With a NAME, that sink alone, and its parked changes: those that it refused, and the later
    ones of the same entries, which wait behind them. Released ones are sent again, in order. The
    state, and the relay, may be running.

    Exit code 1 means that changes are parked, or were lost.
    """
    if action is None:
        if entry is not None or seq is not None:
            raise click.UsageError("--entry and --change go with --release or --drop.")
        return _show(data_path, name, form)
    if name is None:
        raise click.UsageError(f"--{action} needs the NAME of a sink.")
    if (seq and action != "drop") or (entry and action not in ("release", "drop")):
        raise click.UsageError("--change goes with --drop, --entry with --release or --drop.")
    with open_changelog(data_path) as log:
        _sinks(log, name)
        if action in ("release", "drop"):
            done = _release_or_drop(log, name, action, entry, seq)
        else:
            done = _act(log, name, action)
    Report().text(done)
    return Exit.DONE


def _act(log: Log, name: str, action: str) -> str:
    """Do what concerns the whole sink; return what was done."""
    if action == "remove":
        log.sinks.remove(name)
        return f"Removed the sink {name}."
    if action == "snapshot":
        identifier = log.sinks.request_snapshot(name)
        return f"Requested the snapshot {identifier.hex()}: the relay sends all entries."
    if action == "cancel-snapshot":
        found = log.sinks.cancel_snapshot(name)
        return "Cancelled the snapshot." if found else "There was no snapshot to cancel."
    return f"Acknowledged that {counted(log.sinks.acknowledge(name), 'change')} were lost."


def _release_or_drop(
    log: Log, name: str, action: str, entry: Optional[str], seq: Optional[int]
) -> str:
    change = None if seq is None else b""  # not the entry of a snapshot
    uuids = {
        row.uuid
        for row in log.sinks.parked(name)
        if seq in (None, row.seq) and change in (None, row.snapshot)
    }
    if entry is not None:
        uuids &= _uuids(log, name, entry)
    if action == "release":
        number = sum(log.sinks.release(name, uuid=uuid) for uuid in uuids)
        return f"Released {counted(number, 'change')}: the relay sends them again."
    number = sum(log.sinks.drop(name, uuid=uuid, seq=seq, snapshot=change) for uuid in uuids)
    return f"Dropped {counted(number, 'change')}."


def _uuids(log: Log, name: str, entry: str) -> set[bytes]:
    """Return the UUIDs of the entries with parked changes that *entry* stands for."""
    wanted = past.name(entry)
    if isinstance(wanted, UUID):
        return {wanted.bytes}
    return {
        row.uuid
        for row in log.sinks.parked(name)
        if any(dn.is_same(wanted, each) for each in _names(log, row))
    }


def _names(log: Log, parked: Parked) -> list[str]:
    """Return the DNs, new and old, in a parked change; none if it is lost."""
    if parked.snapshot:
        entry = log.entry(UUID(bytes=parked.uuid), parked.seq)
        return [] if entry is None else [entry.dn]
    event = log.event(parked.seq)
    change = None if event is None else event.change
    names = () if change is None else (change.new_dn, change.old_dn)
    return [name for name in names if name is not None]


def _sinks(log: Log, name: Optional[str]) -> list[SinkState]:
    sinks = [sink for sink in log.sinks if name in (None, sink.name)]
    if name is not None and not sinks:
        raise click.BadParameter(f"the state has no sink {name!r}.")
    return sinks


# --- showing


def _show(data_path: DataPath, name: Optional[str], form: str) -> int:
    with read_store(data_path) as reader:
        log = reader.changelog
        sinks = _sinks(log, name)
        parked = log.sinks.parked(name) if name is not None else []
        if form == "json":
            _write_json(log, sinks, parked)
        else:
            _write_text(log, sinks, parked)
    return Exit.DONE if all(map(described.is_well, sinks)) else Exit.FOUND


def _write_json(log: Log, sinks: Iterable[SinkState], parked: Iterable[Parked]) -> None:
    for sink in sinks:
        report.write_json({"kind": "sink", **described.members(sink)})
    for row in parked:
        members = {
            **row._asdict(),
            "uuid": str(UUID(bytes=row.uuid)),
            "time": described.utc(row.time),
            "snapshot": row.snapshot.hex() or None,
        }
        names = _names(log, row)
        report.write_json({"kind": "parked", "dn": names[0] if names else None, **members})


def _write_text(log: Log, sinks: Iterable[SinkState], parked: Iterable[Parked]) -> None:
    sinks = list(sinks)
    if not sinks:
        Report().text("No sink: start one with the command relay.")
        return
    table = Report(2 + max(len(sink.name) for sink in sinks))
    for sink in sinks:
        table.row(sink.name, described.words(sink), style=described.style(sink))
    rows = Report(*_WIDTHS)
    for row in parked:
        when = datetime.fromtimestamp(row.time)
        also = ("released; " if row.released else "") + ("snapshot; " if row.snapshot else "")
        rows.row(f"{row.seq:>8}", f"{when:%Y-%m-%d %H:%M:%S}", f"{also}{row.reason}")
        rows.row("", "", (_names(log, row) or [str(UUID(bytes=row.uuid))])[0], wrap=False)
