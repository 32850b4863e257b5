# SPDX-License-Identifier: BSD-3-Clause
"""RFC 4533 from the client's side: messages in, facts out.  No I/O, no clock, no callback.

One :class:`Synchronization` serves one search.  It sees the store through :class:`~.view.View` and
keeps the UUIDs that a refresh named in :class:`~.view.Named`, which the store lends it, so memory
doesn't grow with the directory.  Its answers are generated one by one: each must be applied
to the store before the next is asked for.
"""

from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from typing import NamedTuple, Optional, Union

from . import attributes, cookie, dn, transitions
from .attributes import Selection
from .changes import ChangeKind, Phase
from .dialect import Dialect, prunes
from .exceptions import ProtocolError
from .guard import Limit, check_deletes
from .messages import (
    Attributes,
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
from .numbering import Numbering
from .placement import Placement, Step
from .view import Named, Record, View


class Request(NamedTuple):
    """What was asked of whom, as far as it decides what the answer means.

    Attributes:
        dialect: the server's.
        base: key of the search base.
        subtree: whether the scope is the whole subtree.
        cookie: the one sent; None for a search that starts over.
        selection: which attributes were asked for.
        operational: names of the server's operational attributes, in lower case; needed
            where the dialect leaves them out on resume.
        max_deletes: how much of the store the refresh may delete.
    """

    dialect: Dialect
    base: bytes
    subtree: bool
    cookie: Optional[bytes] = None
    selection: Selection = Selection(())
    operational: Collection[str] = ()
    max_deletes: Limit = None


class Plain(NamedTuple):
    """An entry that may be taken as it comes, and what is stored of it."""

    message: Entry
    record: Record


# --- what comes out


class RefreshDone(NamedTuple):
    """The store now equals the server's answer."""


class StartOver(NamedTuple):
    """Search again, without a cookie: what came can't be completed into the server's answer.

    ``alarming``: somebody should look after the server.
    """

    reason: str
    alarming: bool = False


class Over(NamedTuple):
    """The search has ended."""


Fact = Union[Step, RefreshDone, StartOver, Over]

_EXISTS = (State.ADD, State.MODIFY)


def _targets(attrs: Attributes) -> set[bytes]:
    """Return where a reference leads: OpenLDAP adds the scope to a URL in a refresh only."""
    return {url.partition(b"?")[0] for url in attrs["ref"]}


class Synchronization:
    """The state of one content synchronization search.

    Attributes:
        request: what was asked.
        numbering: what the change numbers of the persist stage say.
    """

    def __init__(self, request: Request, view: View, named: Named) -> None:
        """Begin in the refresh stage."""
        self.request = request
        self._view = view
        self._named = named
        self._placement = Placement(view, named)
        self._cookie = request.cookie
        self._newest: Optional[bytes] = None  # not merged into it yet
        self.numbering = Numbering(known=request.dialect.numbers_changes)
        self._present_seen = False
        self._prune = False
        self._resume_mends = request.cookie is not None and request.dialect.resume_ignores_selection
        named.clear()

    @property
    def phase(self) -> Phase:
        """Where the operation stands."""
        return self._placement.phase

    @property
    def refreshing(self) -> bool:
        """Whether the refresh stage goes on."""
        return self._placement.refreshing

    @property
    def cookie(self) -> Optional[bytes]:
        """The cookie of all that was received; not to be committed while refreshing.

        389-ds sends the final cookie of a refresh before the entries that it covers.
        """
        if self._newest is not None:
            self._cookie, self._newest = cookie.merge(self._cookie, self._newest), None
        return self._cookie

    def allow_deletes(self) -> None:
        """Let the refresh delete whatever it has to."""
        self.request = self.request._replace(max_deletes=None)

    def receive(self, message: Message) -> Generator[Fact, None, None]:
        """Yield what *message* means.

        Raises:
            ProtocolError: it is malformed, or illegal at this point.
        """
        if (
            isinstance(message, NewCookie)
            and self.refreshing
            and self.request.dialect.newcookie_ends_refresh
        ):
            message = PhaseEnd(deletes=True, done=True, cookie=message.cookie)
        event = transitions.event(message)
        try:
            after = transitions.TRANSITIONS[self.phase, event]
        except KeyError:
            raise ProtocolError(
                f"the server sent {event} in the {self.phase.value}, where RFC 4533 has none"
            ) from None
        if after not in (Phase.PERSIST, Phase.OVER):
            self._placement.phase = after
        yield from self._handle(message)
        self._placement.phase = after

    # --- the same, quicker, for nearly all that comes

    def plain(self, message: Message) -> Optional[Plain]:
        """Return *message* if :meth:`receive_plain` may know all that it means; else None."""
        if type(message) is not Entry or message.state not in _EXISTS or self._resume_mends:
            return None
        try:
            key = self._key(message.dn)
        except ProtocolError:  # which receive() raises in its turn
            return None
        record = Record(message.uuid, key, message.dn, attributes.encode(message.attrs))
        return Plain(message, record)

    def expect(self, records: Iterable[Record]) -> None:
        """Have the view read what *records* will be compared with."""
        self._view.expect({record.uuid: record.key for record in records})

    def receive_plain(self, plain: Plain) -> Optional[Sequence[Step]]:
        """Return all that :meth:`receive` would yield; None if that must be asked."""
        if self.request.dialect.numbers_changes and not self._placement.refreshing:
            return None
        message, record = plain
        old = self._view.get(record.uuid)
        steps = self._placement.place_plainly(record, message.attrs, old)
        if steps is not None and message.cookie:
            self._keep(message.cookie)
        return steps

    def idle(self) -> Iterator[Fact]:
        """Yield what must be done when the server has nothing more to say, for now."""
        if (
            self.phase is Phase.PERSIST
            and self._placement.displacements
            and self._view.has_displaced()
        ):
            yield StartOver("an entry took the DN of another, whose new DN was not told")

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

    def _key(self, name: str) -> bytes:
        try:
            if name:
                return dn.key(name)
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
            self._named.placed(uuid)

    def _id_set(self, message: IdSet) -> Iterator[Fact]:
        if not message.deletes:
            self._present(message.uuids)
        else:
            yield from self._gone(message.uuids, None)
            if len(message.uuids) == self.request.dialect.lossy_set:
                self._placement.incomplete = (
                    f"a set of {len(message.uuids)} deletes, after which one is lost"
                )
        self._keep(message.cookie)

    def _present(self, uuids: tuple[bytes, ...]) -> None:
        self._present_seen = self._present_seen or bool(uuids)
        self._named.present(uuids)

    def _phase_end(self, message: PhaseEnd) -> Iterator[Fact]:
        self._keep(message.cookie)
        if message.done:
            yield from self._end_refresh(message.deletes)
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
            yield from self._end_refresh(message.control.deletes)
        yield Over()

    def _keep(self, new: Optional[bytes]) -> None:
        """Take over a cookie; one that is absent or empty leaves the last one in force."""
        if not new or not (self.refreshing or self.numbering.advances(new)):
            return
        if not self.request.dialect.merges_cookies:
            self._cookie = new
        else:
            latest = new if self._newest is None else cookie.later(new, self._newest)
            if latest is None:
                self._cookie, latest = self.cookie, new
            self._newest = latest

    # --- 389-ds

    def _complete(self, attrs: Attributes, old: Optional[Record]) -> Attributes:
        if not (self._resume_mends and self.refreshing):
            return attrs
        known = {} if old is None else attributes.decode(old.attrs)
        return self.request.selection.complete(attrs, known, self.request.operational)

    # --- entries that are gone

    def _gone(self, uuids: Iterable[bytes], new_dn: Optional[str]) -> Iterator[Fact]:
        """Yield what follows from deletes; in a refresh nothing does, before its end.

        So they come children before parents, and what is named after all isn't deleted.
        """
        if self.refreshing:
            self._named.gone(uuids)
            return
        known = map(self._view.get, dict.fromkeys(uuids))
        records = [record for record in known if record is not None]
        for record in sorted(records, key=lambda each: each.key, reverse=True):
            renamed = self._renamed_away(record, new_dn)
            if renamed is not None and record.key == self.request.base:
                # Not its content is gone, but the name by which it was asked for.
                yield StartOver("the search base was renamed")
                return
            if renamed is None:
                yield self._placement.leave(record)
            elif self.request.subtree and renamed.key.startswith(self.request.base):
                yield self._placement.leave(record)
                yield from self._placement.carry(record.key, renamed)
            else:
                for below in self._placement.movable(record.key, reverse=True):
                    yield self._placement.leave(below)
                yield self._placement.leave(record)

    def _renamed_away(self, record: Record, new_dn: Optional[str]) -> Optional[Record]:
        """Return *record* at its new DN, where a delete in the persist stage tells of one.

        OpenLDAP's does, if a rename took the entry out of the filter or scope; what is below
        it went along, and no message says so.
        """
        if not new_dn or not dn.is_live(record.key):
            return None
        try:
            key = dn.key(new_dn)
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

    def _guard(self, *, unnamed: bool) -> None:
        if self.request.max_deletes is not None:
            leavers = self._named.count_leavers(unnamed=unnamed)
            if leavers:  # to count the store takes time that an empty answer shall not cost
                check_deletes(self.request.max_deletes, leavers, len(self._view))

    def _end_refresh(self, deletes: bool) -> Iterator[Fact]:
        resumed = self.request.cookie is not None
        if self._named.unknown():
            if not resumed:
                raise ProtocolError("the server named entries as present that it never sent")
            yield StartOver("the server named entries as present that the store does not have")
            return
        incomplete = self._placement.incomplete if resumed else None
        unnamed = self._prune or self._prunes(deletes=deletes)
        self._guard(unnamed=unnamed)
        for record in self._named.leavers(unnamed=unnamed):
            yield self._placement.leave(record)
            if resumed and dn.is_live(record.key) and any(self._placement.movable(record.key)):
                incomplete = f"{record.dn!r} left the result, and entries below it did not"
        if incomplete is None and self._view.has_displaced():
            incomplete = "an entry took the DN of another, whose new DN was not told"
        self._named.clear()
        self.numbering.refreshed(self.cookie)
        yield RefreshDone() if incomplete is None else StartOver(incomplete)
