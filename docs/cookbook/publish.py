# SPDX-License-Identifier: BSD-3-Clause
"""Publish each change on a message bus, at least once."""

import hashlib
import json
import logging
import signal
import socket
import sqlite3
from typing import Any

from syncrepl_client import Change, RetryCallback, Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.formats import to_json

BUS = "state/bus"
DATA_PATH = "state/publish-"
URL = "ldap://localhost/dc=example,dc=com?uid,cn,mail?sub?(objectClass=inetOrgPerson)"


class Bus:
    """A stand-in: lines of JSON to a Unix socket, which answers with how many it has kept.

    Put the client of your bus here, and let ``send`` return when the bus has confirmed all
    messages: publisher confirms of RabbitMQ, ``flush()`` of Kafka, the replies of Redis.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def send(self, messages: list[str]) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(self.path)
            connection.sendall("".join(f"{each}\n" for each in messages).encode())
            connection.shutdown(socket.SHUT_WR)
            with connection.makefile() as answer:
                receipt = answer.read().strip()
        if receipt != str(len(messages)):
            raise ConnectionError(f"the bus has kept {receipt!r} of {len(messages)} messages")


class Publisher(BaseCallback):
    """Queues in a temporary table of the store's connection: a rollback empties it again."""

    db: sqlite3.Connection

    def __init__(self, bus: Bus) -> None:
        self.bus = bus

    def open(self, connection: sqlite3.Connection) -> None:
        self.db = connection
        self.db.execute("CREATE TEMPORARY TABLE queue (message TEXT NOT NULL)")

    def dispatch(self, change: Change) -> None:
        self.db.execute("INSERT INTO queue VALUES (?)", (json.dumps(message_of(change)),))

    def before_commit(self) -> None:
        rows = self.db.execute("SELECT message FROM queue ORDER BY rowid").fetchall()
        if rows:
            self.bus.send([message for (message,) in rows])  # what it raises refuses the commit
            self.db.execute("DELETE FROM queue")


def message_of(change: Change) -> dict[str, Any]:
    """Return the change, with an ``id`` that is the same if it is reported again."""
    message = to_json(change)
    for name in ("phase", "time"):  # reported again, a change may have other ones
        message.pop(name, None)
    state = json.dumps(message, sort_keys=True).encode()
    return {"id": f"{change.uuid}:{hashlib.sha256(state).hexdigest()[:16]}", **message}


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    publisher = Publisher(Bus(BUS))
    with Syncrepl(
        data_path=DATA_PATH,
        callback=publisher,
        mode=SyncreplMode.REFRESH_AND_PERSIST,
        ldap_url=URL,
        on_callback_error=RetryCallback(retries=1000),  # the bus may be away for hours
    ) as client:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: client.please_stop())
        publisher.open(client.store.connection)
        client.run()


if __name__ == "__main__":
    main()
