# SPDX-License-Identifier: BSD-3-Clause
"""What an ordinary user, who may write a few attributes of his own entry, can do to a client."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest
from ldap.dn import escape_dn_chars
from ldap.ldapobject import SimpleLDAPObject

from syncrepl_client import LDIFCallback, Syncrepl
from syncrepl_client.callbacks import LoggingCallback
from syncrepl_client.network.results import MANY_ATTRIBUTES
from tests.conftest import missing_servers_skip
from tests.faults.recorder import PERSIST, Recorder, contents
from tests.servers import DS389, Server, Slapd
from tests.servers.people import SUFFIX, person, person_dn

PEOPLE = f"ou=people,{SUFFIX}"
MALLORY = f"uid=mallory,{PEOPLE}"
PASSWORD = "of-mallory"
WRITES = "access to * by self write by * read"
WRITES_389 = (
    b'(targetattr = "description")(version 3.0; acl "own description"; allow (write)'
    b' userdn = "ldap:///self";)'
)


@pytest.fixture(scope="module", params=["slapd", "389-ds"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server at which everybody may write the description of his own entry."""
    if request.param == "slapd":
        with missing_servers_skip(), Slapd(extra_database=WRITES) as slapd:
            yield slapd
        return
    ds389: DS389 = request.getfixturevalue("ds389")
    with ds389.connected() as connection:
        connection.modify_s(SUFFIX, [(ldap.MOD_ADD, "aci", [WRITES_389])])
    yield ds389
    with ds389.connected() as connection:
        connection.modify_s(SUFFIX, [(ldap.MOD_DELETE, "aci", [WRITES_389])])


@pytest.fixture
def mallory(server: Server) -> Iterator[SimpleLDAPObject]:
    """The connection of a user who means harm."""
    entry = {**person(0), "uid": [b"mallory"], "userPassword": [PASSWORD.encode()]}
    with server.connected() as connection:
        connection.add_s(MALLORY, list(entry.items()))
    user = ldap.initialize(server.url)
    user.simple_bind_s(MALLORY, PASSWORD)
    yield user
    user.unbind_s()
    with server.connected() as connection:
        connection.delete_s(MALLORY)


@contextmanager
def added(server: Server, number: int) -> Iterator[None]:
    with server.connected() as connection:
        connection.add_s(person_dn(number), list(person(number).items()))
    yield
    with server.connected() as connection:
        connection.delete_s(person_dn(number))


def follow(server: Server, path: Path, callback: Any, attrs: str = "*") -> Syncrepl:
    data_path = f"{path}/{attrs.strip('*')}-"
    return Syncrepl(data_path, callback, PERSIST, f"{server.url}/{PEOPLE}?{attrs}?sub")


def poll_until(client: Syncrepl, reached: Callable[[], bool]) -> None:
    for _ in range(300):
        if reached():
            return
        assert client.poll(0.1)
    pytest.fail("what was awaited did not come")


def said(caplog: pytest.LogCaptureFixture, event: str) -> list[str]:
    return [each.getMessage() for each in caplog.records if vars(each).get("event") == event]


def test_a_dn_does_not_forge_lines_of_the_log(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "syncrepl_client")
    evil = "u\nINFO delete uid=boss\x1b[2J\u202e"
    name = f"cn={escape_dn_chars(evil)},{PEOPLE}"
    with server.connected() as connection:
        connection.add_s(name, list({**person(1), "cn": [evil.encode()]}.items()))
        with follow(server, tmp_path, LoggingCallback()) as client:
            poll_until(client, lambda: bool(said(caplog, "refresh-done")))
            stored = list(client.store.items())
            connection.delete_s(name)
            poll_until(client, lambda: bool(said(caplog, "delete")))
    assert any("\x1b" in each or r"\1B" in each for each in stored)
    assert all(each.getMessage().isprintable() for each in caplog.records)


@pytest.mark.parametrize("server", ["389-ds"], indirect=True)
def test_names_with_line_breaks_do_not_get_through(
    server: Server, mallory: SimpleLDAPObject, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """389-ds takes any octets for an option, from whoever may write the attribute."""
    victim = person_dn(7)
    options = [
        f"\n\ndn:\t{victim}\nchangetype:\tdelete\n\n",
        "\ndescription:<\tfile:///etc/passwd\n",
        "\u202e\x1b[2J",
    ]
    stream = io.StringIO()
    for option in options[:2]:
        mallory.modify_s(MALLORY, [(ldap.MOD_ADD, f"description;{option}", [b"x"])])
    with added(server, 7), follow(server, tmp_path, LDIFCallback(stream)) as client:
        poll_until(client, lambda: client.refreshed)
        assert len(said(caplog, "names-left-out")) == 1
        mallory.modify_s(MALLORY, [(ldap.MOD_ADD, f"description;{options[2]}", [b"x"])])
        mallory.modify_s(MALLORY, [(ldap.MOD_REPLACE, "description;lang-de", [b"gut"])])
        with added(server, 8):
            poll_until(client, lambda: person_dn(8) in client.store.items())
            # The persist stage tells of passwords as well (see docs/security.rst).
            found = [each for each in client.verify() if each.attributes != ("userPassword",)]
            assert found == []
        stored = client.store.items()[MALLORY]
    assert stored["description;lang-de"] == [b"gut"]
    assert [name for name in stored if name.startswith("description;")] == ["description;lang-de"]
    written = stream.getvalue()
    assert f"dn: {victim}\nchangetype: add\n" in written
    assert "delete" not in written
    assert "file:" not in written
    assert repr(MALLORY) in said(caplog, "names-left-out")[0]
    assert all(each.getMessage().isprintable() for each in caplog.records)


def test_an_entry_with_many_attributes(
    server: Server, mallory: SimpleLDAPObject, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """python-ldap takes its time over it: seconds for 10,000, in which nothing else runs."""
    for start in range(0, MANY_ATTRIBUTES, 250):
        names = [f"description;lang-a{number}" for number in range(start, start + 250)]
        mallory.modify_s(MALLORY, [(ldap.MOD_ADD, name, [b"x"]) for name in names])
    with follow(server, tmp_path, Recorder(), "cn,mail") as client:
        poll_until(client, lambda: client.refreshed)
        assert contents(client)[MALLORY].keys() == {"cn", "mail"}
    assert said(caplog, "many-attributes") == []
    with follow(server, tmp_path, Recorder()) as client:
        poll_until(client, lambda: client.refreshed)
        assert len(contents(client)[MALLORY]) > MANY_ATTRIBUTES
    [warning] = said(caplog, "many-attributes")
    assert repr(MALLORY) in warning
