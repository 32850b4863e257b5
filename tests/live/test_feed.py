# SPDX-License-Identifier: BSD-3-Clause
"""A feed and a client that follows a real slapd make the same calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Union

import ldap
import pytest
from ldap.modlist import addModlist

from syncrepl_client import Change, Phase, RetryCallback, Syncrepl, SyncreplMode
from syncrepl_client.callbacks import Attributes, BaseCallback
from syncrepl_client.entries.attributes import canonical
from syncrepl_client.testing import Feed, Slapd
from syncrepl_client.testing.people import SUFFIX, base_entries, people_ldif, person, person_dn
from syncrepl_client.testing.pytest import MakeSlapd
from tests.patience import HANGS_SECONDS

PEOPLE, GROUPS = f"ou=people,{SUFFIX}", f"ou=groups,{SUFFIX}"
ENGINEERS = f"ou=engineers,{SUFFIX}"

Call = tuple[Any, ...]
Operation = tuple[Any, ...]

LIFE: Sequence[Operation] = [
    ("add", person_dn(2), person(2)),
    ("modify", person_dn(0), {"mail": [b"new@example.com"], "title": []}),
    ("modify", person_dn(0), {"mail": [b"new@example.com"]}),
    ("rename", person_dn(1), f"uid=renamed,{PEOPLE}"),
    ("rename", f"uid=renamed,{PEOPLE}", f"uid=renamed,{GROUPS}"),
    ("rename", person_dn(2), f"cn=Two+sn=Too,{PEOPLE}"),
    ("rename", PEOPLE, ENGINEERS),
    ("delete", f"uid=renamed,{GROUPS}"),
    ("add", f"ou=b,{ENGINEERS}", {"objectClass": [b"organizationalUnit"], "ou": [b"b"]}),
    ("rename", f"ou=b,{ENGINEERS}", f"ou=B,{ENGINEERS}"),
    ("rename", ENGINEERS, f"ou=all of them,{GROUPS}"),
]


def sorted_attrs(attrs: Attributes | None) -> Attributes | None:
    return None if attrs is None else dict(sorted(canonical(attrs).items()))


class Recorder(BaseCallback):
    """Writes down every call; fails where an entry with *poison* in its DN is added."""

    def __init__(self, poison: str = "none") -> None:
        self.calls: list[Call] = []
        self.poison = poison

    def dispatch(self, change: Change) -> None:
        old, new = sorted_attrs(change.old_attrs), sorted_attrs(change.new_attrs)
        self.calls.append((change.phase, change.kind, change.old_dn, change.new_dn, old, new))
        if change.new_dn is not None and self.poison in change.new_dn:
            raise OSError(self.poison)
        super().dispatch(change)

    def record_rename(self, old_dn: str, new_dn: str) -> None:
        self.calls.append(("record_rename", old_dn, new_dn))

    def record_change(self, dn: str, old_attrs: Attributes, new_attrs: Attributes) -> None:
        self.calls.append(("record_change", dn))

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        entries = {dn: sorted_attrs(attrs) for dn, attrs in items.items()}
        self.calls.append(("refresh_done", entries))

    def cookie_change(self, cookie: bytes) -> None:
        self.calls.append(("cookie_change",))

    def before_commit(self) -> None:
        self.calls.append(("before_commit",))


class OnSlapd:
    """A client that follows a real server; it has the methods of a feed."""

    def __init__(self, server: Slapd, callback: Recorder, path: Path, **options: Any) -> None:
        self._server, self._path, self._options = server, path, options
        self.callback = callback
        self._follow()

    def _follow(self) -> None:
        self._client = Syncrepl(
            f"{self._path}/",
            self.callback,
            SyncreplMode.REFRESH_AND_PERSIST,
            f"{self._server.url}/{SUFFIX}??sub",
            **self._options,
        )
        while not self._client.refreshed:
            self._client.poll(HANGS_SECONDS)

    def _changed(self) -> None:
        """Let the client hear of it, and commit it."""
        self.callback.calls, calls = [], self.callback.calls
        while ("before_commit",) not in self.callback.calls:
            self._client.poll(HANGS_SECONDS)
        self.callback.calls[:0] = calls

    def commit(self) -> None:
        pass

    def add(self, dn: str, attrs: Attributes) -> None:
        self.away("add", dn, attrs)
        self._changed()

    def modify(self, dn: str, attrs: Attributes) -> None:
        self.away("modify", dn, attrs)
        self._changed()

    def rename(self, old_dn: str, new_dn: str) -> None:
        self.away("rename", old_dn, new_dn)
        self._changed()

    def delete(self, dn: str) -> None:
        self.away("delete", dn)
        self._changed()

    def away(self, method: str, dn: str, argument: str | Attributes = "") -> None:
        """Change the directory alone."""
        with self._server.connected() as connection:
            if method == "delete":
                connection.delete_s(dn)
            elif isinstance(argument, str):
                rdn, _, superior = argument.partition(",")
                connection.rename_s(dn, rdn, superior)
            elif method == "add":
                connection.add_s(dn, addModlist(argument))
            else:
                changes = [(ldap.MOD_REPLACE, name, each) for name, each in argument.items()]
                connection.modify_s(dn, changes)

    def close(self) -> None:
        self._client.__exit__(None, None, None)

    crash = close

    def restart(self) -> None:
        self.close()
        self._follow()


Either = Union[Feed, OnSlapd]


@pytest.fixture
def both(make_slapd: MakeSlapd, tmp_path: Path) -> Iterator[Any]:
    """A function that makes a feed, and a client of a real server, with the same content."""
    with ExitStack() as stack:

        def make(**options: Any) -> tuple[Feed, OnSlapd]:
            feed = Feed(Recorder(), **options)
            stack.callback(feed.close)
            for dn, attrs in (*base_entries(), *((person_dn(n), person(n)) for n in (0, 1))):
                feed.add(dn, attrs)
            feed.refresh_done()
            server = make_slapd(sessionlog=1000, ldif=people_ldif(2))
            client = OnSlapd(server, Recorder(), tmp_path, reconnect=False, **options)
            stack.callback(client.close)
            return feed, client

        yield make


def apply(where: Either, operations: Sequence[Operation]) -> None:
    for method, *arguments in operations:
        getattr(where, method)(*arguments)
        where.commit()


def told(where: Either) -> list[Call]:
    calls: list[Call] = where.callback.calls
    where.callback.calls = []
    return calls


def without_phases(calls: Sequence[Call]) -> list[Call]:
    return [call[1:] if isinstance(call[0], Phase) else call for call in calls]


def in_any_order(calls: Sequence[Call]) -> tuple[list[str], list[Call]]:
    """What was told of entries, and then what was told of the whole."""
    ((end, _),) = [each for each in enumerate(calls) if each[1][0] == "refresh_done"]
    return sorted(map(repr, without_phases(calls[:end]))), list(calls[end:])


def test_a_refresh_and_a_life_after_it(both: Any) -> None:
    feed, client = both()
    assert told(feed) == told(client)
    for operation in LIFE:
        apply(feed, [operation])
        apply(client, [operation])
        assert told(feed) == told(client), operation


def test_what_happens_while_the_program_is_away(both: Any) -> None:
    feed, client = both()
    assert told(feed) == told(client)
    feed.crash()
    client.crash()
    for method, *arguments in LIFE:
        getattr(feed, method)(*arguments)
        client.away(method, *arguments)
    feed.restart()
    client.restart()
    assert in_any_order(told(feed)) == in_any_order(told(client))


def test_a_callback_that_fails(both: Any) -> None:
    feed, client = both()
    assert told(feed) == told(client)
    for where in (feed, client):
        where.callback.poison = "u0000002"
        with pytest.raises(OSError, match="u0000002"):
            apply(where, LIFE[:1])
        where.callback.poison = "none"
    assert told(feed) == told(client)
    feed.restart()
    client.restart()
    assert in_any_order(told(feed)) == in_any_order(told(client))


def test_a_callback_that_is_tried_again(both: Any) -> None:
    letters: list[Any] = []
    policy = RetryCallback(retries=1, dead_letter=lambda change, error: letters.append(change))
    feed, client = both(on_callback_error=policy)
    assert told(feed) == told(client)
    for where in (feed, client):
        where.callback.poison = "u0000002"
        apply(where, LIFE[:1])
    assert without_phases(told(feed)) == without_phases(told(client))
    assert len(letters) == 2
