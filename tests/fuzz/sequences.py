# SPDX-License-Identifier: BSD-3-Clause
"""Whatever a server says, in whatever order: the mirror is legal, and equals the store.

Beside the protocol runs a model of what a refresh may take away, made of RFC 4533 and of the
table in the documentation, which knows of DNs only which are in the scope.
"""

from __future__ import annotations

import re
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Callable

import ldap

from syncrepl_client.changes import Phase
from syncrepl_client.entries import attributes, dn
from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.exceptions import ProtocolError
from syncrepl_client.protocol.extent import Extent
from syncrepl_client.protocol.facts import Fact, RefreshDone, Request, StartOver
from syncrepl_client.protocol.messages import (
    Done,
    Entry,
    IdSet,
    Message,
    NewCookie,
    PhaseEnd,
    Reference,
    RefreshRequired,
    State,
)
from syncrepl_client.protocol.placement import Step
from syncrepl_client.protocol.synchronization import Synchronization
from syncrepl_client.protocol.transitions import TRANSITIONS
from syncrepl_client.store import MemoryStore, Origin, SQLiteStore, Store
from tests.fuzz import clients
from tests.fuzz.engines import rounds
from tests.fuzz.messages import BASE, UUIDS, Case, Search, cases
from tests.unit.driver import Mirror


def event(message: Message) -> str:
    """What TRANSITIONS calls a message."""
    if isinstance(message, (Entry, Reference)):
        return {State.PRESENT: "present", State.DELETE: "gone"}.get(message.state, "entry")
    if isinstance(message, IdSet):
        return "gone" if message.deletes else "present"
    if isinstance(message, NewCookie):
        return "newcookie"
    if isinstance(message, PhaseEnd):
        if message.done:
            return "refreshDone"
        return "refreshDelete" if message.deletes else "refreshPresent"
    return "searchResultDone" if isinstance(message, Done) else "e-syncRefreshRequired"


def _has_no_control(message: Message) -> bool:
    # Tuples of two kinds may be equal, so the kind is asked for.
    return isinstance(message, Done) and message.control is None


def _outside(entry: Entry, subtree: bool) -> bool:
    *below, base = entry.dn.lower().split(",")
    return base != BASE or not (subtree or len(below) == 1)


def _hidden(entry: Entry) -> bool:
    """Say whether it is what 389-ds keeps from searches: a subentry, or a tombstone."""
    return entry.dn.startswith("nsUniqueId=") or "objectClass" in entry.attrs


_MADE_BY = {
    "OpenLDAP": re.compile(rb"rid=\d+,(sid=\d+,)?csn=\d{14}\.\d{6}Z#\d{6}#\d{3}#\d{6}.*"),
    "389-ds": re.compile(rb"\w+:\d+#.*#\d"),
}


def _kind(cookie: bytes | None) -> str | None:
    """Say which kind of server makes such cookies."""
    return next((kind for kind, form in _MADE_BY.items() if form.fullmatch(cookie or b"")), None)


def _cookie(message: Message) -> bytes | None:
    if isinstance(message, RefreshRequired):
        return None
    if isinstance(message, Done):
        return None if message.control is None else message.control.cookie
    return message.cookie


class Model:
    """What a refresh has named so far, and so what its end may take away."""

    def __init__(self, request: Request, subtree: bool) -> None:
        self.request = request
        self.subtree = subtree
        self.words: dict[bytes, str] = {}
        self.kind = request.dialect.name
        self.stranger = False
        self.present_seen = False
        self.prune = False

    def read(self, cookie: bytes | None) -> None:
        """See by a *cookie* of the refresh whose it is.

        Each kind of server has rules of its own for what an answer means.  One that the root DSE
        does not show is known by its first cookie.  An answer of another kind of server than the
        one that was asked, or that made the last cookie, can't be read by the rules: it counts
        for nothing at its end.
        """
        kind = _kind(cookie)
        asked = _kind(self.request.cookie)
        if cookie and asked is not None:
            self.stranger |= kind != asked
        if kind is not None:
            if self.kind == "other" and not self.stranger:
                self.kind = kind
            self.stranger |= kind != self.kind

    def hear(self, message: Message, held: set[bytes], cookie: bytes | None) -> None:
        if isinstance(message, Entry) and not self.answers(message):
            if message.uuid in held:
                self._word(message.uuid, "present")
        elif isinstance(message, (Entry, Reference)):
            self._one(message, held)
        elif isinstance(message, IdSet):
            self.present_seen |= bool(message.uuids) and not message.deletes
            for uuid in message.uuids:
                self._word(uuid, "gone" if message.deletes else "present")
        elif isinstance(message, PhaseEnd) and not message.done and not message.deletes:
            self.prune = self.prunes(False, cookie)

    def answers(self, entry: Entry) -> bool:
        """Say whether what is said of *entry* is part of the answer."""
        if entry.state is State.DELETE:
            return True
        hidden = self.kind == "389-ds" and _hidden(entry)
        return not hidden and not _outside(entry, self.subtree)

    def completed(self, message: Entry, stored: Attributes) -> Attributes:
        """Return the attributes that an entry has by a message of the refresh.

        A resume of 389-ds has no operational ones, so those that are stored stay.
        """
        resumed = self.request.cookie is not None and self.request.dialect.name == "389-ds"
        kept = {name: stored[name] for name in ("entryDN",) if resumed and name in stored}
        return {**kept, **message.attrs}

    def _one(self, message: Entry | Reference, held: set[bytes]) -> None:
        placed = message.state in (State.ADD, State.MODIFY) or (
            isinstance(message, Entry) and message.state is State.PRESENT and message.uuid in held
        )
        self.present_seen |= message.state is State.PRESENT
        word = "gone" if message.state is State.DELETE else "placed" if placed else "present"
        self._word(message.uuid, word)

    def _word(self, uuid: bytes, word: str) -> None:
        if word == "present":
            self.words.setdefault(uuid, word)
        else:
            self.words[uuid] = word

    def prunes(self, deletes: bool, cookie: bytes | None) -> bool:
        if self.request.cookie is None:
            return True
        if deletes:
            return False
        silence = self.kind == "OpenLDAP" and cookie != self.request.cookie
        return self.present_seen or silence

    def leavers(self, held: set[bytes], deletes: bool, cookie: bytes | None) -> set[bytes]:
        prune = self.prune or self.prunes(deletes, cookie)
        return {uuid for uuid in held if self.words.get(uuid, "gone" if prune else "") == "gone"}

    def never_sent(self, held: set[bytes]) -> bool:
        return any(word == "present" and uuid not in held for uuid, word in self.words.items())


class Follower:
    """Applies what the protocol says to a store and a mirror, as the client does."""

    def __init__(self, case: Case, store: Store) -> None:
        self.case = case
        self.store = store
        self.mirror = Mirror(store.key)
        self.must_start_over = False

    def held(self) -> set[bytes]:
        return {uuid for uuid in UUIDS if self.store.get(uuid) is not None}

    def run(self, search: Search) -> None:
        """Search, and hear until it is over, must start over, or breaks the law."""
        afresh = search.afresh or self.must_start_over
        cookie = None if afresh else self.store.origin.cookie
        scope = ldap.SCOPE_SUBTREE if self.case.subtree else ldap.SCOPE_ONELEVEL
        extent = Extent(dn.key(BASE), scope).at(self.case.dialect)
        request = Request(self.case.dialect, extent, cookie)
        self.sync = Synchronization(request, self.store, self.store.seen)
        self.model = Model(request, self.case.subtree)
        self.must_start_over = False
        for message in search.messages:
            if self._illegal(message) and self.case.lawful:
                continue
            if not self._hear(message) or self.must_start_over or self.sync.phase is Phase.OVER:
                return
            self._idle()
            if self.must_start_over:
                return

    def _illegal(self, message: Message) -> bool:
        return (self.sync.phase, event(message)) not in TRANSITIONS

    def _refusable(self, message: Message) -> bool:
        """Say whether a message is refused that TRANSITIONS has."""
        if isinstance(message, Entry) and message.state is not State.DELETE:
            return "=" not in message.dn
        if not self.sync.refreshing or self.sync.request.cookie is not None:
            return self.sync.refreshing and _has_no_control(message)
        if isinstance(message, RefreshRequired) or _has_no_control(message):
            return True
        ends = isinstance(message, Done) or (isinstance(message, PhaseEnd) and message.done)
        return ends and not self.model.stranger and self.model.never_sent(self.held())

    def _hear(self, message: Message) -> bool:
        """Apply one message in a transaction; say whether the protocol took it."""
        ends = isinstance(message, (PhaseEnd, Done))
        if ends and self.sync.refreshing:
            self.model.read(_cookie(message))
        expected = self._illegal(message) or self._refusable(message)
        before, held, refreshing = self.mirror.copy(), self.held(), self.sync.refreshing
        expects = self._expected(message)
        self.store.begin()
        try:
            done = self._apply(message)
        except ProtocolError as error:
            if not expected:
                raise AssertionError(f"{message} is legal") from error
            self.store.rollback()
            self.mirror = before
            self._check_equal()
            return False
        assert not expected, f"{message} was taken"
        self._check_placed(message, held, expects)
        if refreshing:
            self._check_taken_away(message, held, done)
            if not ends:  # what an entry is depends on the cookies before it
                self.model.read(_cookie(message))
        self._commit()
        return True

    def _apply(self, message: Message) -> bool:
        """Apply the facts one by one; say whether the refresh was done."""
        done = False
        with closing(self.sync.receive(message)) as facts:
            for fact in facts:
                done |= isinstance(fact, RefreshDone)
                self._take(fact)
                if self.must_start_over:
                    break
        return done

    def _take(self, fact: Fact) -> None:
        if isinstance(fact, StartOver):
            self.must_start_over = True
        elif isinstance(fact, RefreshDone):
            assert not self.store.has_displaced()
        elif isinstance(fact, Step):
            if fact.change is not None:
                self.mirror.apply(fact.change)
            if fact.record is None:
                self.store.remove(fact.uuid)
            else:
                assert fact.record.uuid == fact.uuid
                self.store.put(fact.record)
            self._check_equal()

    def _idle(self) -> None:
        for fact in self.sync.idle():
            self._take(fact)

    def _commit(self) -> None:
        origin = None
        if self.must_start_over:
            origin = self.store.origin._replace(cookie=None)
        elif not self.sync.refreshing:
            origin = Origin(self.sync.cookie, self.case.dialect.name, "url")
        self.store.commit(origin)

    def _check_equal(self) -> None:
        live = {each.dn: attributes.decode(each.attrs) for each in self.store.live()}
        assert live == self.mirror.entries, "the store and the mirror differ"
        records = filter(None, map(self.store.get, UUIDS))
        references = {each.uuid for each in records if dn.is_reference(each.key)}
        assert references == {uuid.bytes for uuid in self.mirror.references}

    def _expected(self, message: Message) -> Attributes:
        """Return the attributes that an entry is to have after its message."""
        if not isinstance(message, Entry):
            return {}
        record = self.store.get(message.uuid)
        if record is None or not self.sync.refreshing:
            return message.attrs
        return self.model.completed(message, attributes.decode(record.attrs))

    def _check_placed(self, message: Message, held: set[bytes], expects: Attributes) -> None:
        """See that an entry is where its message said, as it said."""
        if not isinstance(message, Entry) or message.state is State.DELETE:
            return
        if self.must_start_over or not self.model.answers(message):
            return
        record = self.store.get(message.uuid)
        if message.state is not State.PRESENT:
            assert record is not None
            assert attributes.same(attributes.decode(record.attrs), expects)
        if record is not None and (message.state is not State.PRESENT or message.uuid in held):
            assert (record.key, record.dn) == (self.store.key(message.dn), message.dn)

    def _check_taken_away(self, message: Message, held: set[bytes], done: bool) -> None:
        cookie, now = self.sync.cookie, self.held()
        if done:
            assert not self.model.stranger, "the answer of another kind of server was believed"
            deletes = isinstance(message, PhaseEnd) and message.deletes
            if isinstance(message, Done) and message.control is not None:
                deletes = message.control.deletes
            assert now == held - self.model.leavers(held, deletes, cookie), "wrongly pruned"
        elif self.sync.refreshing and not self.must_start_over:
            assert now >= held, "something was taken away before the end of the refresh"
        if isinstance(message, RefreshRequired):
            assert now == held
        self.model.hear(message, held, cookie)


def follow(case: Case, store: Store) -> None:
    """Run all searches of a case over one store."""
    store.create()
    follower = Follower(case, store)
    for search in case.searches:
        follower.run(search)


def in_memory(case: Case) -> None:
    follow(case, MemoryStore())


def in_sqlite(case: Case) -> None:
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="fuzz-"))
        follow(case, stack.enter_context(closing(SQLiteStore(str(Path(name, "store"))))))


CHECKS: dict[str, Callable[[Case], None]] = {
    "memory": in_memory,
    "sqlite": in_sqlite,
    "client": clients.follow,
}


def run(name: str, seconds: float, seed: int | None) -> str:
    """Draw cases for so long."""
    return rounds(name, CHECKS[name], cases(), seconds, seed)
