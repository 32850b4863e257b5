# SPDX-License-Identifier: BSD-3-Clause
"""The whole client over a connection that is only pretended: any messages, cuts, crashes."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

import ldap

from syncrepl_client import Change, Syncrepl, SyncreplMode
from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.exceptions import ServerError
from syncrepl_client.network.results import TakeEntry
from syncrepl_client.network.session import Session
from syncrepl_client.protocol import wire
from syncrepl_client.protocol.messages import Done, Entry, Message, RefreshRequired
from syncrepl_client.url import SearchUrl
from tests.fuzz.messages import BASE, Case
from tests.mirror import Mirror, content
from tests.servers.scripted import sync_state

ROOT_DSE: dict[str, dict[str, list[bytes]]] = {
    "OpenLDAP": {"objectclass": [b"OpenLDAProotDSE"]},
    "389-ds": {"vendorname": [b"389 Project"]},
    "other": {},
}
CRASHES = (ldap.SERVER_DOWN, ldap.UNWILLING_TO_PERFORM, ldap.BUSY)


class Crash(Exception):
    """A callback that fails."""


class Pretended:
    """In place of a connection: says what the case has, and nothing once that is said."""

    case: Case
    said: list[Message]
    chance: random.Random
    searches: list[bytes | None]

    def __init__(self, url: SearchUrl, *arguments: Any, **options: Any) -> None:
        self.ldap = SimpleNamespace(abandon=lambda number: None)
        self.url = url
        self._searching = False
        self._told: dict[str, Entry] = {}
        self._answers: list[list[wire.RawResult]] = []

    def bind(self, *credentials: Any) -> None:
        return

    def read(
        self, base: str, filter: str, names: Sequence[str], scope: int = 0
    ) -> dict[str, list[bytes]]:
        return ROOT_DSE[self.case.dialect.name] if base == "" else {}

    def find(
        self, base: str, filter: str, names: Sequence[str], scope: int = 0
    ) -> wire.SearchEntry | None:
        return wire.SearchEntry(base, {}) if base == BASE else None

    def send(self, base: str, *search: Any, **more: Any) -> int:
        """Show the entry that was told last under that name, if any, and that not always."""
        told = self._told.get(base.lower())
        answer = [wire.RawResult(ldap.RES_SEARCH_RESULT, (), ())]
        if told is not None and self.chance.random() < 0.9:
            shown = {**told.attrs, "nsUniqueId": [told.uuid.hex().encode()]}
            answer.insert(0, wire.RawResult(ldap.RES_SEARCH_ENTRY, [(told.dn, shown, [])], ()))
        self._answers.append(answer)
        return len(self._answers) - 1

    def answers(self, number: int, what: str, *, patient: bool = False) -> Iterator[wire.RawResult]:
        yield from self._answers[number]

    entries = Session.entries

    def next(self, number: int) -> wire.RawResult | None:
        return None if self.chance.random() < 0.2 else self._answers[number].pop(0)

    def is_readable(self) -> bool:
        return self.chance.random() < 0.8

    async def listen_or_wake(self, deadline: float | None) -> None:
        return

    def search(
        self, mode: SyncreplMode, cookie: bytes | None, refusal: Any, also: Sequence[str]
    ) -> None:
        self.searches.append(cookie)
        self._searching = True

    def receive(self) -> Message | None:
        return self._next_message()

    def take(self, take_entry: TakeEntry, take: Callable[[Message], object]) -> None:
        while (message := self._next_message()) is not None:
            if isinstance(message, Entry):
                value = sync_state(message.state, message.uuid, message.cookie)
                control = (wire.SYNC_STATE, 0, value)
                attrs = {name: list(values) for name, values in message.attrs.items()}
                going_on = take_entry(message.dn, attrs, [control])
            else:
                going_on = take(message)
            if not going_on:
                return

    def _next_message(self) -> Message | None:
        if not self.said or self.chance.random() < 0.2:
            return None
        if self.chance.random() < 0.03:
            raise self.chance.choice(CRASHES)({"desc": "pretended"})
        message = self.said.pop(0)
        if isinstance(message, Entry):
            self._told[message.dn.lower()] = message
        self._searching = not isinstance(message, (Done, RefreshRequired))
        return message

    last_heard = 0.0

    async def wait(self, deadline: float | None) -> None:
        return

    def end_search(self, seconds: float, *, cancel: bool) -> None:
        self._searching = False

    def close(self) -> None:
        return


class CommittedMirror(Mirror):
    """Knows what it was when its last commit began; fails now and then."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self.cookies: list[bytes] = []

    def dispatch(self, change: Change) -> None:
        if self.chance.random() < 0.03:
            raise Crash
        super().dispatch(change)

    def cookie_change(self, cookie: bytes) -> None:
        self.cookies.append(cookie)

    def disconnected(self, error: Exception) -> None:
        self.roll_back()  # a server that lags is waited for

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        super().refresh_done(items)
        if self.chance.random() < 0.03:
            raise Crash


def follow(case: Case) -> None:
    """Run a client for each search of a case, all over one data path."""
    chance = random.Random(repr(case))
    kind: Any = type("Connection", (Pretended,), {"case": case, "chance": chance, "searches": []})
    mirror = CommittedMirror(chance)
    patched = mock.patch("syncrepl_client.network.connector.Connection", kind)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as path, patched:
        for search in case.searches:
            kind.said = list(search.messages)
            _run(f"{path}/", case, kind, mirror)


def _run(path: str, case: Case, kind: Any, mirror: CommittedMirror) -> None:
    url = f"ldap://pretended/{BASE}??{'sub' if case.subtree else 'one'}"
    mode = SyncreplMode.REFRESH_AND_PERSIST
    with Syncrepl(path, mirror, mode, url, reconnect=False, max_deletes=None) as client:
        while kind.said:
            if not _poll(client, kind, mirror):
                return


def _poll(client: Syncrepl, kind: Any, mirror: CommittedMirror) -> bool:
    """Poll once; say whether the search goes on."""
    before, refreshes = client.store.origin.cookie, mirror.refreshes
    commits = client.stats.commits
    kind.searches.clear()
    failed = over = False
    try:
        over = not client.poll(0)
    except Crash:
        failed = True
    except (ServerError, ldap.LDAPError):
        over = failed = True
    if failed:
        mirror.roll_back()
    assert not client.store.in_transaction
    assert content(client.store.items()) == content(mirror.entries)
    _check_cookie(client, kind, mirror, before, mirror.refreshes > refreshes)
    if kind.searches[-1:] == [None] and client.stats.commits > commits and not client.refreshed:
        cookie = client.store.origin.cookie
        assert cookie is None, "a search that starts over, cut short, could be resumed"
    return not over


def _check_cookie(
    client: Syncrepl, kind: Any, mirror: CommittedMirror, before: bytes | None, refreshed: bool
) -> None:
    """A cookie is committed once the refresh is done, and told of; searches begin from it."""
    cookie = client.store.origin.cookie
    if cookie not in (before, None):
        assert refreshed or client.refreshed, "a cookie was committed in mid-refresh"
        assert mirror.cookies[-1] == cookie
    assert set(kind.searches) <= {None, before, cookie}
