# SPDX-License-Identifier: BSD-3-Clause
"""A web service that answers from memory, while a thread follows the directory."""

import contextlib
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Optional

from syncrepl_client import Change, Syncrepl, SyncreplMode, Text
from syncrepl_client.callbacks import Attributes, BaseCallback
from syncrepl_client.exceptions import ClosedError
from syncrepl_client.store import MemoryStore

PORT = int(os.environ.get("PORT", "8080"))
URL = "ldap://localhost/dc=example,dc=com?uid,cn,mail?sub?(objectClass=inetOrgPerson)"
AGAIN_SECONDS = 5.0
RECONCILE_SECONDS = 3600.0

Person = dict[str, Optional[str]]

logger = logging.getLogger("cache")


class People(BaseCallback):
    """The people by uid.  Any thread may read; only the thread that polls writes."""

    def __init__(self) -> None:
        self.by_uid: dict[str, Person] = {}
        self.filled = threading.Event()
        self.lost: Optional[float] = time.monotonic()

    def stale_seconds(self) -> float:
        """Return for how long the directory has not been followed."""
        lost = self.lost
        return 0.0 if lost is None else time.monotonic() - lost

    def dispatch(self, change: Change) -> None:
        old, new = people_in(change.old_attrs), people_in(change.new_attrs)
        self.by_uid.update(new)
        for uid in old.keys() - new.keys():
            self.by_uid.pop(uid, None)

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        """Build it anew: what a rollback has undone in the store it has not undone here."""
        people: dict[str, Person] = {}
        for attrs in items.values():
            people.update(people_in(attrs))
        self.by_uid, self.lost = people, None  # readers see the old one or the new one
        self.filled.set()
        logger.info("in step with the directory: %d people", len(people))

    def disconnected(self, error: Exception) -> None:
        if self.lost is None:
            self.lost = time.monotonic()


def people_in(attrs: Optional[Attributes]) -> dict[str, Person]:
    text = Text(attrs)
    person = {"name": text.first("cn"), "mail": text.first("mail")}
    return dict.fromkeys(text.get("uid", ()), person)


class Follower(threading.Thread):
    """Follows the directory until it is told to stop, also where that is away at the start."""

    def __init__(self, people: People) -> None:
        super().__init__(name="follower")
        self.people = people
        self.store = MemoryStore()  # outlives a client: the next one asks for what changed
        self.stopping = threading.Event()
        self.client: Optional[Syncrepl] = None

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                self.follow()
            except Exception as error:
                logger.exception("can't follow the directory; again in %.0f s", AGAIN_SECONDS)
                self.people.disconnected(error)
                self.stopping.wait(AGAIN_SECONDS)

    def follow(self) -> None:
        with Syncrepl(
            data_path="",
            callback=self.people,
            mode=SyncreplMode.REFRESH_AND_PERSIST,
            ldap_url=URL,
            store=self.store,
            reconcile_every=RECONCILE_SECONDS,
        ) as self.client:
            if not self.stopping.is_set():
                self.client.run()

    def stop(self) -> None:
        self.stopping.set()
        if self.client is not None:
            with contextlib.suppress(ClosedError):  # there is none just now
                self.client.please_stop()
        self.join()

    def reconcile(self) -> None:
        """Ask for everything again, and put right what the server has failed to tell."""
        if self.client is not None:
            with contextlib.suppress(ClosedError):
                self.client.reconcile()


class Service(ThreadingHTTPServer):
    """Answers GET /people/UID and GET /health, and POST /reconcile."""

    def __init__(self, people: People, follower: Follower) -> None:
        super().__init__(("127.0.0.1", PORT), Request)
        self.people, self.follower = people, follower


class Request(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        people = self.server.people
        if not people.filled.is_set():
            self.answer(503, {"error": "the directory has not been read yet"})
        elif self.path == "/health":
            stale = people.stale_seconds()
            self.answer(200 if stale < 60 else 503, {"people": len(people.by_uid), "stale": stale})
        else:
            person = people.by_uid.get(self.path.removeprefix("/people/"))
            self.answer(404 if person is None else 200, person)

    def do_POST(self) -> None:
        self.server.follower.reconcile()
        self.answer(202, None)

    def answer(self, status: int, value: object) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    people = People()
    follower = Follower(people)
    with Service(people, follower) as service:
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        follower.start()
        server = threading.Thread(target=service.serve_forever)
        server.start()
        stop.wait()
        service.shutdown()
        server.join()
        follower.stop()


if __name__ == "__main__":
    main()
