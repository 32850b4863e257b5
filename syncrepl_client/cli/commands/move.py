# SPDX-License-Identifier: BSD-3-Clause
"""``syncrepl-client move``: moves a state between SQLite and PostgreSQL."""

from typing import Optional

import click

from ...exceptions import ConfigurationError
from ...store.location import DataPath, in_schema
from ...store.moving import move
from .. import options
from ..exits import Exit
from ..output.progress import counting
from ..output.report import Report, counted


@click.command
@click.argument("source", metavar="FROM", type=click.Path())
@click.argument("target", metavar="TO", type=click.Path())
@click.option("--from-schema", metavar="NAME",
              help="Where FROM is the URL of a PostgreSQL database: the schema there.")  # fmt: skip
@click.option("--to-schema", metavar="NAME",
              help="Where TO is the URL of a PostgreSQL database: the schema there.")  # fmt: skip
@options.verbose
def command(source: str, target: str, from_schema: Optional[str], to_schema: Optional[str]) -> int:
    """Move a state to another place: between files and a PostgreSQL database.

    FROM and TO are what --data is elsewhere: a directory, what the names of files begin
    with, or the URL of a PostgreSQL database. The entries, the cookie, the log of changes
    and the positions of its sinks are copied, and compared. So the program that uses TO
    goes on where it was. Nothing else may use FROM meanwhile, and TO must be empty.

    FROM stays as it is: delete it when the program runs with TO.
    """
    old = _place(source, "--from-schema", from_schema)
    new = _place(target, "--to-schema", to_schema)
    with counting("move", "entries and changes") as tell:
        moved = move(old, new, tell)
    report = Report()
    what = counted(moved.entries, "entry", "entries")
    if moved.changes:
        what += f", {counted(moved.changes, 'change')} of the log"
    if moved.sinks:
        what += f", {counted(moved.sinks, 'sink')}"
    report.text(f"Done: {what}, and the cookie are in {moved.target}.")
    report.text(
        f"{moved.source} is as it was. Have its program, and its relays, use the new place, and "
        "then delete it: who goes on with both is told everything twice."
    )
    return Exit.DONE


def _place(path: str, option: str, schema: Optional[str]) -> DataPath:
    try:
        return in_schema(path, schema)
    except ConfigurationError as error:
        raise click.UsageError(f"{option}: {error}") from None
