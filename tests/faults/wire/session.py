# SPDX-License-Identifier: BSD-3-Clause
"""One session, cut short at every message: refresh, then changes as they happen."""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import ldap

from syncrepl_client import Syncrepl
from syncrepl_client.network import transport
from tests.faults.kills.follower import Options, Told, following
from tests.faults.kills.place import Place, Tally
from tests.faults.kills.writer import Writer, load, mark, next_mark
from tests.faults.wire.proxy import Proxy, Strike
from tests.patience import HANGS_SECONDS
from tests.servers import DS389, Server, Slapd
from tests.servers.people import people_ldif

REFRESH = ("add", "add", "modify", "modify", "rename", "move", "rename_team", "delete", "delete")
PERSIST = ("add", "modify", "rename", "rename_team", "move", "delete")
KINDS = ("initial", "delete phase", "present phase", "389-ds initial", "389-ds resume")
ACTIONS = ("reset", "hole", "stall")
STOP_SECONDS = 1.5
REACH_SECONDS = 20.0  # a session may be over before the message that a strike waits for
ANSWER_SECONDS = 1
LOST = (ldap.SERVER_DOWN, ldap.TIMEOUT, ldap.CONNECT_ERROR)


class Slow(AssertionError):
    """Something did not end in time."""


@contextmanager
def prepared_server(kind: str) -> Iterator[Server]:
    """The server for that kind of session."""
    if kind.startswith("389-ds"):
        with DS389() as ds389:
            load(ds389, 30)
            yield ds389
    elif kind == "present phase":
        with Slapd(ldif=people_ldif(600)) as nolog:
            yield nolog
    else:
        with Slapd(sessionlog=1000, ldif=people_ldif(30)) as log:
            yield log


class Session:
    """The same session again and again, on one server."""

    def __init__(
        self, kind: str, server: Server, directory: Path, seed: int, stop_seconds: float
    ) -> None:
        self.kind = kind
        self.initial = kind.endswith("initial")
        self.chance = random.Random(seed)
        self.place = Place(server, "sqlite", directory / kind.replace(" ", "-"))
        self._server = server
        self._stop_seconds = stop_seconds
        self._writer = Writer(server, "writer", self.chance)

    @contextmanager
    def ready(self) -> Iterator[None]:
        """The writer is connected, and has something to change."""
        self._writer.connect()
        try:
            for operation in ["add_team"] * 2 + ["add"] * 8:
                getattr(self._writer, operation)()
            self.place.settle(self.chance)
            yield
        finally:
            self._writer.close()

    def run(self, strike: Strike) -> Proxy:
        """Have one session through a proxy; whatever comes of it, the next one puts it right."""
        self._write(REFRESH)
        if self.initial:
            self.place.reset()
        value = next_mark()
        seed = self.chance.randrange(10**6)
        with Proxy(self._server.port, strike, seed) as proxy:
            options = self.place.options(value=value)
            url = options.url.replace(self._server.url, proxy.url)
            self._follow(dataclasses.replace(options, url=url), proxy, strike)
        self.place.settle(self.chance)
        return proxy

    def _write(self, operations: tuple[str, ...]) -> None:
        for operation in operations:
            getattr(self._writer, operation)()

    def _follow(self, options: Options, proxy: Proxy, strike: Strike) -> None:
        began = time.monotonic()
        try:
            if strike.action == "hole":
                with short_patience(), following(options, options=timeouts()) as (client, told):
                    self._until_stopped(client, told, options, proxy)
            else:
                with following(options) as (client, told):
                    self._until_over(client, told, options)
        except LOST:
            self.place.figures["connection lost"] += 1
            if strike.action not in ("reset", "hole"):
                raise
            if time.monotonic() - began > HANGS_SECONDS:
                raise Slow("the client was late to see that the connection is lost") from None

    def _until_over(self, client: Syncrepl, told: Told, options: Options) -> None:
        deadline = time.monotonic() + HANGS_SECONDS
        while client.poll(0.5):
            self._write_once(client, told, options)
            found = client.store.items().get(options.marker, {}).get("description")
            if found == [options.value.encode()]:
                return
            if time.monotonic() > deadline:
                raise Slow("the session does not come to its end")

    def _write_once(self, client: Syncrepl, told: Told, options: Options) -> None:
        if client.refreshed and not told.refreshed:
            told.refreshed = True
            self._write(PERSIST)
            mark(self._server, options.value)

    def _until_stopped(self, client: Syncrepl, told: Told, options: Options, proxy: Proxy) -> None:
        stopped: list[float] = []

        def stop() -> None:
            if proxy.struck.wait(REACH_SECONDS):
                time.sleep(0.05)
            stopped.append(time.monotonic())
            client.please_stop()

        thread = threading.Thread(target=stop)
        thread.start()
        try:
            while client.poll(0.5 if not told.refreshed else HANGS_SECONDS):
                self._write_once(client, told, options)
        finally:
            thread.join()
        took = time.monotonic() - stopped[0]
        self.place.figures["stopped in a hole"] += 1
        if took > self._stop_seconds:
            raise Slow(f"please_stop() took {took:.1f} s")


def timeouts() -> dict[int, Any]:
    """Options with which a constructor in a black hole gives up soon."""
    return {ldap.OPT_TIMEOUT: ANSWER_SECONDS, ldap.OPT_NETWORK_TIMEOUT: ANSWER_SECONDS}


def short_patience() -> Any:
    """The same for what the library waits for itself."""
    return mock.patch.object(transport, "ANSWER_SECONDS", ANSWER_SECONDS)


def strikes(messages: int, every: int) -> list[Strike]:
    """Each way to strike at each message, or at every so-manieth only."""
    found = []
    for number in range(0, messages, every):
        for inside in (False, True):
            found += [Strike(action, number, inside) for action in ACTIONS]
    return found


def strike_everywhere(
    kind: str,
    seed: int,
    every: int,
    directory: Path,
    tally: Tally,
    stop_seconds: float = STOP_SECONDS,
) -> None:
    """Record a session of that kind, then strike at its messages, then let it drip.

    A stop in a black hole may take so many seconds, on a machine that is not under load.
    """
    with prepared_server(kind) as server:
        session = Session(kind, server, directory, seed, stop_seconds)
        with session.ready():
            recorded = session.run(Strike())
            tally.add(f"{kind}: recorded", {"messages": len(recorded.messages)})
            plan = strikes(len(recorded.messages), every)
            for strike in [*plan, Strike("drip"), Strike("drip")]:
                strike_once(session, strike, tally)


def strike_once(session: Session, strike: Strike, tally: Tally) -> None:
    """Have one session with a strike, and count what came of it."""
    where = {True: "inside", False: "between"}[strike.inside]
    row = f"{session.kind}: {strike.action}" + (f" {where}" if strike.message >= 0 else "")
    session.place.figures.clear()
    try:
        proxy = session.run(strike)
        struck = proxy.struck.is_set() or strike.action == "drip"
        session.place.figures["not reached"] += not struck
    except Exception as error:  # noqa: BLE001 - whatever it is, this one failed
        tally.fail(row, f"{session.kind} {strike}", error)
        session.place.reset()
    finally:
        session.place.take_figures()
        tally.add(row, {"sessions": 1, **session.place.figures})
