# SPDX-License-Identifier: BSD-3-Clause
"""``syncrepl-client undo``: writes LDIF that undoes what was changed, without a server."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Optional

import click

from ... import url
from ...changelog.undo import Undo
from ...changes import ChangeKind
from ...entries import dn
from ...entries.printable import printable
from ...formats import undo as ldif
from ...store import DataPath, StoreReader, read_store
from .. import options, parameters
from ..exits import Exit
from ..output import report, terminal

_KINDS = ["add", "modify", "rename", "delete"]
_MOST = 20
"""The maximum number of warnings; the LDIF has all."""


@click.command
@click.argument("names", nargs=-1, metavar="[DN]...")
@click.option("--since", metavar="TIME", required=True,
              callback=parameters.read_by(parameters.moment),
              help="Undo what was changed from then on: 2h, 3d, yesterday, 14:30, "
              "'2026-11-28 14:30' ...")  # fmt: skip
@click.option("--until", metavar="TIME", callback=parameters.read_by(parameters.moment),
              help="... up to then  [default: now]")  # fmt: skip
@click.option("--kind", "kinds", multiple=True, type=click.Choice(_KINDS),
              help="Only changes of that kind; may be repeated.")  # fmt: skip
@click.option("--force", is_flag=True,
              help="Undo also what was changed again since; that change is lost.")  # fmt: skip
@options.data(required=True, help=options.LOOK)
@options.verbose
def command(
    data_path: DataPath,
    names: Sequence[str],
    since: datetime,
    until: Optional[datetime],
    kinds: Sequence[str],
    force: bool,
) -> int:
    """Write LDIF that undoes what was changed: read it, and give it to ldapmodify.

    With DNs, only what was changed there and below. The state needs a log of changes; no
    server is asked, and nothing is changed. Deleted entries are added again, parents first,
    with a new entryUUID, and without what the log leaves out, passwords for one. Added ones are
    deleted. Renamed ones get their names back, and modified ones their values. What was changed
    again since is not touched, but listed.

    Exit code 1 means that something is not undone.
    """
    for name in names:
        _check_name(name)
    with read_store(data_path) as reader:
        found = reader.changelog.undo(
            since,
            until,
            below=names,
            kinds=[ChangeKind(kind) for kind in kinds],
            force=force,
        )
        remarks = list(_remarks(reader, since, until))
    first, *records = ldif.to_ldif(found)
    report.write(first + "".join(map(ldif.comment, remarks)) + "\n")
    for record in records:
        report.write(record)
    _warn(found)
    return Exit.FOUND if found.kept else Exit.DONE


def _check_name(name: str) -> None:
    try:
        if dn.key(name):
            return
    except ValueError:
        pass
    raise click.BadParameter(f"{name!r} is not a DN.")


def _remarks(reader: StoreReader, since: datetime, until: Optional[datetime]) -> Iterator[str]:
    end = "now" if until is None else until.isoformat(" ", "seconds")
    yield f"Undoes what was changed from {since.isoformat(' ', 'seconds')} to {end}."
    yield "Entries that are added again have another entryUUID than before."
    search = url.parse(reader.origin.url) if reader.origin.url else None
    if search is not None and search.attributes and "*" not in search.attributes:
        names = ", ".join(search.attributes)
        yield f"They have only the attributes that the state has: {names}."
    if search is not None and not search.matches_all:
        yield "An entry that was deleted from the state may only have left its filter."


def _warn(found: Undo) -> None:
    for kept in found.kept[:_MOST]:
        terminal.say("warning", printable(f"not undone: {kept.dn}: {kept.reason}"))
    more = len(found.kept) - _MOST
    if more > 0:
        terminal.say("warning", f"not undone: {report.counted(more, 'more', 'more')}")
