# SPDX-License-Identifier: BSD-3-Clause
"""``syncrepl-client dump``: writes the entries of a store, without a server."""

from datetime import datetime
from typing import Optional

import click

from ...entries.differences import OPERATIONAL
from ...formats import content
from ...store import DataPath, read_store
from .. import options, parameters, past
from ..exits import Exit
from ..output import report


@click.command
@click.option("--format", "form", type=click.Choice(["ldif", "json"]), default="ldif",
              show_default=True, help="LDIF, or one JSON object a line.")  # fmt: skip
@click.option("--operational", is_flag=True,
              help="Write also the attributes that servers keep by themselves.")  # fmt: skip
@click.option("--at", "time", metavar="TIME", callback=parameters.read_by(parameters.moment),
              help="As it was then, by the log of changes: 2h, 3d, yesterday, 14:30, "
              "'2026-11-28 14:30'.")  # fmt: skip
@options.data(required=True, help=options.LOOK)
@options.verbose
def command(data_path: DataPath, form: str, operational: bool, time: Optional[datetime]) -> int:
    """Write the entries of a state to stdout, parents before children.

    No server is asked. The state may be in use: what was committed last, when this began, is
    written. ldapadd takes the LDIF, if the state has all attributes and all parents.
    """
    leave_out = () if operational else OPERATIONAL
    with read_store(data_path) as reader:
        records = reader.live()
        if time is not None:
            records = map(past.record, reader.changelog.entries_at(time))
        if form == "ldif":
            report.write("version: 1\n\n")
        convert = content.to_ldif if form == "ldif" else content.to_json
        for record in records:
            report.write(convert(record, leave_out))
    return Exit.DONE
