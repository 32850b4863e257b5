# SPDX-License-Identifier: BSD-3-Clause
"""An entry as python-ldap hands it over is prepared as its message is, whatever came before it."""

from __future__ import annotations

import copy

import pytest

from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.entries.dn import key
from syncrepl_client.entries.schema import AttributeTypes
from syncrepl_client.entries.selection import Selection
from syncrepl_client.exceptions import ProtocolError
from syncrepl_client.protocol import wire
from syncrepl_client.protocol.dialect import DS389, OPENLDAP
from syncrepl_client.protocol.extent import Extent
from syncrepl_client.protocol.facts import Plain, Request
from syncrepl_client.protocol.messages import Entry, State
from syncrepl_client.protocol.synchronization import Synchronization
from syncrepl_client.store import MemoryStore
from tests.servers.scripted import sync_state
from tests.unit.driver import uid

DN = "cn=Eva,dc=x"
ATTRS: Attributes = {"objectClass": [b"top", b"person"], "cn": [b"Eva"], "sn": [b"Ek"]}
DOUBLED = {**ATTRS, "sn": [b"Ek", b"Ek"]}


def started() -> Synchronization:
    store = MemoryStore()
    store.create()
    store.begin()
    return Synchronization(Request(OPENLDAP, Extent(key("dc=x"))), store, store.seen)


def control(state: int = State.ADD, cookie: bytes | None = None) -> wire.RawControl:
    return wire.SYNC_STATE, 0, sync_state(state, uid(1), cookie)


def come(
    sync: Synchronization, name: str, attrs: Attributes, *controls: wire.RawControl
) -> Plain | Entry:
    return sync.preparation.entry(name, copy.deepcopy(attrs), controls)


@pytest.mark.parametrize("known", [False, True], ids=["of a new shape", "of a known shape"])
@pytest.mark.parametrize(
    ("name", "attrs", "state", "cookie"),
    [
        (DN, ATTRS, State.ADD, None),
        (DN, ATTRS, State.MODIFY, b"rid=000,csn=x"),
        (DN, DOUBLED, State.ADD, None),
        (DN, {**ATTRS, "cn": [b"a\0b"]}, State.ADD, None),
        (DN, ATTRS, State.DELETE, None),
        (DN, ATTRS, State.PRESENT, None),
        ("cn=Eva,dc=y", ATTRS, State.ADD, None),
        ("no DN", ATTRS, State.ADD, None),
        ("", ATTRS, State.ADD, None),
    ],
)  # fmt: skip
def test_as_its_message(
    name: str, attrs: Attributes, state: State, cookie: bytes | None, known: bool
) -> None:
    sync = started()
    if known:
        come(sync, DN, ATTRS, control())
    found = come(sync, name, attrs, control(state, cookie))
    message = wire.entry(name, copy.deepcopy(attrs), [control(state, cookie)])
    assert found == started().preparation.prepared(message)
    assert (found.message if isinstance(found, Plain) else found) == message


@pytest.mark.parametrize("known", [False, True], ids=["of a new shape", "of a known shape"])
@pytest.mark.parametrize(
    ("attrs", "controls", "what"),
    [
        (ATTRS, [], "without its Sync State Control"),
        (ATTRS, [("1.2.3", 0, control()[2])], "without its Sync State Control"),
        (ATTRS, [(wire.SYNC_STATE, 0, b"\x30\x00")], "malformed Sync State Control: .*cn=Eva"),
        ({**ATTRS, "sn": []}, [control()], "without values"),
        ({**ATTRS, "sn\n": [b"a"]}, [control()], "no schema allows"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_refused(
    attrs: Attributes, controls: list[wire.RawControl], what: str, known: bool
) -> None:
    sync = started()
    if known:
        come(sync, DN, ATTRS, control())
    with pytest.raises(ProtocolError, match=what):
        come(sync, DN, attrs, *controls)


def test_its_control_is_found_among_others() -> None:
    others = [("1.2.3", 0, b""), control(), ("1.2.4", 1, None)]
    assert come(started(), DN, ATTRS, *others) == come(started(), DN, ATTRS, control())


def test_what_is_hidden_is_seen_by_what_is_not_selected() -> None:
    """389-ds sends the object class, which was asked for to see what a search does not find."""
    extent = Extent(key("dc=x"), hidden=frozenset(("ldapsubentry",)))
    store = MemoryStore()
    store.create()
    store.begin()
    request = Request(DS389, extent, selection=Selection(["cn"], AttributeTypes()))
    sync = Synchronization(request, store, store.seen)
    entry = {"cn": [b"Eva"], "objectClass": [b"top", b"person"]}
    for _ in range(2):
        found = come(sync, DN, entry, control())
        assert isinstance(found, Plain)
        assert found.attrs == {"cn": [b"Eva"]}
        hidden = {**entry, "objectClass": [b"top", b"ldapSubEntry"]}
        assert isinstance(come(sync, DN, hidden, control()), Entry)
