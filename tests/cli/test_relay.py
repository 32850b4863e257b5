# SPDX-License-Identifier: BSD-3-Clause
"""One callback that hands on to several."""

from __future__ import annotations

import io
from uuid import UUID

from syncrepl_client import Change, ChangeKind, LDIFCallback, Phase, attributes, dn
from syncrepl_client.cli.relay import Relay
from syncrepl_client.messages import Attributes
from syncrepl_client.store import MemoryStore, Origin
from syncrepl_client.view import Record
from tests.faults.recorder import Recorder
from tests.unit.test_ldifcallback import dns

ATTRS: Attributes = {"objectClass": [b"organization"], "o": [b"x"]}
ADD = Change(ChangeKind.ADD, UUID(int=1), Phase.REFRESH, None, "o=x", None, ATTRS)


def test_each_hears_of_everything() -> None:
    ticks: list[int] = []
    first, second = Recorder(), Recorder()
    relay = Relay([first, second], lambda: ticks.append(1))
    relay.dispatch(ADD)
    relay.refresh_done({"o=x": ATTRS})
    relay.before_commit()
    assert first.heard == second.heard
    assert first.kinds == ["add", "refresh_done", "commit"]
    assert (relay.heard, ticks) == (1, [1])


def test_what_is_old_is_passed_over() -> None:
    recorder = Recorder()
    relay = Relay([recorder], lambda: None, only_new=True)
    relay.dispatch(ADD)
    relay.before_commit()
    relay.refresh_done({"o=x": ATTRS})
    relay.before_commit()
    relay.dispatch(ADD)
    assert recorder.changes == [("add", "o=x")]


def test_what_is_rolled_back_is_not_written() -> None:
    stream, store = io.StringIO(), MemoryStore()
    store.create()
    store.begin()
    store.commit(Origin(url="ldap://localhost/o=x?*?sub"))
    callback = LDIFCallback(stream)
    callback.arrange(store)
    relay = Relay([callback], lambda: None)
    for turn in range(2):
        relay.debug("searching with no cookie")
        store.begin()
        relay.dispatch(ADD)
        store.put(Record(bytes(16), dn.key("o=x"), "o=x", attributes.encode(ATTRS)))
        if turn == 0:
            store.rollback()
    relay.before_commit()
    store.commit()
    assert dns(stream.getvalue()) == ["o=x"]
