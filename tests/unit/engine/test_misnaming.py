# SPDX-License-Identifier: BSD-3-Clause
"""An entry that 389-ds names by an old DN is kept where its parent is; without a network."""

from __future__ import annotations

import logging
from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import pytest

from syncrepl_client.engine import misnaming
from syncrepl_client.engine.misnaming import Misnaming
from syncrepl_client.network.parentage import Place
from syncrepl_client.protocol.messages import Entry, State
from syncrepl_client.store import MemoryStore
from syncrepl_client.waiting import coroutines
from tests.contract.places import displaced, fill, record, reference

NEW, OLD = "ou=new,dc=x", "ou=old,dc=x"


def uid(number: int) -> bytes:
    return record(number).uuid


def told(number: int, name: str, state: State = State.ADD) -> Entry:
    return Entry(state, uid(number), name, {})


class Checked:
    """One search; *moved* are those that are not where the store has them, *shown* some DNs."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *moved: int, shown: dict[int, str] | None = None
    ) -> None:
        self.store = MemoryStore()
        self.store.create()
        fill(
            self.store,
            record(0, "dc=x"),
            record(1, NEW),
            record(2, f"ou=b,{NEW}"),
            record(3, f"cn=p,ou=b,{NEW}"),
            reference(4),
            displaced(5, "cn=5,dc=x"),
            record(6, "cn=6,ou=hidden,dc=x"),
        )
        self.asked: list[set[int]] = []
        names = {n: held.dn for n in range(9) if (held := self.store.get(uid(n)))}
        names.update(shown or {})
        self.shown, self.given = names, shown or {}
        above = {1: 0, 2: 1, 3: 2}

        def places(_: object, uuids: Collection[bytes]) -> dict[bytes, Place]:
            self.asked.append({number for number in range(10) if uid(number) in uuids})
            return {
                uid(number): Place(
                    names.get(number, ""), b"%d" % number,
                    b"elsewhere" if number in moved else b"%d" % above.get(number, 99),
                )
                for number in self.asked[-1]
            }  # fmt: skip

        monkeypatch.setattr(misnaming, "places", places)
        connection: Any = SimpleNamespace(url=SimpleNamespace(server="ldap://h"))
        self.misnaming = Misnaming(connection, self.store)

    def names(self, *messages: Entry, refreshing: bool = True) -> list[str]:
        """Check *messages* together; return the DNs that are believed.

        The server shows those entries as it did in the messages, but for those that were given.
        """
        for message in messages:
            self.shown.update({message.uuid[-1]: message.dn} | self.given)
        coroutines.run(self.misnaming.check(messages))
        return [self.corrected(message, refreshing=refreshing) for message in messages]

    def corrected(self, message: Entry, *, refreshing: bool = True) -> str:
        return coroutines.run(self.misnaming.corrected(message, refreshing=refreshing)).dn


def test_who_is_still_below_the_same_entry_is_where_that_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    search = Checked(monkeypatch, shown={2: f"ou=b,{OLD}"})
    assert search.names(told(2, f"ou=b,{OLD}"), told(3, f"cn=p,ou=b,ou=b,{OLD}")) == [
        f"ou=b,{NEW}",
        f"cn=p,ou=b,{NEW}",
    ]
    assert search.asked == [{0, 1, 2, 3}]
    caplog.set_level(logging.WARNING)
    search.misnaming.report()
    search.misnaming.report()
    [said] = caplog.records
    assert (said.levelname, said.__dict__["event"]) == ("WARNING", "misnamed")
    text = f"ldap://h shows 2 entries with an old DN, ou=b,{OLD} for example, which is ou=b,{NEW}"
    assert said.getMessage().startswith(text)


def test_its_own_rdn_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename of the entry itself is in the DN, wherever that says that it is."""
    search = Checked(monkeypatch)
    assert search.names(told(3, f"cn=q,ou=b,{OLD}")) == [f"cn=q,ou=b,{NEW}"]
    assert search.names(told(3, r"cn=q\, r,ou=b," + OLD)) == [rf"cn=q\, r,ou=b,{NEW}"]


def test_who_is_below_another_one_has_moved(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    search = Checked(monkeypatch, 3)
    assert search.names(told(3, "cn=p,ou=hidden,dc=x")) == ["cn=p,ou=hidden,dc=x"]
    assert search.asked == [{0, 1, 2, 3}]
    search.misnaming.report()
    assert not caplog.records


def test_a_child_that_comes_before_its_renamed_parent_is_not_misnamed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A refresh has it once: it must be right at once, the parent's message moves it no more."""
    search = Checked(monkeypatch, shown={2: "ou=c,ou=new,dc=x"})
    messages = told(3, "cn=p,ou=c,ou=new,dc=x"), told(2, "ou=c,ou=new,dc=x")
    assert search.names(*messages) == [message.dn for message in messages]
    search.misnaming.report()
    assert not caplog.records


def test_below_a_parent_that_is_renamed_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child has its old DN, and its parent a new RDN, and an old DN as well."""
    search = Checked(monkeypatch, shown={2: f"ou=c,{OLD}"})
    assert search.names(told(3, f"cn=p,ou=b,{OLD}")) == [f"cn=p,ou=c,{NEW}"]


def test_what_has_moved_since_the_message_is_not_misnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another entry may still be in the way there, until later messages have come."""
    far = "ou=b,ou=far,dc=x"
    search = Checked(monkeypatch, 2, shown={2: far, 3: f"cn=p,{far}"})
    for refreshing in (False, True):
        message = told(3, "cn=p,ou=c,dc=x")
        assert search.names(message, refreshing=refreshing) == [message.dn]


def test_in_the_persist_stage_it_is_where_the_store_has_its_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That goes on to where it is by now, and takes it along."""
    search = Checked(monkeypatch, shown={2: "ou=newer,dc=x"})
    message = told(3, f"cn=p,ou=b,{OLD}")
    assert search.names(message, refreshing=False) == [f"cn=p,ou=b,{NEW}"]


def test_below_a_parent_that_has_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Checked(monkeypatch, 2, shown={2: "ou=b,ou=far,dc=x"})
    assert search.names(told(3, f"cn=p,ou=b,{OLD}")) == ["cn=p,ou=b,ou=far,dc=x"]


@pytest.mark.parametrize(
    "message",
    [
        told(3, f"CN=P,ou=b,{NEW}"),  # another spelling
        told(3, f"cn=p,ou=b,{OLD}", State.DELETE),
        told(3, f"cn=p,ou=b,{OLD}", State.PRESENT),
        told(3, "no DN"),
        told(9, f"cn=9,ou=b,{OLD}"),  # not stored
        told(0, "dc=y"),  # the base: what is above it is not stored
        told(4, "cn=4,dc=x"),  # so far a reference
        told(5, f"cn=5,{OLD}"),  # whose place is not known
        told(6, f"cn=6,{OLD}"),  # below what is not stored
    ],
)
def test_what_need_not_be_asked(monkeypatch: pytest.MonkeyPatch, message: Entry) -> None:
    search = Checked(monkeypatch)
    assert search.names(message) == [message.dn]
    assert search.asked == [set()]


def test_an_entry_that_a_message_before_it_has_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the group was checked it was where it was said to be."""
    newer = "ou=b,ou=newer,dc=x"
    search = Checked(monkeypatch, 2, shown={2: newer})
    message = told(3, f"cn=p,ou=b,{NEW}")
    assert search.names(message) == [message.dn]
    assert search.asked == [set()]
    fill(search.store, record(2, newer), record(3, f"cn=p,{newer}"))
    search.store.begin()
    search.store.put(record(7, "ou=newer,dc=x"))
    assert search.corrected(message) == f"cn=p,{newer}"
    assert search.asked == [set(), {0, 2, 3, 7}]


def test_a_parent_that_is_gone_by_now(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Checked(monkeypatch)
    message = told(3, f"cn=p,ou=b,{OLD}")
    coroutines.run(search.misnaming.check([message]))
    search.store.begin()
    search.store.remove(uid(2))
    assert search.corrected(message) == message.dn
