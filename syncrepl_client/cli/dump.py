# SPDX-License-Identifier: BSD-3-Clause
"""``syncrepl-client dump``: writes the entries of a store, without a server."""

import click

from ..differences import OPERATIONAL
from ..formats import content
from ..store import read_store
from . import options, report
from .exits import Exit


@click.command
@click.option("--format", "form", type=click.Choice(["ldif", "json"]), default="ldif",
              show_default=True, help="LDIF, or one JSON object a line.")  # fmt: skip
@click.option("--operational", is_flag=True,
              help="Write also the attributes that servers keep by themselves.")  # fmt: skip
@options.data(required=True, help=options.LOOK)
@options.verbose
def command(data_path: str, form: str, operational: bool) -> int:
    """Write the entries of a state to stdout, parents before children.

    No server is asked. The state may be in use: what was committed last, when this began, is
    written. ldapadd takes the LDIF, if the state has all attributes and all parents.
    """
    leave_out = () if operational else OPERATIONAL
    with read_store(data_path) as reader:
        if form == "ldif":
            report.write("version: 1\n\n")
        convert = content.to_ldif if form == "ldif" else content.to_json
        for record in reader.live():
            report.write(convert(record, leave_out))
    return Exit.DONE
