# SPDX-License-Identifier: BSD-3-Clause
"""Several servers in one URL: each gets its turn, and each is heard when none lets us in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ldap
import pytest

from syncrepl_client import Syncrepl
from syncrepl_client.exceptions import ConfigurationError, LDAPUrlConflict, LDAPUrlError
from syncrepl_client.network.connection import Connection
from syncrepl_client.network.connector import Connector
from syncrepl_client.network.credentials import Credentials
from syncrepl_client.url import parse
from syncrepl_client.waiting.waker import Waker
from tests.faults.recorder import REFRESH_ONLY, Recorder, contents
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.servers import Slapd
from tests.servers.process import free_port
from tests.servers.scripted import Provider, done, person

pytestmark = pytest.mark.usefixtures("watchdog")

ANONYMOUS = "/dc=example,dc=com??sub"
BOUND = f"{ANONYMOUS}??bindname=cn=a"
BUSY, INVALID_CREDENTIALS, UNWILLING = 51, 49, 53


def nobody() -> str:
    """The URL of a server that is not there."""
    return f"ldap://127.0.0.1:{free_port()}"


@pytest.fixture
def waker() -> Iterator[Waker]:
    waker = Waker()
    yield waker
    waker.close()


def reach(waker: Waker, url: Any, start: int = 0, password: Any = None) -> Connection:
    parsed = parse(url)
    credentials = Credentials.choose(parsed, password)
    connection = Connector(parsed, credentials, waker, starttls=False, options={}).connect(start)
    connection.close()
    return connection


@pytest.mark.parametrize("form", ["list", "tuple", "str"])
def test_the_first_that_answers(form: str, slapd: Slapd, tmp_path: Path) -> None:
    dead = nobody()
    several: Any = [dead + ANONYMOUS, slapd.url, slapd.ldapi_url]
    url = {"list": several, "tuple": tuple(several), "str": " ".join(several)}[form]
    recorder = Recorder()
    with Syncrepl(f"{tmp_path}/", recorder, REFRESH_ONLY, url) as client:
        assert slapd.suffix in f"{client!r}"
        client.run()
        stored = client.store.origin.url
        assert stored == f"{dead}{ANONYMOUS}?(objectClass=*) " + " ".join(several[1:])
        found = contents(client)
    with Syncrepl(f"{tmp_path}/", recorder, REFRESH_ONLY) as client:  # as remembered
        client.run()
        assert contents(client) == found
        assert client.store.origin.url == stored
    with Syncrepl(f"{tmp_path}/", recorder, REFRESH_ONLY, slapd.url + ANONYMOUS) as client:
        client.run()  # the servers may change
        assert client.store.origin.url == str(parse(slapd.url + ANONYMOUS))
    assert recorder.kinds.count("add") == len(found)


def test_another_search_is_still_refused(slapd: Slapd, tmp_path: Path) -> None:
    with Syncrepl(f"{tmp_path}/", Recorder(), REFRESH_ONLY, slapd.url + ANONYMOUS) as client:
        client.run()
    one = "/dc=example,dc=com??one"
    with pytest.raises(LDAPUrlConflict, match="scope"):
        Syncrepl(f"{tmp_path}/", Recorder(), REFRESH_ONLY, [slapd.url + one, nobody()])
    with pytest.raises(LDAPUrlError, match="number 2 has another scope"):
        Syncrepl("", Recorder(), REFRESH_ONLY, [slapd.url + ANONYMOUS, nobody() + one])


def test_wrong_credentials_may_be_wrong_on_one_only(tmp_path: Path) -> None:
    with (
        Provider(bind_result=INVALID_CREDENTIALS) as behind,
        Provider([person(1), done(deletes=True)]) as provider,
    ):
        url = [behind.url + BOUND, provider.url]
        with Syncrepl(f"{tmp_path}/", Recorder(), REFRESH_ONLY, url, password="pw") as client:
            client.run()
            assert len(contents(client)) == 1
        assert len(behind.binds) == len(provider.binds) == 1
        behind.heard.wait("unbind")


def test_start_says_who_is_first(waker: Waker) -> None:
    with Provider() as first, Provider() as second, Provider() as third:
        urls = [first.url + ANONYMOUS, second.url, third.url]
        for start, provider in enumerate([first, second, third, first, second]):
            assert reach(waker, urls, start).url.server == provider.url
        assert reach(waker, [nobody() + ANONYMOUS, *urls[1:]], 3).url.server == second.url
        assert reach(waker, [urls[0], nobody()], 1).url.server == first.url


def test_the_password_is_asked_for_at_each_bind(waker: Waker) -> None:
    answers = ["one", "two"]
    with Provider(bind_result=INVALID_CREDENTIALS) as first, Provider() as second:
        reach(waker, [first.url + BOUND, second.url], password=lambda: answers.pop(0))
        assert [each.binds[0].password for each in (first, second)] == [b"one", b"two"]


@pytest.mark.parametrize(
    ("results", "error"),
    [
        ([INVALID_CREDENTIALS, BUSY, None], ldap.INVALID_CREDENTIALS),
        ([None, BUSY, None], ldap.BUSY),
        ([UNWILLING, BUSY, None], ldap.BUSY),
        ([None, None], ldap.SERVER_DOWN),
    ],
)
def test_nobody_lets_us_in(
    results: list[int | None], error: type[ldap.LDAPError], waker: Waker
) -> None:
    providers = [None if each is None else Provider(bind_result=each) for each in results]
    urls = [nobody() if each is None else each.url for each in providers]
    running = [each for each in providers if each is not None]
    for provider in running:
        provider.__enter__()
    try:
        with pytest.raises(error, match=f"none of {len(urls)} servers let us in") as caught:
            reach(waker, [urls[0] + BOUND, *urls[1:]], password="tell-tale")
        for provider in running:
            assert len(provider.binds) == 1
            provider.heard.wait("unbind")
    finally:
        for provider in running:
            provider.__exit__(None, None, None)
    assert type(caught.value) is error
    for url in urls:
        assert f"{url} said: " in str(caught.value)
    assert "tell-tale" not in repr(caught.value)


def test_what_no_other_server_can_mend(waker: Waker) -> None:
    asked = []

    def ask() -> str:
        asked.append(1)
        return ""

    with Provider() as first, Provider() as second:
        parsed = parse([first.url + BOUND, second.url])
        with pytest.raises(ConfigurationError, match="is empty"):
            reach(waker, [first.url + BOUND, second.url], password=ask)
        with pytest.raises(ConfigurationError, match="can't be set"):
            Connector(
                parsed,
                Credentials.choose(parsed, ask),
                waker,
                starttls=False,
                options={ldap.OPT_NETWORK_TIMEOUT: "soon"},
            ).connect()
        assert first.binds == second.binds == []
    assert asked == [1]
