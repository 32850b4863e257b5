# SPDX-License-Identifier: BSD-3-Clause
"""One callback that hands on to several."""

from __future__ import annotations

import io
from uuid import UUID

from syncrepl_client import Change, ChangeKind, LDIFCallback, Phase
from syncrepl_client.cli.fanout import FanOut
from syncrepl_client.entries import attributes, dn
from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.protocol.view import Record
from syncrepl_client.store import MemoryStore, Origin
from tests.faults.recorder import Recorder
from tests.unit.formats.test_ldifcallback import dns

ATTRS: Attributes = {"objectClass": [b"organization"], "o": [b"x"]}
ADD = Change(ChangeKind.ADD, UUID(int=1), Phase.REFRESH, None, "o=x", None, ATTRS)


def test_each_hears_of_everything() -> None:
    ticks: list[int] = []
    first, second = Recorder(), Recorder()
    fan_out = FanOut([first, second], lambda: ticks.append(1))
    fan_out.dispatch(ADD)
    fan_out.refresh_done({"o=x": ATTRS})
    fan_out.before_commit()
    assert first.heard == second.heard
    assert first.kinds == ["add", "refresh_done", "commit"]
    assert (fan_out.heard, ticks) == (1, [1])


def test_what_is_rolled_back_is_not_written() -> None:
    stream, store = io.StringIO(), MemoryStore()
    store.create()
    store.begin()
    store.commit(Origin(url="ldap://localhost/o=x?*?sub"))
    callback = LDIFCallback(stream)
    callback.arrange(store)
    fan_out = FanOut([callback], lambda: None)
    for turn in range(2):
        fan_out.debug("searching with no cookie")
        store.begin()
        fan_out.dispatch(ADD)
        store.put(Record(bytes(16), dn.key("o=x"), "o=x", attributes.encode(ATTRS)))
        if turn == 0:
            store.rollback()
    fan_out.before_commit()
    store.commit()
    assert dns(stream.getvalue()) == ["o=x"]
