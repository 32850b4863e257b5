# SPDX-License-Identifier: BSD-3-Clause
"""``syncrepl-client reconcile``: removes the cookie, so that the next start searches without one.

A search by this command would report the differences to this command, and commit them: the program
would never get them.  So the cookie is removed, and the program finds them.
"""

from contextlib import closing

import click

from ...exceptions import StoreLocked
from ...store import DataPath, describe, open_store, read_store
from .. import options
from ..exits import Exit
from ..output.report import Report, counted


@click.command
@options.data(required=True, help=options.LOOK)
@options.verbose
def command(data_path: DataPath) -> int:
    """Make the program that owns a state compare everything at its next start.

    The cookie is removed from the state. So in the program's next search the server sends
    every entry, and the program gets what differs from the state. No server is contacted
    now, and nothing is reported now. The state must not be in use: a running program calls
    client.reconcile() instead.
    """
    with read_store(data_path):
        pass  # it is there, and it is a store
    try:
        store = open_store("sqlite", data_path)
    except StoreLocked as error:
        raise StoreLocked(
            f"the state {describe(data_path)!r} is in use: have the program that uses it call "
            "client.reconcile(), or stop it first"
        ) from error
    with closing(store):
        had_cookie = store.origin.cookie is not None
        if had_cookie:
            store.begin()
            store.commit(store.origin._replace(cookie=None))
        entries = len(store)
    report = Report()
    if had_cookie:
        had = counted(entries, "entry", "entries")
        report.text(
            f"Done: the next start compares {had} with the directory, and reports what differs."
        )
    else:
        report.text("Nothing to do: the next start searches without a cookie anyway.")
    return Exit.DONE
