# SPDX-License-Identifier: BSD-3-Clause
"""A refresh of a server that lags, or may lag: nothing that it leaves out is deleted."""

from __future__ import annotations

from typing import Any

import pytest

from syncrepl_client.entries import dn
from syncrepl_client.exceptions import LaggingServer
from syncrepl_client.protocol.dialect import DS389, OPENLDAP, Dialect
from syncrepl_client.protocol.extent import Extent
from syncrepl_client.protocol.facts import Fact, Request, StartOver
from syncrepl_client.protocol.knowledge import Knowledge, of_cookie
from syncrepl_client.protocol.messages import (
    Done,
    Entry,
    IdSet,
    Message,
    PhaseEnd,
    RefreshRequired,
    State,
    SyncDone,
)
from syncrepl_client.protocol.placement import Step
from syncrepl_client.protocol.synchronization import Synchronization
from syncrepl_client.store import MemoryStore

BASE = "dc=example,dc=com"


def uuid(number: int) -> bytes:
    return number.to_bytes(16, "big")


def entry(number: int, name: int | None = None) -> Entry:
    return Entry(State.ADD, uuid(number), f"uid=u{name or number},{BASE}", {"uid": [b"u"]})


def csns(**times: str) -> bytes:
    return b"rid=000,csn=" + b";".join(
        f"{time}.000000Z#000000#{sid[1:]}#000000".encode() for sid, time in sorted(times.items())
    )


OLD, NEW = csns(_001="20261128190801"), csns(_001="20261128190802")


class Store:
    """A store with two entries, as it is searched anew."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.store.create()
        self.search(OPENLDAP)
        self.hear(entry(1), entry(2), PhaseEnd(deletes=True, cookie=NEW))

    def search(self, dialect: Dialect, **request: Any) -> None:
        asked = Request(dialect, Extent(dn.key(BASE)), **request)
        self.sync = Synchronization(asked, self.store, self.store.seen)

    def hear(self, *messages: Message) -> list[Fact]:
        """Apply what the messages mean."""
        facts = []
        for message in messages:
            self.store.begin()
            try:
                for fact in self.sync.receive(message):
                    facts.append(fact)
                    if isinstance(fact, Step) and fact.record is not None:
                        self.store.put(fact.record)
                    elif isinstance(fact, Step):
                        self.store.remove(fact.uuid)
            except BaseException:
                self.store.rollback()
                raise
            self.store.commit()
        return facts

    def lags(self, *messages: Message, said: str) -> None:
        with pytest.raises(LaggingServer, match=said):
            self.hear(*messages)
        assert len(self.store) == 2


KNOWN = of_cookie(NEW)


def refresh_delete(cookie: bytes) -> Message:
    return PhaseEnd(deletes=True, cookie=cookie)


def sync_done(cookie: bytes) -> Message:
    return Done(SyncDone(deletes=True, cookie=cookie))


ENDS = pytest.mark.parametrize("end", [refresh_delete, sync_done])


@ENDS
@pytest.mark.parametrize("cookie", [None, NEW])
def test_the_final_cookie_is_older(end: Any, cookie: bytes | None) -> None:
    store = Store()
    store.search(OPENLDAP, cookie=cookie, stored=KNOWN)
    store.lags(entry(1), end(OLD), said="server ID 001 up to 20261128190801")


@ENDS
def test_a_present_phase_of_a_server_that_lacks_another_ones_changes(end: Any) -> None:
    """It has a change of its own, so that it has something to say."""
    store = Store()
    store.search(OPENLDAP, cookie=NEW, stored=KNOWN)
    newer = csns(_001="20261128190801", _002="20261128190803")
    store.lags(IdSet((uuid(1),)), end(newer), said="server ID 001")


def test_a_server_that_has_caught_up_is_believed() -> None:
    store = Store()
    store.search(OPENLDAP, stored=KNOWN, doubt="it lagged")
    store.hear(entry(1), PhaseEnd(True, cookie=NEW))
    assert len(store.store) == 1


def test_a_server_that_is_to_be_believed_is() -> None:
    store = Store()
    store.search(OPENLDAP)
    store.hear(entry(1), PhaseEnd(True, cookie=OLD))
    assert len(store.store) == 1


def test_a_refused_cookie() -> None:
    refusal = RefreshRequired("consumer state is newer")
    store = Store()
    store.search(OPENLDAP, cookie=NEW, stored=KNOWN)
    store.lags(refusal, said="consumer state is newer")
    store.search(OPENLDAP, cookie=NEW)
    assert store.hear(refusal) == [StartOver("consumer state is newer", alarming=True)]
    store.search(OPENLDAP, cookie=NEW, stored=KNOWN)
    assert store.hear(RefreshRequired()) != []  # which any server may answer


def test_a_provider_without_a_state() -> None:
    """It has no contextCSN yet, and answers as if it were empty."""
    store = Store()
    store.search(OPENLDAP, stored=Knowledge())
    store.lags(Done(SyncDone(True)), said="no state")
    store.search(OPENLDAP, cookie=NEW, stored=KNOWN)
    store.hear(Done(SyncDone(True)))  # nothing changed
    assert len(store.store) == 2


@pytest.mark.parametrize(
    ("dialect", "cookie"),
    [(OPENLDAP, b"rid=000"), (DS389, b"h:1#a:b:c#3")],
    ids=["OpenLDAP", "389-ds"],
)
def test_a_doubt_is_no_delete(dialect: Dialect, cookie: bytes) -> None:
    """Neither of what is missing, nor of what is in the way; all else is believed."""
    store = Store()
    store.search(dialect, stored=Knowledge(), doubt="nobody knows")
    store.lags(entry(1), PhaseEnd(False, cookie=cookie), said="nobody knows")
    store.search(dialect, stored=Knowledge(), doubt="nobody knows")
    store.lags(entry(3, name=2), said="nobody knows")
    store.search(dialect, stored=Knowledge(), doubt="nobody knows")
    store.hear(entry(1), entry(2), entry(3), PhaseEnd(False, cookie=cookie))
    assert len(store.store) == 3
    store.hear(Entry(State.DELETE, uuid(3), "", {}))  # the persist stage is in order
    assert len(store.store) == 2
