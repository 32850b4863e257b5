# SPDX-License-Identifier: BSD-3-Clause
"""RFC 4533 from the client's side: messages in, facts out.  No I/O, no clock, no callback.

One :class:`Synchronization` is the state of one search.  It reads the store through
:class:`~.view.View`, and keeps the UUIDs of a refresh in the store's :class:`~.view.SeenUUIDs`, so
memory does not grow with the directory.  Facts are generated one by one: each must be applied to
the store before the next is asked for.
"""

from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from typing import Optional

from ..changes import Change, ChangeKind, Phase
from ..entries import attributes, dn
from ..entries.attributes import Attributes
from ..exceptions import LaggingServer, ProtocolError
from . import knowledge, transitions
from .changenumbers import ChangeNumbers
from .dialect import prunes
from .facts import Fact, NotTaken, Over, Plain, RefreshDone, Request, Scanned, StartOver, Underway
from .guard import Guard, Tally
from .latest import LatestCookie
from .messages import (
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
from .placement import Clock, Placement, Step, no_time
from .preparation import Preparation
from .view import Record, SeenUUIDs, View

_PORTION = 1024
"""The number of UUIDs that are marked at once; a set may have millions."""

_ADD = ChangeKind.ADD


def _portions(uuids: tuple[bytes, ...]) -> Iterator[tuple[bytes, ...]]:
    return (uuids[start : start + _PORTION] for start in range(0, len(uuids), _PORTION))


def _underway(portion: tuple[bytes, ...]) -> Iterator[Underway]:
    if len(portion) == _PORTION:
        yield Underway()


def _targets(attrs: Attributes) -> set[bytes]:
    """Return the URLs without the scope, which OpenLDAP adds in a refresh only."""
    return {url.partition(b"?")[0] for url in attrs["ref"]}


class Synchronization:
    """The state of one content synchronization search.

    Attributes:
        request: the search request; its dialect is that of the cookies received.
        refreshing: whether the search is in the refresh stage.
        preparation: prepares entries for :meth:`receive_plain`.
    """

    def __init__(
        self, request: Request, view: View, seen: SeenUUIDs, clock: Clock = no_time
    ) -> None:
        """Initialize in the refresh stage; clears *seen*.  *clock* gives the time of a change."""
        self.refreshing = True
        self._view = view
        self._seen = seen
        self._resume_mends = request.cookie is not None and request.dialect.resume_ignores_selection
        self.preparation = Preparation(request, view, mends=self._resume_mends)
        self._ask(request)
        self._placement = Placement(view, seen, clock=clock, respells=request.dialect.respells)
        self._guard = Guard(request.max_deletes, request.tally, view.__len__)
        self._doubt = request.doubt
        self._latest = LatestCookie(request.cookie, request.dialect)
        self._present_seen = False
        self._prune = False
        seen.clear()

    def _ask(self, request: Request) -> None:
        self.request = request
        self.preparation.excludes = request.extent.excludes
        self._numbers_changes = request.dialect.numbers_changes

    @property
    def phase(self) -> Phase:
        """The current phase."""
        return self._placement.phase

    @property
    def cookie(self) -> Optional[bytes]:
        """The cookie of everything received so far; not to be committed in the refresh stage.

        389-ds sends the final cookie of a refresh before the entries that it covers.
        """
        return self._latest.value

    @property
    def change_numbers(self) -> ChangeNumbers:
        """The change numbers of the persist stage (389-ds)."""
        return self._latest.change_numbers

    def allow_deletes(self) -> None:
        """Let the refresh delete whatever it has to."""
        self._guard.limit = None

    @property
    def tally(self) -> Optional[Tally]:
        """What the next search must know of this refresh, should it not come to its end."""
        return self._guard.tally if self.refreshing else None

    def receive(self, message: Message) -> Generator[Fact, None, None]:
        """Yield the facts that follow from *message*.

        Raises:
            ProtocolError: it is malformed, or not allowed in this phase.
            TooManyDeletes: the next fact would be a delete over the limit.
            LaggingServer: the server lacks changes that the store has, or may lack some, and the
                next fact would be a delete.
        """
        event = transitions.event(message)
        try:
            after = transitions.TRANSITIONS[self.phase, event]
        except KeyError:
            raise ProtocolError(
                f"the server sent {event} in the {self.phase.value}, where RFC 4533 has none"
            ) from None
        if after not in (Phase.PERSIST, Phase.OVER):
            self._enter(after)
        for fact in self._handle(message):
            if isinstance(fact, Step) and fact.change is not None and self.refreshing:
                self._look_at(fact.change.kind)
            yield fact
        self._enter(after)

    def _enter(self, phase: Phase) -> None:
        self._placement.phase = phase
        self.refreshing = self._placement.refreshing

    def _look_at(self, kind: ChangeKind) -> None:
        """Look at a change of the refresh stage before it is reported."""
        if kind is ChangeKind.DELETE and self._doubt is not None:
            raise LaggingServer(self._doubt)
        self._guard.count(kind)

    def still_there(self, uuids: Iterable[bytes]) -> None:
        """Let entries that the refresh did not name stay: they exist."""
        self._seen.mark_present(uuids)

    # --- the fast path, for nearly all messages

    def prefetch(self, plains: Collection[Plain]) -> None:
        """Make the view read, in one go, the entries that *plains* will be compared with."""
        self._view.prefetch({record.uuid: record.key for record, _, _, _ in plains})

    def receive_plain(self, plain: Plain) -> Optional[Sequence[Change]]:
        """Return the changes that :meth:`receive` would yield; None if only that can tell."""
        refreshing = self._placement.refreshing
        if self._numbers_changes and not refreshing:
            return None
        record, attrs, _, cookie = plain
        if self._view.namesakes and record.key != self._view.key(record.dn):
            return None  # a name has become one since
        old = self._view.get(record.uuid)
        changes = self._placement.place_plainly(record, attrs, old)
        if changes is None:
            return None
        if old is None and refreshing:
            self._guard.count(_ADD)
        if cookie:
            self._keep(cookie)
        return changes

    def idle(self) -> Sequence[Fact]:
        """Return the facts that follow when no message is left for now."""
        doubt, placement = None, self._placement
        if placement.displacements and self._view.has_displaced():
            doubt = "an entry took the DN of another, whose new DN was not told"
        elif placement.doubtful:
            doubt = placement.doubtful
        return () if doubt is None or self.phase is not Phase.PERSIST else (StartOver(doubt),)

    # --- message by message

    def _handle(self, message: Message) -> Iterator[Fact]:
        if isinstance(message, Entry):
            yield from self._entry(message)
        elif isinstance(message, Reference):
            yield from self._reference(message)
        elif isinstance(message, IdSet):
            yield from self._id_set(message)
        elif isinstance(message, NewCookie):
            self._keep(message.cookie)
        elif isinstance(message, PhaseEnd):
            yield from self._phase_end(message)
        elif isinstance(message, Done):
            yield from self._done(message)
        else:
            yield self._refresh_required(message)

    def _entry(self, message: Entry) -> Iterator[Fact]:
        if message.state is State.DELETE:
            yield from self._gone((message.uuid,), message.dn)
        else:
            key = self._key(message.dn)
            old = self._view.get(message.uuid)
            reason = self.request.extent.excludes(message.attrs, key)
            if reason is not None:
                yield NotTaken(message.dn, reason)
                yield from self._not_taken(reason, old)
                self._keep(message.cookie)
                return
            if old is not None and dn.is_reference(old.key) and not self.refreshing:
                # OpenLDAP sends a referral object that was modified like this; to a search it
                # is still a reference.
                yield StartOver("a reference was sent as an entry")
                return
            if message.state is not State.PRESENT:
                attrs = self._complete(message.attrs, old)
            elif old is not None:
                self._present_seen = True
                attrs = attributes.with_entry_dn(attributes.decode(old.attrs), message.dn)
            else:
                self._present((message.uuid,))
                self._keep(message.cookie)
                return
            new = Record(message.uuid, key, message.dn, attributes.encode(attrs))
            yield from self._placement.place(new, attrs, old)
        self._keep(message.cookie)

    def _not_taken(self, reason: str, old: Optional[Record]) -> Iterator[Fact]:
        """Yield the facts about a stored entry that the server sends as not part of the answer.

        It may have left the result, or the server has another DN for it (back_relay).  A search
        without a cookie shows which: an entry that it names is not gone.
        """
        if old is None:
            return
        doubt = f"the server sent {old.dn!r} as {reason}"
        if not self.refreshing:
            yield StartOver(doubt, alarming=not self.request.dialect.hidden_classes)
            return
        self._seen.mark_present((old.uuid,))
        if self.request.cookie is not None:
            self._placement.incomplete = doubt

    def _key(self, name: str) -> bytes:
        try:
            if name:
                return self._view.key(name) if self._view.namesakes else dn.key(name)
        except ValueError:
            pass
        raise ProtocolError(f"the server sent an entry whose DN is not a DN: {name!r}")

    def _reference(self, message: Reference) -> Iterator[Fact]:
        if message.state is State.DELETE:
            yield from self._gone((message.uuid,), None)
        elif message.state is State.PRESENT:
            self._present((message.uuid,))
        else:
            yield from self._reference_exists(message)
        self._keep(message.cookie)

    def _reference_exists(self, message: Reference) -> Iterator[Step]:
        uuid = message.uuid
        old = self._view.get(uuid)
        if old is not None and not dn.is_reference(old.key):
            yield self._placement.leave(old)
            old = None
        before = None if old is None else attributes.decode(old.attrs)
        attrs = {"ref": [url.encode() for url in message.urls]}
        if before is None or _targets(before) != _targets(attrs):
            change = self._placement.change(
                ChangeKind.REFERENCE, uuid, old_attrs=before, new_attrs=attrs
            )
            yield Step(uuid, change, Record(uuid, dn.reference(uuid), "", attributes.encode(attrs)))
        if self.refreshing:
            self._seen.mark_placed(uuid)

    def _id_set(self, message: IdSet) -> Iterator[Fact]:
        if not message.deletes:
            for uuids in _portions(message.uuids):
                self._present(uuids)
                yield from _underway(uuids)
        else:
            yield from self._gone(message.uuids, None)
            if len(message.uuids) == self.request.dialect.lossy_set:
                self._placement.incomplete = (
                    f"a set of {len(message.uuids)} deletes, after which one is lost"
                )
        self._keep(message.cookie)

    def _present(self, uuids: tuple[bytes, ...]) -> None:
        self._present_seen = self._present_seen or bool(uuids)
        self._seen.mark_present(uuids)

    def _phase_end(self, message: PhaseEnd) -> Iterator[Fact]:
        self._keep(message.cookie)
        if message.done:
            yield from self._end_refresh(message.deletes, message.cookie)
        elif not message.deletes:
            # A present phase that a delete phase follows.  What it did not name is gone, but
            # may be named yet, so nothing is pruned before the end (RFC 4533, 3.3.2).
            self._prune = self._prunes(deletes=False)

    def _refresh_required(self, message: RefreshRequired) -> Fact:
        if self.refreshing and self.request.cookie is None:
            raise ProtocolError(
                "the server answers a search without a cookie with e-syncRefreshRequired (4096): "
                "its content synchronization is broken, or still being set up"
            )
        if message.reason is not None:
            if self.request.stored is not None:
                raise LaggingServer(message.reason)
            return StartOver(message.reason, alarming=True)
        return StartOver("the server asks for it (e-syncRefreshRequired)")

    def _done(self, message: Done) -> Iterator[Fact]:
        if not self.refreshing:
            self._keep(message.control and message.control.cookie)
        elif message.control is None:
            raise ProtocolError(
                "the server ended the refresh without a Sync Done Control, so nothing was pruned"
            )
        else:
            self._keep(message.control.cookie)
            yield from self._end_refresh(message.control.deletes, message.control.cookie)
        yield Over()

    def _keep(self, new: Optional[bytes]) -> None:
        kind = self._latest.keep(new, refreshing=self.refreshing)
        if kind is not self.request.dialect:
            self._ask(self.request._replace(dialect=kind, extent=self.request.extent.at(kind)))
            self._placement.respells = kind.respells

    def _complete(self, attrs: Attributes, old: Optional[Record]) -> Attributes:
        selection, mends = self.request.selection, self._resume_mends and self.refreshing
        known = attributes.decode(old.attrs) if old and (mends or selection.blind) else {}
        return selection.complete(attrs, known) if mends else selection.take(attrs, known)

    # --- entries that are gone

    def _gone(self, uuids: tuple[bytes, ...], new_dn: Optional[str]) -> Iterator[Fact]:
        """Yield the facts that follow from deletes; in a refresh none before its end.

        So children are deleted before parents, and an entry that is sent after all is not deleted.
        """
        records: dict[bytes, Record] = {}
        for portion in _portions(uuids):
            if self.refreshing:
                self._seen.mark_deleted(portion)
            else:
                known = map(self._view.get, portion)
                records.update((record.uuid, record) for record in known if record is not None)
            yield from _underway(portion)
        for record in sorted(records.values(), key=lambda each: each.key, reverse=True):
            renamed = self._renamed_away(record, new_dn)
            if renamed is not None and dn.plain(record.key) == self.request.extent.base:
                # Its content is not gone, but the DN that the search asks for is.
                yield StartOver("the search base was renamed")
                return
            if renamed is None:
                yield self._placement.leave(record)
            elif self.request.extent.reaches(renamed.key):
                yield self._placement.leave(record)
                yield from self._placement.carry(record, renamed)
            else:
                for below in self._placement.movable(record.key, reverse=True):
                    yield self._placement.leave(below)
                yield self._placement.leave(record)

    def _renamed_away(self, record: Record, new_dn: Optional[str]) -> Optional[Record]:
        """Return *record* with its new DN, if a delete in the persist stage contains one.

        OpenLDAP sends one where a rename moved the entry out of the filter or scope.  Entries below
        it moved too, and no message says so.
        """
        if not new_dn or not dn.is_live(record.key):
            return None
        try:
            key = self._view.key(new_dn)
        except ValueError:
            return None  # RFC 4533, 3.3.2: any past DN will do
        return None if key == record.key else record._replace(key=key, dn=new_dn)

    # --- the end of the refresh stage

    def _prunes(self, *, deletes: bool) -> bool:
        return prunes(
            self.request.dialect,
            resumed=self.request.cookie is not None,
            deletes=deletes,
            present_seen=self._present_seen,
            cookie_moved=self.cookie != self.request.cookie,
        )

    def _check_final(self, final: Optional[bytes]) -> None:
        """See what the *final* cookie of the refresh says that the server knows (OpenLDAP).

        A provider without any contextCSN answers as if it were empty: it is not loaded yet.
        """
        if self.request.stored is None or not self.request.dialect.merges_cookies:
            return
        knows = knowledge.of_cookie(final)
        lacks = knowledge.shortfall(self.request.stored, knows)
        if lacks is not None:
            raise LaggingServer(lacks)
        if knows.changes:
            self._doubt = None
        elif self.request.cookie is None and not final:
            self._doubt = self._doubt or "it has no state (contextCSN) yet: it was not loaded"

    def _end_refresh(self, deletes: bool, final: Optional[bytes]) -> Iterator[Fact]:
        other = self._latest.made_by_other
        if other is not None:
            reason = f"its cookies are those of another kind of server ({other.name})"
            yield StartOver(reason, dialect=other)
            return
        self._check_final(final)
        resumed = self.request.cookie is not None
        if self._seen.any_unknown():
            if not resumed:
                raise ProtocolError("the server named entries as present that it never sent")
            yield StartOver("the server named entries as present that the store does not have")
            return
        incomplete = self._placement.incomplete if resumed else None
        unseen = self._prune or self._prunes(deletes=deletes)
        if unseen and self.request.dialect.refresh_misses_moved:
            yield Scanned(self._seen.to_delete(unseen=unseen))
        if self._guard.limit is not None:
            self._guard.check(self._seen.count_to_delete(unseen=unseen))
        for record in self._seen.to_delete(unseen=unseen):
            yield self._placement.leave(record)
            if resumed and dn.is_live(record.key) and any(self._placement.movable(record.key)):
                incomplete = f"{record.dn!r} left the result, and entries below it did not"
        if incomplete is None and self._view.has_displaced():
            incomplete = "an entry took the DN of another, whose new DN was not told"
        self._seen.clear()
        self.change_numbers.refreshed(self.cookie)
        yield RefreshDone() if incomplete is None else StartOver(incomplete)
