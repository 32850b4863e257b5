# SPDX-License-Identifier: BSD-3-Clause
"""Hand over to a new version of this program: python handover.py blue, or: green.

Of one colour, the new process waits until the old one has ended, and goes on where that stopped.
Of the other, it fills a store of its own meanwhile, and then takes over what readers open.
"""

import contextlib
import logging
import os
import signal
import sqlite3
import sys
import threading

from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.callbacks import Attributes, BaseCallback
from syncrepl_client.exceptions import StoreLocked

URL = "ldap://localhost/dc=example,dc=com?uid,mail?sub?(objectClass=inetOrgPerson)"
CURRENT = "state/current"  # a symbolic link to the store that readers open
PATIENCE_SECONDS = 60.0

logger = logging.getLogger("handover")


class Mails(BaseCallback):
    """A table of mail addresses, in the store's own file."""

    db: sqlite3.Connection

    def open(self, connection: sqlite3.Connection) -> None:
        self.db = connection
        self.db.execute("CREATE TABLE IF NOT EXISTS mail (dn TEXT PRIMARY KEY, address TEXT)")

    def record_add(self, dn: str, attrs: Attributes) -> None:
        self.db.execute("INSERT INTO mail VALUES (?, ?)", (dn, address(attrs)))

    def record_change(self, dn: str, old_attrs: Attributes, new_attrs: Attributes) -> None:
        self.db.execute("UPDATE mail SET address = ? WHERE dn = ?", (address(new_attrs), dn))

    def record_rename(self, old_dn: str, new_dn: str) -> None:
        self.db.execute("UPDATE mail SET dn = ? WHERE dn = ?", (new_dn, old_dn))

    def record_delete(self, dn: str) -> None:
        self.db.execute("DELETE FROM mail WHERE dn = ?", (dn,))


def address(attrs: Attributes) -> str:
    return attrs.get("mail", [b""])[0].decode()


def connect(colour: str, mails: Mails, stop: threading.Event) -> Syncrepl:
    """Return a client, as soon as nobody else has its store."""
    waited = 0.0
    while True:
        try:
            return Syncrepl(f"state/{colour}-", mails, SyncreplMode.REFRESH_AND_PERSIST, URL)
        except StoreLocked:
            if waited >= PATIENCE_SECONDS:
                raise
            if stop.wait(0.1):
                sys.exit()
            if not waited:
                logger.info("waiting for the old process to end")
            waited += 0.1


def take_over(path: str) -> None:
    """Let the link show *path*, from one instant to the next."""
    with contextlib.suppress(FileNotFoundError):  # a process that was killed here has left it
        os.unlink(f"{CURRENT}.new")
    os.symlink(os.path.basename(path), f"{CURRENT}.new")
    os.replace(f"{CURRENT}.new", CURRENT)


def main(colour: str) -> None:
    logging.basicConfig(level=logging.INFO)
    stop = threading.Event()
    mails = Mails()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with connect(colour, mails, stop) as client:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: client.please_stop())
        if stop.is_set():
            client.please_stop()
        mails.open(client.store.connection)
        while not client.refreshed and client.poll():
            pass
        if client.refreshed:
            take_over(f"state/{colour}-syncrepl.sqlite3")
            logger.info("%s has taken over", colour)
            client.run()


if __name__ == "__main__":
    main(sys.argv[1])
