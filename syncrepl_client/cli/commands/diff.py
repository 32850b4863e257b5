# SPDX-License-Identifier: BSD-3-Clause
"""``syncrepl-client diff``: writes what differs between two past states of an entry."""

from datetime import datetime, timezone
from typing import Optional

import click

from ...changelog import Entry
from ...changes import Change, ChangeKind, Phase
from ...entries import attributes
from ...entries.differences import OPERATIONAL
from ...entries.printable import printable
from ...formats import jsonlines, ldifrecord
from ...store import DataPath, read_store
from .. import options, parameters, past
from ..exits import Exit
from ..output import report, terminal
from ..output.human import HumanCallback, console
from ..past import Name


@click.command
@click.argument("of", metavar="DN|UUID", callback=parameters.read_by(past.name))
@click.option("--from", "since", metavar="TIME", required=True,
              callback=parameters.read_by(parameters.moment),
              help="From how it was then: 2h, 3d, yesterday, 14:30, "
              "'2026-11-28 14:30' ...")  # fmt: skip
@click.option("--to", "until", metavar="TIME", callback=parameters.read_by(parameters.moment),
              help="... to how it was then  [default: now]")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["text", "json", "ldif"]), default="text",
              show_default=True, help="How to write it.")  # fmt: skip
@click.option("--operational", is_flag=True,
              help="Show also the attributes that servers keep by themselves.")  # fmt: skip
@options.data(required=True, help=options.LOOK)
@options.verbose
def command(
    data_path: DataPath,
    of: Name,
    since: datetime,
    until: Optional[datetime],
    form: str,
    operational: bool,
) -> int:
    """Write what differs between two states of an entry.

    A DN is the one that the entry had at the first time, or else at the second. The state needs
    a log of changes. Attributes that it leaves out, passwords for one, are not compared. No
    server is asked, and the state may be in use.

    Exit code: 0 if nothing differs, 1 if something does.
    """
    leave_out = () if operational else OPERATIONAL
    with read_store(data_path) as reader:
        until = until or datetime.now().astimezone()  # without what the log leaves out
        old = past.entry_at(reader, of, since)
        new = past.entry_at(reader, of if old is None else old.uuid, until)
        if old is None and new is not None:
            old = past.entry_at(reader, new.uuid, since)
    change = _change(old, new)
    if change is None:
        if old is None:
            terminal.say("error", printable(f"there was no entry {of} at either time"))
        return Exit.DONE if old is not None else Exit.FOUND
    if form == "json":
        report.write_json(jsonlines.to_json(change, leave_out=leave_out))
    elif form == "ldif":
        report.write(f"version: 1\n\n{ldifrecord.to_ldif(change, leave_out=leave_out)}")
    else:
        HumanCallback(report.STDOUT, console("auto"), leave_out=leave_out, dated=True).show(change)
    return Exit.FOUND


def _change(old: Optional[Entry], new: Optional[Entry]) -> Optional[Change]:
    """Return the change from *old* to *new*; None if they are the same."""
    uuid = new.uuid if new is not None else old.uuid if old is not None else None
    if uuid is None:
        return None
    if old is None or new is None:
        kind = ChangeKind.ADD if old is None else ChangeKind.DELETE
    elif old.dn != new.dn:
        kind = ChangeKind.RENAME
    elif not attributes.same(old.attrs, new.attrs):
        kind = ChangeKind.MODIFY
    else:
        return None
    return Change(
        kind,
        uuid,
        Phase.PERSIST,
        None if old is None else old.dn,
        None if new is None else new.dn,
        None if old is None else old.attrs,
        None if new is None else new.attrs,
        datetime.now(timezone.utc),
    )
