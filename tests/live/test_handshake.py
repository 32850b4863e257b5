# SPDX-License-Identifier: BSD-3-Clause
"""A server that takes a connection and then says nothing: libldap on GnuTLS is kept from it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ldap
import pytest

from syncrepl_client import Syncrepl
from syncrepl_client.network import handshake
from syncrepl_client.waiting.backoff import Backoff
from tests.faults.recorder import PERSIST, REFRESH_ONLY, Recorder, contents, poll_until
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.servers import Slapd
from tests.servers.middle import Middle, silent_listener
from tests.servers.people import person, person_dn
from tests.servers.process import free_port
from tests.servers.scripted import Provider, done
from tests.servers.scripted import person as told

pytestmark = pytest.mark.usefixtures("watchdog")

ANONYMOUS = "/dc=example,dc=com??sub"
SHORT = {ldap.OPT_NETWORK_TIMEOUT: 0.5}


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(handshake, "is_needed", lambda: True)
    with silent_listener() as url:
        yield url


def test_the_constructor_raises(silent: str, tmp_path: Path) -> None:
    with pytest.raises(ldap.TIMEOUT, match=r"did not answer the TLS handshake in 0\.5 s"):
        Syncrepl(f"{tmp_path}/", Recorder(), PERSIST, silent + ANONYMOUS, options=SHORT)
    assert not list(tmp_path.iterdir())


def test_the_next_server_is_tried(silent: str, tmp_path: Path) -> None:
    with Provider([told(1), done(deletes=True)]) as provider:
        url = [silent + ANONYMOUS, provider.url]
        recorder = Recorder()
        with Syncrepl(f"{tmp_path}/", recorder, REFRESH_ONLY, url, options=SHORT) as client:
            client.run()
            assert contents(client) == recorder.mirror
    assert recorder.of("add")


def test_a_server_that_hangs_while_it_is_connected_again(run_server: Any, tmp_path: Path) -> None:
    server = run_server(Slapd, tls=True)
    recorder = Recorder()
    options = {ldap.OPT_X_TLS_CACERTFILE: server.ca_file, **SHORT}
    soon = Backoff(initial=0.05, maximum=0.1)
    url = server.ldaps_url + ANONYMOUS
    with Syncrepl(
        f"{tmp_path}/", recorder, PERSIST, url, options=options, reconnect=soon, heartbeat=0.3
    ) as client:
        poll_until(client, recorder, "refresh_done")
        server.pause()
        try:
            poll_until(client, recorder, "disconnected", 3)  # the first: it fell silent
        finally:
            server.resume()
        with server.connected() as admin:
            admin.add_s(person_dn(1), list(person(1).items()))
        while person_dn(1) not in contents(client):
            assert client.poll(10)
    if handshake.is_needed():
        _, (_, error), *_ = recorder.of("disconnected")
        assert "did not answer the TLS handshake" in str(error)


@pytest.mark.parametrize("answer", [b"\x15", b"HTTP/1.1 400", b""])
def test_whatever_answers_is_left_to_libldap(answer: bytes) -> None:
    with Middle(answer, hang_up=not answer) as middle:
        handshake.check(middle.url.replace("ldap:", "ldaps:"), 10)
        middle.join()
    assert middle.received.startswith(b"\x16\x03")  # a ClientHello


@pytest.mark.parametrize(
    "server",
    ["ldaps://127.0.0.1:{port}", "ldaps://[::1]:{port}", "ldaps://no-such-host.invalid",
     "ldaps://127.0.0.1:99999", "ldaps://.x:{port}", "ldaps://[::1", "ldaps:///"],
)  # fmt: skip
def test_what_cannot_be_reached_is_left_to_libldap(server: str) -> None:
    handshake.check(server.format(port=free_port()), 10)


def test_no_time_is_no_check(silent: str) -> None:
    handshake.check(silent, 0.0)


def test_a_connection_that_is_not_accepted() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        with (
            socket.create_connection(address),  # and that was the last one
            pytest.raises(ldap.SERVER_DOWN, match="did not accept the connection in"),
        ):
            handshake.check(f"ldaps://127.0.0.1:{address[1]}", 0.3)
