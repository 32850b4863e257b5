# SPDX-License-Identifier: BSD-3-Clause
"""Feeds messages to the protocol, applies its answers to a store as the client does.

Beside the store a mirror is kept, by DN, from the changes alone.  It refuses what can't be
applied one by one, and must equal the store whenever a refresh is done.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Callable
from uuid import UUID

import ldap

from syncrepl_client.changes import Change, ChangeKind
from syncrepl_client.entries import dn
from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.entries.schema import AttributeTypes
from syncrepl_client.entries.selection import Selection
from syncrepl_client.protocol.dialect import OTHER, Dialect
from syncrepl_client.protocol.extent import Extent
from syncrepl_client.protocol.facts import Fact, NotTaken, RefreshDone, Request, Scanned, StartOver
from syncrepl_client.protocol.messages import (
    Done,
    Entry,
    IdSet,
    Message,
    PhaseEnd,
    Reference,
    State,
    SyncDone,
)
from syncrepl_client.protocol.placement import Step
from syncrepl_client.protocol.synchronization import Synchronization
from syncrepl_client.store import MemoryStore, Origin, Store

BASE = "dc=x"


def uid(number: int) -> bytes:
    return number.to_bytes(16, "big")


def entry(
    number: int,
    name: str | None = None,
    state: State = State.ADD,
    cookie: bytes | None = None,
    **attrs: str,
) -> Entry:
    """Make an entry: its DN is *name* below the base, ``cn=NUMBER`` if that is None."""
    rdn = f"cn={number}" if name is None else name
    values = {key: [value.encode()] for key, value in attrs.items()}
    return Entry(state, uid(number), f"{rdn},{BASE}", values, cookie)


def reference(number: int, *urls: str, state: State = State.ADD) -> Reference:
    return Reference(state, uid(number), urls)


def present(*numbers: int, cookie: bytes | None = None) -> IdSet:
    return IdSet(tuple(map(uid, numbers)), False, cookie)


def gone(*numbers: int, cookie: bytes | None = None) -> IdSet:
    return IdSet(tuple(map(uid, numbers)), True, cookie)


def done(*, deletes: bool, cookie: bytes | None = None) -> Done:
    """End a refreshOnly search."""
    return Done(SyncDone(deletes, cookie))


def persist(*, deletes: bool = True, cookie: bytes | None = None) -> PhaseEnd:
    """End the refresh stage of a refreshAndPersist search."""
    return PhaseEnd(deletes, True, cookie)


def csn(number: int, sid: int = 1) -> bytes:
    return b"20261123120000.%06dZ#000000#%03x#000000" % (number, sid)


def slapd_cookie(*csns: bytes, sid: int = 1) -> bytes:
    return b"rid=000,sid=%03x,csn=%s" % (sid, b";".join(csns))


def kept(*csns: bytes) -> bytes:
    """What is kept of such a cookie."""
    return b"rid=000,csn=" + b";".join(csns)


def numbered(number: int) -> bytes:
    """Make a cookie of 389-ds's."""
    return b"h:389#cn=dm:dc=x:(cn=a#b)#%d" % number


class Mirror:
    """What a callback knows, and nothing else; no two entries have one key."""

    def __init__(self, key: Callable[[str], bytes] = dn.key) -> None:
        self.key = key
        self.entries: dict[str, Attributes] = {}
        self.references: dict[UUID, Attributes] = {}

    def copy(self) -> Mirror:
        copied = Mirror(self.key)
        copied.entries, copied.references = dict(self.entries), dict(self.references)
        return copied

    def by_dn(self) -> dict[str, Attributes]:
        return dict(self.entries)

    def apply(self, change: Change) -> str:
        """Apply *change*, say in words what it was."""
        if change.kind is ChangeKind.REFERENCE:
            return self._reference(change)
        if change.old_dn is not None:
            assert change.old_attrs is not None
            held = self.entries.pop(change.old_dn, None)
            assert held == change.old_attrs, f"{change} of what is not there"
        if change.new_dn is not None:
            assert change.new_attrs is not None
            key = self.key(change.new_dn)
            assert key not in map(self.key, self.entries), f"{change} onto an existing entry"
            self.entries[change.new_dn] = change.new_attrs
        return _in_words(change)

    def _reference(self, change: Change) -> str:
        assert (change.old_dn, change.new_dn) == (None, None)
        assert self.references.pop(change.uuid, None) == change.old_attrs
        if change.new_attrs is not None:
            self.references[change.uuid] = change.new_attrs
        return f"reference {_urls(change.old_attrs)} -> {_urls(change.new_attrs)}"


def _urls(attrs: Attributes | None) -> list[str]:
    return [url.decode() for url in (attrs or {}).get("ref", ())]


def _in_words(change: Change) -> str:
    kind, old, new = change.kind, _short(change.old_dn), _short(change.new_dn)
    if kind is ChangeKind.ADD:
        assert (change.old_dn, change.old_attrs) == (None, None)
        return f"add {new}"
    if kind is ChangeKind.DELETE:
        assert (change.new_dn, change.new_attrs) == (None, None)
        return f"delete {old}"
    if kind is ChangeKind.MODIFY:
        assert change.old_dn == change.new_dn
        assert change.attrs_changed
        return f"modify {new}"
    assert kind is ChangeKind.RENAME
    assert change.old_dn != change.new_dn
    return f"rename {old} -> {new}" + (" and modify" if change.attrs_changed else "")


def _short(name: str | None) -> str:
    return (name or "").replace(f",{BASE}", "")


class Driver:
    """A store, a mirror, and one search after the other.

    Attributes:
        store: a MemoryStore, unless another was handed over.
        mirror: what callbacks would have made of the changes.
        reason: why the last search must start over; None if it need not.
    """

    def __init__(
        self,
        dialect: Dialect = OTHER,
        *,
        store: Store | None = None,
        scope: int = ldap.SCOPE_SUBTREE,
        requested: Sequence[str] = ("*", "+"),
        types: AttributeTypes | None = None,
    ) -> None:
        self.dialect = dialect
        self.extent = Extent(dn.key(BASE), scope).at(dialect)
        self.selection = Selection(requested, types, literal=dialect.selects_literally)
        self.store: Store = MemoryStore() if store is None else store
        self.existing: set[bytes] = set()
        """What another search finds at the end of a refresh, though that did not name it."""
        self.store.create()
        self.mirror = Mirror(self.store.key)
        self.search()

    def search(self, *, afresh: bool = False) -> None:
        """Begin a search, with the committed cookie unless it is to be *afresh*."""
        self.reason: str | None = None
        self.sync = Synchronization(
            Request(
                self.dialect,
                self.extent,
                None if afresh else self.store.origin.cookie,
                self.selection,
            ),
            self.store,
            self.store.seen,
        )

    def feed(self, *messages: Message) -> list[str]:
        """Apply what *messages* mean, each committed on its own; return it in words."""
        said: list[str] = []
        for message in messages:
            assert self.reason is None, "the search must start over"
            before = self.mirror.copy()
            self.store.begin()
            try:
                with contextlib.closing(self.sync.receive(message)) as facts:
                    for fact in facts:
                        if isinstance(fact, Scanned):
                            found = [each for each in fact.unnamed if each.uuid in self.existing]
                            self.sync.still_there([each.uuid for each in found])
                            continue
                        said.append(self._apply(fact))
                        if self.reason is not None:
                            break
            except BaseException:
                self.store.rollback()
                self.mirror = before
                raise
            self.store.commit(
                None if self.sync.refreshing else Origin(self.sync.cookie, self.dialect.name, "url")
            )
        return said

    def idle(self) -> list[str]:
        return [self._apply(fact) for fact in self.sync.idle()]

    def initial(self, *entries: Message, cookie: bytes = b"start") -> None:
        """Fill the empty store, end in the persist stage, and search again with the cookie."""
        self.feed(*entries, persist(cookie=cookie))
        self.search()

    @property
    def cookie(self) -> bytes | None:
        return self.store.origin.cookie

    @property
    def names(self) -> list[str]:
        return sorted(map(_short, self.mirror.by_dn()))

    def _apply(self, fact: Fact) -> str:
        if isinstance(fact, Step):
            word = "nothing" if fact.change is None else self.mirror.apply(fact.change)
            if fact.record is None:
                self.store.remove(fact.uuid)
            else:
                assert fact.record.uuid == fact.uuid
                self.store.put(fact.record)
            return word
        if isinstance(fact, RefreshDone):
            assert self.mirror.by_dn() == dict(self.store.items().items())
            assert not self.store.has_displaced()
            return "refresh done"
        if isinstance(fact, NotTaken):
            return f"not taken {fact.dn}"
        if isinstance(fact, StartOver):
            self.reason = fact.reason
            return "start over"
        return "over"
