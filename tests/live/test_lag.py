# SPDX-License-Identifier: BSD-3-Clause
"""How far a store is behind: what a client at work commits while its server is asked."""

from __future__ import annotations

from collections.abc import Iterator

import ldap
import pytest

from syncrepl_client import url
from syncrepl_client.engine import lag
from syncrepl_client.network.connector import Connector
from syncrepl_client.network.credentials import Credentials
from syncrepl_client.store import Origin
from syncrepl_client.waiting.waker import Waker
from tests.servers import Slapd
from tests.servers.people import SUFFIX


@pytest.fixture
def connector(slapd: Slapd) -> Iterator[Connector]:
    waker = Waker()
    search = url.parse(f"{slapd.url}/{SUFFIX}??sub")
    yield Connector(search, Credentials.choose(search), waker, False, {})
    waker.close()


def change(server: Slapd) -> None:
    with server.connected() as connection:
        connection.modify_s(SUFFIX, [(ldap.MOD_REPLACE, "description", [b"changed"])])


def current(server: Slapd) -> Origin:
    """The origin of a store that is in step now."""
    with server.connected() as connection:
        [(_, attrs)] = connection.search_s(SUFFIX, ldap.SCOPE_BASE, attrlist=["contextCSN"])
    return Origin(b"rid=000,csn=" + b";".join(attrs["contextCSN"]), "OpenLDAP")


def test_a_client_that_goes_on_meanwhile_is_not_ahead(slapd: Slapd, connector: Connector) -> None:
    asked = 0

    def read() -> Origin:
        nonlocal asked
        asked += 1
        if asked > 1:
            change(slapd)
        return current(slapd)

    found = lag.measure(connector, read)
    assert asked == 2
    assert (found.in_step, found.ahead) == (True, False)
    assert not any(mark.ahead for mark in found.marks)


def test_a_client_that_catches_up_in_time(slapd: Slapd, connector: Connector) -> None:
    before = current(slapd)
    change(slapd)
    after, asked = current(slapd), 0

    def read() -> Origin:
        nonlocal asked
        asked += 1
        return before if asked < 4 else after

    assert lag.measure(connector, read).in_step is False
    asked = 0
    assert lag.measure(connector, read, patience=60).in_step is True
    assert asked == 4


def test_a_store_that_was_ahead_from_the_beginning(slapd: Slapd, connector: Connector) -> None:
    newer = Origin(b"rid=000,csn=29991231000000.000000Z#000000#000#000000", "OpenLDAP")
    found = lag.measure(connector, lambda: newer)
    assert found.ahead


def test_a_store_of_another_kind_of_server(slapd: Slapd, connector: Connector) -> None:
    found = lag.measure(connector, lambda: current(slapd)._replace(dialect="389-ds"))
    assert found.in_step is None
    assert "389-ds" in (found.reason or "")
    assert "another kind" in (found.doubt or "")
