# SPDX-License-Identifier: BSD-3-Clause
"""A program that follows a directory into two mirrors, and may kill itself on the way.

    python -m tests.faults.kills.follower '{"url": ..., "data_path": ...}'

It says ``begin`` before it connects and ``refreshed`` after each first refresh, a line each.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable
from uuid import UUID

import ldap

from syncrepl_client import Change, Changelog, Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.entries import attributes
from syncrepl_client.store import SQLiteStore, Store, open_store
from tests.faults.kills.mirrors import (
    Contents,
    Illegal,
    Inside,
    Outside,
    State,
    digest,
    inside_contents,
    line_of,
)

PAUSE_SECONDS = 0.05
PATIENCE_SECONDS = 1.0
"""So long a server is waited for that lags, or was put back in time."""


@dataclasses.dataclass(frozen=True)
class Death:
    """When to die: in the n-th callback, before the n-th commit, or around that one.

    Around it: by an alarm so many microseconds after the last callback.  Nobody handles
    SIGALRM here, so the kernel ends the process as it does for SIGKILL.
    """

    where: str
    number: int
    microseconds: int = 0
    after_refresh: bool = False


@dataclasses.dataclass(frozen=True)
class Options:
    """What to follow, and until when.

    Attributes:
        marker: DN of an entry; the program ends when its description is *value*.
        stamps: see that stamps rise; they don't where a server is put back in time.
        rereads: what is told in the persist stage was read again, and may be newer than its DN.
        once: only refresh.
    """

    url: str
    data_path: str
    store: str = "sqlite"
    marker: str = ""
    value: str = ""
    stamps: bool = True
    rereads: bool = False
    once: bool = False
    death: Death | None = None

    @property
    def outside(self) -> Path:
        return Path(f"{self.data_path}outside")

    def encode(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def decode(cls, text: str) -> Options:
        fields = json.loads(text)
        death = fields.pop("death")
        return cls(death=death and Death(**death), **fields)


class Told(BaseCallback):
    """Hands each change to both mirrors, and dies where it is told to."""

    def __init__(self, store: Store, outside: Outside, options: Options) -> None:
        self._outside = outside
        self._store = store
        self._inside: Inside | None = None
        self._options = options
        self._death = options.death
        self._left = self._death.number if self._death else 0
        self.refreshed = False

    def dispatch(self, change: Change) -> None:
        line = line_of(change)
        self._outside.told(line)
        self._die("before the store's mirror")
        if isinstance(self._store, SQLiteStore):
            if self._inside is None:
                options = self._options
                self._inside = Inside(
                    self._store.connection, stamps=options.stamps, rereads=options.rereads
                )
            self._inside.apply(line)
        self._die("callback")

    def before_commit(self) -> None:
        self._die("commit")
        self._outside.committing()
        self._die("around commit")

    def _die(self, where: str) -> None:
        death = self._death
        if death is None or where != death.where or death.after_refresh > self.refreshed:
            return
        self._left -= 1
        if self._left == 0:
            if where == "around commit":
                signal.setitimer(signal.ITIMER_REAL, max(death.microseconds, 1) / 1e6)
            else:
                os.kill(os.getpid(), signal.SIGKILL)


def entries_of(store: Store) -> dict[str, State]:
    """What a store holds, by UUID."""
    if not store.exists:
        return {}
    return {
        str(UUID(bytes=record.uuid)): State(record.dn, digest(attributes.decode(record.attrs)))
        for record in store.live()
    }


def check_inside(store: Store) -> Contents | None:
    """What the mirror in the store holds, which is what the store holds; None: no such mirror."""
    if not isinstance(store, SQLiteStore):
        return None
    if not store.exists:
        return {}
    found = inside_contents(store.connection)
    if found != {state.dn: state.digest for state in entries_of(store).values()}:
        raise Illegal("the mirror in the store is not what the store holds")
    return found


AUDIT = "audit"
"""The sink that reads the log of changes."""


def drain(store: Store, outside: Outside) -> None:
    """Copy what is new in the log of changes; whoever dies on the way does it once more."""
    if not (isinstance(store, SQLiteStore) and store.exists and store.log.exist):
        return
    log = store.changelog
    log.sinks.add(AUDIT, 0)
    while events := log.events(log.sinks[AUDIT].position):
        outside.logged(
            (event.seq, event.id.hex(), event.change and line_of(event.change)) for event in events
        )
        log.sinks.move(AUDIT, events[-1].seq)


@contextmanager
def following(options: Options, /, **more: Any) -> Iterator[tuple[Syncrepl, Told]]:
    """A client on a data path, whose file outside says from where it goes on."""
    outside = Outside(options.outside)
    try:
        store = open_store(options.store, options.data_path)
        try:
            outside.opened(entries_of(store))
            check_inside(store)
            drain(store, outside)
            if options.store == "sqlite":
                more["changelog"] = Changelog(None, exclude=(), initial="each")
            told = Told(store, outside, options)
            mode = SyncreplMode.REFRESH_ONLY if options.once else SyncreplMode.REFRESH_AND_PERSIST
            with Syncrepl(
                options.data_path,
                told,
                mode,
                options.url,
                store=store,
                reconnect=False,
                max_deletes=None,
                lag_patience=PATIENCE_SECONDS,
                **more,
            ) as client:
                yield client, told
                drain(client.store, outside)
        finally:
            store.close()
    except ldap.LDAPError as error:
        outside.error(type(error).__name__)
        raise
    finally:
        outside.close()


def follow(options: Options, client: Syncrepl, told: Told, say: Callable[[str], object]) -> None:
    """Poll until it is over, or the marker has its value."""
    while client.poll(0.1):
        if client.refreshed and not told.refreshed:
            told.refreshed = True
            say("refreshed")
        if options.marker and client.refreshed:
            found = client.store.items().get(options.marker, {}).get("description")
            if found == [options.value.encode()]:
                return


def follow_on(options: Options, say: Callable[[str], object]) -> None:
    """Follow, and come back as long as the connection gets lost."""
    while True:
        say("begin")
        try:
            with following(options) as (client, told):
                follow(options, client, told, say)
                return
        except ldap.LDAPError:
            time.sleep(PAUSE_SECONDS)


def main() -> None:
    follow_on(
        Options.decode(sys.argv[1]),
        lambda word: os.write(sys.stdout.fileno(), f"{word}\n".encode()),
    )


if __name__ == "__main__":
    main()
