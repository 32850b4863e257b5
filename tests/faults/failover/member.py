# SPDX-License-Identifier: BSD-3-Clause
"""One of several programs that share a store; the rows that it writes tell what it was told.

    python -m tests.faults.failover.member URL DATABASE LEASE

Each change becomes a row in ``told`` and is applied to ``mirror``, in the transaction of the store.
A change of an entry whose description begins with ``sleep`` takes as many seconds as follow.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from syncrepl_client import Backoff, Change, Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.store import PostgreSQL

TABLES = """
CREATE TABLE told (id bigserial PRIMARY KEY, uuid uuid, old text, new text, pid integer);
CREATE TABLE mirror (uuid uuid PRIMARY KEY, entry text)
"""
SLEEP = b"sleep "


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
            if value.startswith(SLEEP):
                self.say("sleeps")
                time.sleep(float(value[len(SLEEP) :]))


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
        stage = ""
        while client.poll(0.5):
            if client._stage != stage:
                stage = client._stage
                member.say("stage", stage)


if __name__ == "__main__":
    main(*sys.argv[1:])
