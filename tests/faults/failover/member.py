# SPDX-License-Identifier: BSD-3-Clause
"""One of several programs that share a store; the rows that it writes tell what it was told.

    python -m tests.faults.failover.member URL DATABASE LEASE

Each change becomes a row in ``told`` and is applied to ``mirror``, in the transaction of the store.
A change of an entry with a description like ``sleep 2`` takes as many seconds, and one with
``copy 2`` spends them in the middle of a statement.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import ExitStack
from typing import Any

from syncrepl_client import Backoff, Change, Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.store import PostgreSQL

TABLES = """
CREATE TABLE told (id bigserial PRIMARY KEY, uuid uuid, old text, new text, pid integer);
CREATE TABLE mirror (uuid uuid PRIMARY KEY, entry text)
"""
SLEEP, COPY = "sleep", "copy"


def state(dn: str | None, attrs: Attributes | None) -> str | None:
    """An entry as text: its DN, and what users can change of it."""
    if dn is None or attrs is None:
        return None
    values = {name: sorted(each.decode("latin-1") for each in attrs[name]) for name in attrs}
    return json.dumps([dn, values], sort_keys=True)


class Member(BaseCallback):
    """Writes rows, and says what happens to it on standard output."""

    client: Any = None

    def say(self, *words: object) -> None:
        sys.stdout.write(" ".join(map(str, words)) + "\n")
        sys.stdout.flush()

    def activated(self) -> None:
        self.say("activated", self.client.stats.term)

    def deactivated(self) -> None:
        self.say("deactivated")

    def disconnected(self, error: Exception) -> None:
        self.say("disconnected", type(error).__name__)

    def refresh_done(self, items: Any) -> None:
        self.say("refreshed", len(items))

    def dispatch(self, change: Change) -> None:
        execute = self.client.store.connection.execute
        old, new = state(change.old_dn, change.old_attrs), state(change.new_dn, change.new_attrs)
        execute(
            "INSERT INTO told (uuid, old, new, pid) VALUES (%s, %s, %s, %s)",
            (change.uuid, old, new, os.getpid()),
        )
        execute("DELETE FROM mirror WHERE uuid = %s", (change.uuid,))
        if new is not None:
            execute("INSERT INTO mirror (uuid, entry) VALUES (%s, %s)", (change.uuid, new))
        for value in (change.new_attrs or {}).get("description", ()):
            what, _, seconds = value.decode().partition(" ")
            if what in (SLEEP, COPY):
                self._spend(what, seconds)

    def _spend(self, what: str, seconds: str) -> None:
        cursor = self.client.store.connection.cursor()
        cursor.execute("CREATE TEMP TABLE spent (row text) ON COMMIT DROP")
        with ExitStack() as stack:
            if what == COPY:
                copy = stack.enter_context(cursor.copy("COPY spent FROM STDIN"))
                copy.write_row(("first",))
            self.say("begins", what, seconds)
            time.sleep(float(seconds))


class Client(Syncrepl):
    """Its callback knows it before it is made: that may be active at once."""

    def _start(self) -> None:
        self.callback.client = self
        super()._start()


def main(url: str, database: str, lease: str) -> None:
    member = Member()
    with Client(
        PostgreSQL(database, schema="s"),
        member,
        SyncreplMode.REFRESH_AND_PERSIST,
        url,
        lease=float(lease) or None,
        reconnect=Backoff(0.2, 2, 1),
    ) as client:
        signal.signal(signal.SIGTERM, lambda *_: client.please_stop())
        stage = ""
        while client.poll(0.5):
            if client._stage != stage:  # the statistics would count the entries
                stage = client._stage
                member.say("stage", stage)


if __name__ == "__main__":
    main(*sys.argv[1:])
