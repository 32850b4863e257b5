# SPDX-License-Identifier: BSD-3-Clause
"""A program that writes a row for each change, in the transaction of its PostgreSQL store.

    python -m tests.faults.rows URL DATABASE SCHEMA [DEATH]

It kills itself when DEATH changes were reported, and says ``refreshed`` after the refresh.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from syncrepl_client import Change, Changelog, Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.store import PostgreSQL, PostgreSQLStore


class Rows(BaseCallback):
    """Writes them, and may die on the way."""

    connection: Any = None

    def __init__(self, death: int) -> None:
        self.left = death

    def dispatch(self, change: Change) -> None:
        self.connection.execute(
            "INSERT INTO told (uuid, kind, phase) VALUES (%s, %s, %s)",
            (change.uuid, change.kind.value, change.phase.value),
        )
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def refresh_done(self, items: Any) -> None:
        sys.stdout.write(f"refreshed {len(items)}\n")
        sys.stdout.flush()


def main(url: str, database: str, schema: str, death: str = "0") -> None:
    store = PostgreSQLStore(PostgreSQL(database, schema=schema))
    callback = Rows(int(death))
    with Syncrepl(
        "", callback, SyncreplMode.REFRESH_AND_PERSIST, url, store=store, changelog=Changelog()
    ) as client:
        store.create()
        callback.connection = store.connection
        client.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
