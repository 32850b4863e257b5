# SPDX-License-Identifier: BSD-3-Clause
"""When a stored cookie is used, and when not, on live servers, as an ordinary user."""

from __future__ import annotations

from typing import Any, Callable

import ldap
import pytest

from syncrepl_client import Syncrepl, url
from syncrepl_client.network.connector import Connector
from syncrepl_client.network.credentials import Credentials
from syncrepl_client.network.server import ServerFacts, last_change, probe
from syncrepl_client.protocol.cookie import change_number
from syncrepl_client.store import MemoryStore
from syncrepl_client.waiting.waker import Waker
from tests.faults.recorder import REFRESH_ONLY, Recorder, contents
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.servers import DS389, Server, Slapd
from tests.servers.people import person, person_dn

pytestmark = pytest.mark.usefixtures("watchdog")

RunServer = Callable[..., Any]
KINDS = pytest.mark.parametrize("kind", [Slapd, DS389])
PASSWORD = "user-secret"


class Followed:
    """A server with two users, and the store of a client that runs now and then."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.store = MemoryStore()
        self.recorder = Recorder()
        self.base = f"ou=people,{server.suffix}"
        with server.connected() as connection:
            for number in (1, 2):
                attrs = {**person(number), "userPassword": [PASSWORD.encode()]}
                connection.add_s(person_dn(number), list(attrs.items()))

    def url(self, user: int = 1) -> str:
        bind = f"bindname={person_dn(user).replace(',', '%2C')}" if user else ""
        return f"{self.server.url}/{self.base}??sub??{bind}"

    def run(self, user: int = 1) -> bool:
        """Run a refresh; say whether the stored cookie was used."""
        self.recorder.clear()
        self.recorder.messages.clear()
        client = Syncrepl(
            "", self.recorder, REFRESH_ONLY, self.url(user), store=self.store, password=PASSWORD
        )
        with client:
            client.run()
            assert contents(client) == self.recorder.mirror
        searching = [each for each in self.recorder.messages if each.startswith("searching with")]
        assert len(searching) == 1, self.recorder.messages
        return "no cookie" not in searching[0]

    def modify(self, number: int, value: str) -> None:
        change = [(ldap.MOD_REPLACE, "description", [value.encode()])]
        with self.server.connected() as connection:
            connection.modify_s(person_dn(number), change)

    def facts(self, user: int = 1) -> ServerFacts:
        where = url.parse(self.url(user))
        credentials = Credentials.choose(where, PASSWORD if user else None, None, None)
        waker = Waker()
        connection = Connector(where, credentials, waker, starttls=False, options={}).connect()
        try:
            assert last_change(connection) == probe(connection, where).last_change
            return probe(connection, where)
        finally:
            connection.close()
            waker.close()


@pytest.fixture
def followed(run_server: RunServer, kind: Callable[..., Server]) -> Followed:
    if kind is DS389:
        return Followed(run_server(DS389, anyone_syncs=False))
    return Followed(run_server(Slapd, sessionlog=100))


@KINDS
def test_what_a_server_says_of_itself_and_us(followed: Followed) -> None:
    is_389ds = isinstance(followed.server, DS389)
    user, other, nobody = (followed.facts(number) for number in (1, 2, 0))
    assert (user.identity or "").replace("dn: ", "dn:") == f"dn:{person_dn(1)}"
    assert other.identity != user.identity
    assert nobody.identity == ""
    assert user.cancels is not is_389ds
    assert (user.epoch is not None) is is_389ds
    assert (user.first_change, user.last_change) == ((1, 5) if is_389ds else (None, None))
    assert user.dialect.name == ("389-ds" if is_389ds else "OpenLDAP")


@KINDS
def test_the_same_user_resumes(followed: Followed) -> None:
    assert not followed.run()
    assert followed.run()
    followed.modify(1, "changed")
    assert followed.run()
    assert followed.recorder.changes == [("change", person_dn(1))]


@KINDS
def test_a_refresh_that_was_cut_short_after_a_commit(followed: Followed) -> None:
    """What was added after the cookie, and told, may be gone before the next search.

    389-ds names no such entry when it resumes from that cookie: for it there never was one.
    """
    followed.run()
    with followed.server.connected() as connection:
        for number in (3, 4, 5):
            connection.add_s(person_dn(number), list(person(number).items()))
        client = Syncrepl(
            "", None, REFRESH_ONLY, followed.url(), store=followed.store, password=PASSWORD
        )
        with client:
            first, _ = (change.new_dn for change, _ in zip(client.changes(), range(2)))
        followed.recorder.mirror = dict(followed.store.items())  # which nobody told it of
        assert first in followed.recorder.mirror
        connection.delete_s(first)
    resumed = followed.run()
    assert first not in followed.recorder.mirror
    assert len(followed.recorder.mirror) == 5
    assert resumed is isinstance(followed.server, Slapd)


@KINDS
def test_a_refresh_of_another_user_that_was_cut_short_after_a_commit(followed: Followed) -> None:
    """What that user was shown, and the first one may not see, no resume would take away."""
    followed.run(1)
    with followed.server.connected() as connection:
        for number in (3, 4, 5):
            connection.add_s(person_dn(number), list(person(number).items()))
        client = Syncrepl(
            "", None, REFRESH_ONLY, followed.url(2), store=followed.store, password=PASSWORD
        )
        with client:
            assert len([change for change, _ in zip(client.changes(), range(2))]) == 2
    followed.recorder.mirror = dict(followed.store.items())  # which nobody told it of
    assert not followed.run(1)
    assert len(followed.recorder.mirror) == 6
    assert followed.run(1)


@KINDS
def test_another_user_does_not(followed: Followed) -> None:
    followed.run(1)
    assert not followed.run(2)
    assert any("takes us for" in each for each in followed.recorder.messages)
    assert followed.recorder.changes == []
    assert followed.run(2)


@pytest.mark.parametrize("kind", [Slapd])
def test_slapd_may_be_restarted(followed: Followed) -> None:
    followed.run()
    followed.server.restart()
    assert followed.run()


@pytest.mark.parametrize("kind", [DS389])
def test_389ds_may_not(followed: Followed) -> None:
    followed.run()
    epoch = followed.facts().epoch
    followed.modify(2, "changed")
    followed.server.restart()
    assert followed.facts().epoch != epoch
    assert not followed.run()
    assert any("was restarted" in each for each in followed.recorder.messages)
    assert followed.recorder.changes == [("change", person_dn(2))]
    assert followed.run()


@pytest.mark.parametrize("kind", [DS389])
def test_a_changelog_that_lacks_the_next_change(followed: Followed) -> None:
    """Trimming takes minutes: the changelog's first entries are deleted in its place."""
    followed.run()
    number = change_number(followed.store.origin.cookie)
    assert number is not None
    assert number == followed.facts().last_change
    followed.modify(1, "lost")
    followed.modify(2, "seen")
    with followed.server.connected() as connection:
        for each in range(1, number + 2):
            connection.delete_s(f"changenumber={each},cn=changelog")
    followed.server.restart()  # it counts anew what is there
    followed.store.begin()
    followed.store.commit(followed.store.origin._replace(epoch=None))  # that is another test
    facts = followed.facts()
    assert (facts.first_change, facts.last_change) == (number + 2, number + 2)
    assert not followed.run()
    assert any("lacks changes" in each for each in followed.recorder.messages)
    assert sorted(followed.recorder.changes) == [
        ("change", person_dn(1)),
        ("change", person_dn(2)),
    ]


@KINDS
def test_another_kind_of_server_starts_over(followed: Followed, run_server: RunServer) -> None:
    followed.run()
    other = Slapd if isinstance(followed.server, DS389) else DS389
    followed.server.remove()
    moved = Followed(run_server(other))
    moved.store, moved.recorder = followed.store, followed.recorder
    assert not moved.run()
    assert any("another kind" in each for each in moved.recorder.messages)
    assert moved.run()
