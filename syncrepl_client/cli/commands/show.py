# SPDX-License-Identifier: BSD-3-Clause
"""``syncrepl-client show``: writes an entry of a store as it is, or was, without a server."""

from datetime import datetime
from typing import Optional

import click

from ...entries.differences import OPERATIONAL
from ...entries.printable import printable
from ...formats import content
from ...store import DataPath, read_store
from .. import options, parameters, past
from ..exits import Exit
from ..output import report, terminal
from ..past import Name


@click.command
@click.argument("of", metavar="DN|UUID", callback=parameters.read_by(past.name))
@click.option("--at", "time", metavar="TIME", callback=parameters.read_by(parameters.moment),
              help="As it was then: 2h, 3d, yesterday, 14:30, '2026-11-28 14:30'.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["ldif", "json"]), default="ldif",
              show_default=True, help="How to write it.")  # fmt: skip
@click.option("--operational", is_flag=True,
              help="Write also the attributes that servers keep by themselves.")  # fmt: skip
@options.data(required=True, help=options.LOOK)
@options.verbose
def command(
    data_path: DataPath, of: Name, time: Optional[datetime], form: str, operational: bool
) -> int:
    """Write an entry of a state as it is, or as it was at some time.

    The DN is the one that the entry has, or had then. --at needs a log of changes: attributes
    that it leaves out, passwords for one, are missing then. No server is asked, and the state
    may be in use.

    Exit code 1 means that there is, or was, no such entry.
    """
    leave_out = () if operational else OPERATIONAL
    with read_store(data_path) as reader:
        entry = past.entry_at(reader, of, time)
    if entry is None:
        terminal.say("error", printable(f"there {'is' if time is None else 'was'} no entry {of}"))
        return Exit.FOUND
    convert = content.to_ldif if form == "ldif" else content.to_json
    report.write(convert(past.record(entry), leave_out))
    return Exit.DONE
