# SPDX-License-Identifier: BSD-3-Clause
"""``syncrepl-client history``: writes what the log of changes of a store has, without a server."""

import sys
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, Optional

import click

from ...changelog import Event
from ...entries.differences import OPERATIONAL
from ...formats import events
from ...formats.arrangement import SubtreeRenames
from ...store import DataPath, read_store
from .. import options, parameters, past
from ..exits import Exit
from ..output import report, terminal
from ..output.human import HumanCallback, console


@click.command
@click.argument("of", required=False, metavar="[DN | UUID | FILTER]")
@click.option("--since", metavar="TIME", callback=parameters.read_by(parameters.moment),
              help="Only what happened from then on: 2h, 3d, yesterday, 14:30, "
              "'2026-11-28 14:30'.")  # fmt: skip
@click.option("--until", metavar="TIME", callback=parameters.read_by(parameters.moment),
              help="Only what happened up to then.")  # fmt: skip
@click.option("--newest-first/--oldest-first", "newest", default=None,
              help="The order  [default: newest first on a terminal; LDIF never]")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["text", "json", "ldif"]), default="text",
              show_default=True, help="How to write it.")  # fmt: skip
@click.option("--brief", is_flag=True, help="Text: one line a change, without attributes.")
@click.option("--operational", is_flag=True,
              help="Show also the attributes that servers keep by themselves.")  # fmt: skip
@options.data(required=True, help=options.LOOK)
@options.verbose
def command(
    data_path: DataPath,
    of: Optional[str],
    since: Optional[datetime],
    until: Optional[datetime],
    newest: Optional[bool],
    form: str,
    brief: bool,
    operational: bool,
) -> int:
    """Write what happened, from the log of changes that a state has.

    Without an argument, all of it; with a DN or an entryUUID, what happened to that entry,
    through all its names; with a filter, what happened to entries that matched it before or
    after. No server is asked, and the state may be in use.

    To have a log: watch --log, or a program with changelog=.
    """
    if newest is None:
        newest = form != "ldif" and terminal.is_terminal(sys.stdout)
    elif newest and form == "ldif":
        raise click.UsageError("LDIF is for ldapmodify: it has the oldest change first.")
    leave_out = () if operational else OPERATIONAL
    with read_store(data_path) as reader:
        log = reader.changelog
        wanted: dict[str, Any] = {"since": since, "until": until, "newest_first": newest}
        if of is not None and past.is_name(of, reader):
            found = log.history(past.name(of), **wanted)
        else:
            found = log.history(**wanted)
            if of is not None:
                found = past.matching(found, of)
        if form == "json":
            for event in found:
                report.write_json(events.to_json(event, leave_out=leave_out))
        elif form == "ldif":
            _write_ldif(found, leave_out)
        else:
            _write_text(found, leave_out, brief=brief)
    return Exit.DONE


def _write_ldif(found: Iterable[Event], leave_out: Collection[str]) -> None:
    """Write change records, without those of entries that follow a renamed one."""
    report.write("version: 1\n\n")
    renames = SubtreeRenames()
    for event in found:
        if event.change is not None:
            for change in renames.receive(event.change):
                report.write(events.to_ldif(event._replace(change=change), leave_out=leave_out))


def _write_text(found: Iterable[Event], leave_out: Collection[str], *, brief: bool) -> None:
    human = HumanCallback(
        report.STDOUT, console("auto"), leave_out=leave_out, brief=brief, dated=True
    )
    for event in found:
        if event.change is None:
            begins = datetime.fromtimestamp(event.time)
            report.write(f"{begins:%Y-%m-%d %H:%M:%S} the log of changes begins\n")
        else:
            human.show(event.change, events.differences(event, leave_out))
