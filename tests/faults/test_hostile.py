# SPDX-License-Identifier: BSD-3-Clause
"""A server that means harm: it forges lines, goes on without end, sends more than can be read."""

from __future__ import annotations

import io
import itertools
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ldap
import pytest

from syncrepl_client import LDIFCallback, Syncrepl
from syncrepl_client.callbacks import LoggingCallback
from syncrepl_client.exceptions import ProtocolError
from syncrepl_client.network import results, transport
from tests.faults.recorder import PERSIST, REFRESH_ONLY, Recorder, contents, follow, poll_until
from tests.faults.test_malformed import DN, NAMES, SMUGGLED, STATE
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.servers.scripted import (
    ADD,
    Item,
    Message,
    Provider,
    bare_entry,
    control,
    done,
    entry,
    found,
    idset,
    octets,
    page_end,
    person,
    refresh_delete,
    tlv,
    uuid,
)

pytestmark = pytest.mark.usefixtures("watchdog")

FORGED = "uid=u3\n2026-11-28 12:00 delete uid=boss\x1b[2J\u202e,dc=example,dc=com"


def warnings(caplog: pytest.LogCaptureFixture, event: str) -> list[str]:
    return [each.getMessage() for each in caplog.records if vars(each).get("event") == event]


# --- what is written down


def test_a_name_is_not_written_as_ldif(tmp_path: Path) -> None:
    stream = io.StringIO()
    script = [person(1), entry(DN, {"uid": ["u3"], SMUGGLED: ["x"]}, ADD, uuid(3))]
    with Provider(script) as provider:
        client = follow(provider, tmp_path, LDIFCallback(stream), REFRESH_ONLY)
        with client, pytest.raises(ProtocolError, match=f"'{DN}' with an attribute called"):
            client.run()
    assert "delete" not in stream.getvalue()
    assert "file:" not in stream.getvalue()


def test_a_dn_does_not_forge_lines_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    script = [entry(FORGED, {"uid": ["u3"]}, ADD, uuid(3)), done(deletes=True, cookie=b"c\nc")]
    with (
        Provider(script) as provider,
        follow(provider, tmp_path, LoggingCallback(), REFRESH_ONLY) as client,
    ):
        client.run()
        assert list(contents(client)) == [FORGED]
    assert r"add uid=u3\n2026-11-28 12:00 delete uid=boss\x1b[2J\u202e,dc=example" in caplog.text
    assert all(each.getMessage().isprintable() for each in caplog.records)


def test_why_a_cookie_is_not_used_is_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for start in ("1\x1b[2J", "2\nforged"):
        monitor = bare_entry("cn=monitor", {"startTime": [start]})
        script = [person(1), refresh_delete(b"h#b:f#1")]
        with (
            Provider(script, kind="389", entries={"cn=monitor": monitor}) as provider,
            follow(provider, tmp_path, Recorder(), PERSIST) as client,
        ):
            client.callback.mirror = contents(client)
            poll_until(client, client.callback, "refresh_done")
            said = [*client.callback.messages, *(each.getMessage() for each in caplog.records)]
    assert any(
        r"the server was restarted (2\nforged, before that 1\x1b[2J)" in each for each in said
    )
    assert all(each.isprintable() for each in said)


# --- names that users of 389-ds made up


def test_one_users_entry_does_not_stop_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mallory = entry(DN, {"uid": ["u3"], "description;\ndn: x": ["x"]}, ADD, uuid(3))
    script = [mallory, person(4), refresh_delete(b"h#b:f#1"), person(5, cookie=b"h#b:f#2")]
    with (
        Provider(script, kind="389") as provider,
        follow(provider, tmp_path, Recorder(), PERSIST) as client,
    ):
        poll_until(client, client.callback, "add", 3)
        assert contents(client) == client.callback.mirror
        assert client.callback.mirror[DN] == {"uid": [b"u3"]}
        provider.play_page(Message(mallory.operation), found(4), found(5), page_end())
        assert client.verify() == []
    for warning in warnings(caplog, "names-left-out"):
        assert repr(DN) in warning
        assert r"'description;\ndn: x'" in warning
        assert warning.isprintable()
    assert len(warnings(caplog, "names-left-out")) == 2


# --- more than can be read


def test_no_memory(tmp_path: Path) -> None:
    """python-ldap says so of a control whose name it can't read, too."""
    attrs = tlv(0x30, tlv(0x30, octets("uid"), tlv(0x31, octets("u3"))))
    item = Message(tlv(0x64, octets(DN), attrs), control(b"\xff", STATE))
    ending = [person(2), done(deletes=True, cookie=b"c1")]
    with (
        Provider([person(1), item], ending) as provider,
        follow(provider, tmp_path, Recorder(), REFRESH_ONLY) as client,
    ):
        with pytest.raises(MemoryError, match="there is no memory for it"):
            client.run()
        assert contents(client) == {}
        client.callback.mirror.clear()
        client.run()
        assert list(contents(client)) == [NAMES[2]]


def test_an_entry_with_many_attributes_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"description;lang-a{number}" for number in range(results.MANY_ATTRIBUTES)]
    for name in ("plain", "large", "as large"):
        attrs = {key: ["x"] for key in (names[:-1] if name == "plain" else [*names, "cn"])}
        script = [entry(DN, attrs, ADD, uuid(3)), entry(DN, attrs, ADD, uuid(3))]
        with (
            Provider([*script, done(deletes=True, cookie=b"c1")]) as provider,
            follow(provider, tmp_path, Recorder(), REFRESH_ONLY) as client,
        ):
            client.callback.mirror = contents(client)
            client.run()
            assert contents(client)[DN].keys() == attrs.keys()
        expected = {"plain": 0, "large": 1, "as large": 2}[name]
        assert len(warnings(caplog, "many-attributes")) == expected
    assert f"'{DN}' has 1001 attributes" in warnings(caplog, "many-attributes")[0]


# --- without end


@pytest.mark.parametrize(
    ("flood", "error", "text"),
    [
        (bare_entry("", {"objectClass": ["top"]}), ProtocolError, "more than the one entry ''"),
        (Message(tlv(0x73, octets("ldap://x"))), ldap.TIMEOUT, "did not answer the reading of ''"),
    ],
    ids=["entries", "references"],
)
def test_a_root_dse_without_end(
    flood: Message,
    error: type[Exception],
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "ANSWER_SECONDS", 0.3)
    with Provider(root_dse_flood=flood) as provider, pytest.raises(error, match=text):
        follow(provider, tmp_path, Recorder())
    assert list(tmp_path.iterdir()) == []


def test_a_sign_of_life_without_end(tmp_path: Path) -> None:
    with (
        Provider([refresh_delete(b"c1")]) as provider,
        follow(provider, tmp_path, Recorder(), PERSIST, heartbeat=0.1) as client,
    ):
        poll_until(client, client.callback, "refresh_done")
        provider.settings.root_dse_flood = bare_entry("", {})
        with pytest.raises((ProtocolError, ldap.SERVER_DOWN), match=r"does not end|silent"):
            client.run()


def test_an_entry_that_is_found_without_end(tmp_path: Path) -> None:
    """verify() looks at what differs once more."""
    ending = [person(1), refresh_delete(b"c1")]
    with (
        Provider(ending, entries={NAMES[1]: [found(1, "other")] * 2}) as provider,
        follow(provider, tmp_path, Recorder(), PERSIST) as client,
    ):
        poll_until(client, client.callback, "refresh_done")
        provider.play_page(found(1, "other"), page_end())
        with pytest.raises(ProtocolError, match="more than the one entry"):
            client.verify()


class Stops:
    """The marks of a refresh: asks for a stop as soon as the first is made."""

    def __init__(self, client: Syncrepl) -> None:
        self._client = client
        self._seen: Any = client.store.seen
        self.noted = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._seen, name)

    def mark_present(self, uuids: Iterable[bytes]) -> None:
        self._note(self._seen.mark_present, uuids)

    def mark_deleted(self, uuids: Iterable[bytes]) -> None:
        self._note(self._seen.mark_deleted, uuids)

    def _note(self, method: Any, uuids: Iterable[bytes]) -> None:
        self._client.please_stop()
        uuids = list(uuids)
        self.noted += len(uuids)
        method(uuids)


MANY = [uuid(number) for number in range(1, 100_001)]


@pytest.mark.parametrize("deletes", [False, True])
@pytest.mark.parametrize("store", ["sqlite", "shelve", "memory"])
def test_a_set_of_many_is_given_up_for_a_stop(store: str, deletes: bool, tmp_path: Path) -> None:
    script: list[Item] = [idset(MANY, deletes), done(deletes=deletes, cookie=b"c2")]
    begin = [person(1), person(2), done(deletes=True, cookie=b"c1")]
    with Provider(begin, script) as provider:
        with follow(provider, tmp_path, Recorder(), REFRESH_ONLY, store=store) as client:
            client.run()
        with follow(provider, tmp_path, Recorder(), PERSIST, store=store) as client:
            before = client.callback.mirror = contents(client)
            assert client._searches.search is not None
            stops = Stops(client)
            client._searches.search.sync._seen = stops
            while client.poll(10):
                pass
            assert 0 < stops.noted <= 10_000
            assert contents(client) == before
            assert client.callback.changes == []
            assert client.store.origin.cookie == (None if store == "memory" else b"c1")


def test_a_set_of_many_deletes_in_the_persist_stage(tmp_path: Path) -> None:
    script: list[Item] = [person(1), person(2), refresh_delete(b"c1"), idset(MANY, deletes=True)]
    with (
        Provider(script) as provider,
        follow(provider, tmp_path, Recorder(), PERSIST) as client,
    ):
        poll_until(client, client.callback, "refresh_done")
        assert client._searches.search is not None
        view, counted = client._searches.search.sync._view, itertools.count(1)

        def get(identity: bytes) -> Any:
            if next(counted) == 10:
                client.please_stop()
            return client.store.get(identity)

        stopping = type("View", (), {"__getattr__": lambda self, name: getattr(view, name)})()
        stopping.get = get
        client._searches.search.sync._view = stopping
        while client.poll(10):
            pass
        assert 10 < next(counted) <= 10_000
        assert list(contents(client)) == [NAMES[1], NAMES[2]]
