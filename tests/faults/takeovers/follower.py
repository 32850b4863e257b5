# SPDX-License-Identifier: BSD-3-Clause
"""A follower that shares its store with others, and writes what it is told into tables there.

    python -m tests.faults.takeovers.follower URL DATABASE LEASE

On standard output it says what happens, after the time by ``time.monotonic()``.  SIGUSR1 makes it
stop itself in the next callback, SIGUSR2 kill itself there: in an open transaction.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping

import ldap

from syncrepl_client import Backoff, Change, Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.exceptions import CallbackOverdue, StoreError

TABLES = """
CREATE TABLE calls (
    id bigserial PRIMARY KEY, uuid uuid, old text, new text, timeline integer, term integer
);
CREATE TABLE mirror (uuid uuid PRIMARY KEY, entry text)
"""
STRIKES: Mapping[int, signal.Signals] = {
    signal.SIGUSR1: signal.SIGSTOP,
    signal.SIGUSR2: signal.SIGKILL,
}
PAUSE_SECONDS = 0.2


def entry(dn: str | None, attrs: Attributes | None) -> str | None:
    """An entry as text: its DN and attributes."""
    if dn is None or attrs is None:
        return None
    values = {
        name.lower(): sorted(each.decode("latin-1") for each in attrs[name]) for name in attrs
    }
    return json.dumps([dn, values], sort_keys=True)


def say(word: str) -> None:
    os.write(sys.stdout.fileno(), f"{time.monotonic():.4f} {word}\n".encode())


class Follower(BaseCallback):
    """Writes a row for each call, and keeps a mirror."""

    def __init__(self) -> None:
        self.client: Syncrepl | None = None
        self.strike: signal.Signals | None = None
        self.stopping = False
        for number in STRIKES:
            signal.signal(number, self._arm)
        signal.signal(signal.SIGTERM, self._stop)

    def _arm(self, number: int, frame: object) -> None:
        self.strike = STRIKES[number]

    def _stop(self, number: int, frame: object) -> None:
        self.stopping = True
        if self.client is not None:
            self.client.please_stop()

    def activated(self) -> None:
        say("activated")

    def deactivated(self) -> None:
        say("deactivated")

    def dispatch(self, change: Change) -> None:
        assert self.client is not None
        holder, execute = self.client.store.holder, self.client.store.connection.execute
        assert holder is not None
        old, new = entry(change.old_dn, change.old_attrs), entry(change.new_dn, change.new_attrs)
        execute(
            "INSERT INTO calls (uuid, old, new, timeline, term) VALUES (%s, %s, %s, %s, %s)",
            (change.uuid, old, new, holder.timeline, holder.term),
        )
        if new is None:
            execute("DELETE FROM mirror WHERE uuid = %s", (change.uuid,))
        else:
            execute(
                "INSERT INTO mirror (uuid, entry) VALUES (%s, %s) "
                "ON CONFLICT (uuid) DO UPDATE SET entry = excluded.entry",
                (change.uuid, new),
            )
        strike, self.strike = self.strike, None
        if strike is not None:
            say("strikes")
            os.kill(os.getpid(), strike)

    def follow(self, url: str, database: str, lease: float) -> None:
        """Follow until a stop is asked for."""
        with Syncrepl(
            database, self, SyncreplMode.REFRESH_AND_PERSIST, url, standby=True, lease=lease,
            reconnect=Backoff(0.2, 2, 1), max_deletes=None, lag_patience=1.0,
        ) as self.client:  # fmt: skip
            say("begun")
            if self.stopping:
                self.client.please_stop()
            while self._poll(self.client):
                pass

    def _poll(self, client: Syncrepl) -> bool:
        try:
            return client.poll(1)
        except CallbackOverdue:
            say("overdue")
            return True


def main(url: str, database: str, lease: str) -> None:
    follower = Follower()
    while not follower.stopping:
        try:
            follower.follow(url, database, float(lease))
        except (StoreError, ldap.LDAPError) as error:
            if follower.client is not None:  # it rides over what happens from then on
                raise
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            say("waits")  # it may have been told that it is active, and nothing since
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
