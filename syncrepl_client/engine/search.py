# SPDX-License-Identifier: BSD-3-Clause
"""One content synchronization search: receives its messages, and delivers them batch by batch."""

import contextlib
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Callable, Optional, Union

import ldap

from ..entries.attributes import Attributes
from ..modes import SyncreplMode
from ..network.connection import Connection
from ..network.server import last_change
from ..protocol import wire
from ..protocol.changenumbers import StageGap
from ..protocol.cookie import change_number
from ..protocol.facts import NotTaken, Plain, RefreshDone, Request, Scanned, StartOver, Underway
from ..protocol.messages import Done, Entry, IdSet, Message, RefreshRequired
from ..protocol.placement import Step
from ..protocol.synchronization import Synchronization
from ..waiting.coroutines import YIELD_CONTROL, BlockingCall, ask
from ..waiting.waker import earliest
from .delivery import Delivery, now

if TYPE_CHECKING:  # not every server needs them, and import takes its time
    from .misnaming import Misnaming
    from .rereading import Outcome, Rereading

BATCH_MESSAGES = 10000
"""The maximum number of messages per commit."""
GROUP_MESSAGES = 64
"""The maximum number of messages that are prepared together ..."""
GROUP_BYTES = 1 << 20
"""... and their approximate size: the store reads the stored entries of a group at once."""
PLAIN_AT_ONCE = 16
"""How many of them are delivered between two looks at the clock."""
REFRESH_SECONDS = 1.0
"""The maximum time a transaction of the refresh stage stays open."""
PERSIST_SECONDS = 0.25
"""The maximum time changes of the persist stage wait for their commit."""
STEPS_BEFORE_STOP = 10
"""A message with more steps than that is interrupted by a stop, and rolled back."""

SETTLE_SECONDS = 1.0
"""Time after a refresh when 389-ds is asked whether there was a change that did not come ..."""
STAGE_GAP_SECONDS = 0.2
"""... and how late such a change may come."""
GAP_SECONDS = 0.5
"""How long a commit waits for a change whose number its cookie skipped (389-ds)."""


class SearchAgain:
    """The search must be sent again with the same cookie: a change may be lost (389-ds).

    Attributes:
        reason: why.
    """

    def __init__(self, reason: str) -> None:
        """Initialize with the reason."""
        self.reason = reason


Redo = Union[StartOver, SearchAgain]
"""A fact that requires another search."""


class Interrupted(BaseException):
    """Raised in the middle of a message when a stop was asked for."""


class Search:
    """A running search.

    Attributes:
        request: the search request.
        ended: whether the server has ended it.
        refreshed: whether the last batch reached the end of the refresh stage.
        reconciles: whether it was sent without a cookie because a reconcile was due, and is not
            committed yet.
        resting: whether it waits for the server, with nothing uncommitted.
    """

    def __init__(
        self,
        connection: Connection,
        delivery: Delivery,
        mode: SyncreplMode,
        request: Request,
        not_taken: Callable[[NotTaken], None],
        *,
        watch: bool,
        suffix: str,
        trust_persist: bool,
    ) -> None:
        """Send the search.

        Args:
            connection: the connection to send it on.
            delivery: delivers its changes.
            mode: whether the server ends it after the refresh, or goes on.
            request: the search request.
            not_taken: is called for entries that are not part of the answer.
            watch: whether to detect changes lost between the stages (389-ds).
            suffix: DN of the naming context that is searched.
            trust_persist: whether to deliver entries of the persist stage as they were sent, even
                if the server applies no access control there (389-ds).

        Raises:
            ConfigurationError: the filter is not valid.
            ldap.LDAPError: it could not be sent.
        """
        self.request = request
        self.ended = self.refreshed = self.reconciles = self.resting = False
        self._watch = watch and request.cookie is not None and request.dialect.numbers_changes
        self._stage_gap: Optional[StageGap] = None
        self._stage_gap_ends = 0.0
        self._arrived: deque[Message] = deque()  # received, and not processed yet
        self._group: deque[Union[Plain, Outcome]] = deque()
        self._room = GROUP_BYTES
        self._connection = connection
        self._delivery = delivery
        self._not_taken = not_taken
        self._suffix = suffix
        self._trust_persist = trust_persist
        self._misnaming: Optional[Misnaming] = None
        if request.dialect.misnames:
            from . import misnaming

            self._misnaming = misnaming.Misnaming(connection, delivery.store)
        self._rereading: Optional[Rereading] = None
        also = ("objectClass",) if request.extent.hidden else ()  # it says what is hidden
        connection.search(mode, request.cookie, request.dialect.refusal, also)
        delivery.create_store(connection.url)
        store = delivery.store
        self.sync = Synchronization(request, store, store.seen, now)

    @property
    def reconciled(self) -> bool:
        """Whether the last batch completed a refresh in which the server sent every entry."""
        return self.refreshed and self.request.cookie is None

    async def batch(
        self,
        deadline: Optional[float],
        stopping: Callable[[], bool],
        enough: Callable[[], bool],
        patience: Optional[float],
    ) -> Optional[Redo]:
        """Deliver what arrives until it is time to commit; return how it ends if it must.

        A transaction is left open where anything arrived.

        Args:
            deadline: how long to wait for the first message, by ``time.monotonic()``.
            stopping: says whether to return at once, even in the middle of a message.
            enough: says whether to return before the next message.
            patience: how long to wait for anything at all, whatever the deadline.

        Raises:
            ProtocolError: the server sent what it must not.
            ldap.LDAPError: the connection was lost, or the server ended the search with an
                error.  What came just before is rolled back, and told again: under several
                writers slapd's cookies may cover what it did not get to send.
            Interrupted: in the middle of a message.
        """
        count, ends, asks = 0, None, True
        self.refreshed = self.resting = False
        while not (stopping() or enough() or self.ended):
            if self._stage_gap is not None:
                gap = self._stage_gap
                if await self._settles(gap):
                    self._stage_gap = None
                elif gap.asked and time.monotonic() >= self._stage_gap_ends:
                    return SearchAgain(f"{gap.missing} change numbers came without a change")
                elif not await self._wait(deadline, patience):
                    return None
                continue
            if not self._group and (asks or self._connection.is_readable()):
                asks = not await self._fill_group() or self._has_left_some()
            if not self._group:
                if self._rereading is not None and self._rereading.busy:
                    if ends is None and deadline is not None and time.monotonic() >= deadline:
                        return None
                    await self._wait(deadline if ends is None else None, self._rereading.until)
                    continue
                if ends is not None and not self.sync.refreshing:
                    if self._may_commit(ends):
                        return self._when_idle()
                    await self._connection.wait(ends + GAP_SECONDS)
                    continue
                if not await self._wait(deadline, ends, patience):
                    return None
                continue
            refreshing = self.sync.refreshing
            if ends is None:
                self._delivery.store.begin()
                ends = time.monotonic() + (REFRESH_SECONDS if refreshing else PERSIST_SECONDS)
            taken = await self._apply_plain(stopping)
            if not taken:
                taken, redo = 1, await self._apply(stopping)
                if redo is not None or refreshing != self.sync.refreshing:
                    return redo
            count += taken
            full = count >= BATCH_MESSAGES or not self._delivery.room or time.monotonic() >= ends
            if full and self._may_commit(ends):
                return None
        if ends is not None and self.sync.change_numbers.gap:
            raise Interrupted  # the cookie may cover what did not come yet
        return None

    def _has_left_some(self) -> bool:
        """Return False if the group that was just filled is all that had arrived."""
        return (
            self.sync.refreshing
            or self._rereading is not None
            or type(self._group[-1]) not in (Plain, Entry)
            or len(self._group) >= GROUP_MESSAGES
            or self._room <= 0
        )

    async def _fill_group(self) -> bool:
        """Receive messages that have arrived; return False if there are none to apply."""
        rereading = self._needs_rereading()
        if rereading is None:
            self._receive_group()
        else:
            self._reread_group(rereading)
        if not self._group:
            return False
        self.sync.prefetch([each for each in self._group if isinstance(each, Plain)])
        if self._misnaming is not None:
            messages = (each.message if isinstance(each, Plain) else each for each in self._group)
            await self._misnaming.check(each for each in messages if isinstance(each, Entry))
        await ask(YIELD_CONTROL)
        return True

    def _needs_rereading(self) -> "Optional[Rereading]":
        """Return what reads again, in a persist stage that applies no access control.

        Only the cookies of the refresh stage show 389-ds behind a proxy.
        """
        request = self.sync.request
        if (
            self._trust_persist
            or self.sync.refreshing
            or not request.dialect.persist_ignores_access
        ):
            return None
        if self._rereading is None:
            from . import rereading

            self._rereading = rereading.Rereading(
                self._connection, self._delivery.store, request.extent
            )
        return self._rereading

    def _receive_group(self) -> None:
        self._room = GROUP_BYTES
        while self._arrived:
            if not self._append(self._arrived.popleft()):
                return
        self._connection.take(self._append_entry, self._append)

    def _append_entry(
        self, dn: str, attrs: Attributes, controls: Sequence[wire.RawControl]
    ) -> bool:
        """Append an entry to the group; return True if another message may follow."""
        entry = self.sync.preparation.entry(dn, attrs, controls)
        self._group.append(entry)
        if isinstance(entry, Plain):
            self._room -= len(entry[0][3])
        return self._room > 0 and len(self._group) < GROUP_MESSAGES

    def _append(self, message: Message) -> bool:
        if isinstance(message, Entry):
            self._group.append(self.sync.preparation.prepared(message))
            return len(self._group) < GROUP_MESSAGES
        self._group.append(message)
        return False

    def _reread_group(self, rereading: "Rereading") -> None:
        progress = -1
        while not self._group and progress != rereading.progress:
            progress = rereading.progress
            while rereading.has_room and (message := self._next()) is not None:
                rereading.add(message)
            self._group.extend(rereading.outcome() or ())

    def _next(self) -> Optional[Message]:
        return self._arrived.popleft() if self._arrived else self._connection.receive()

    def _may_commit(self, ends: float) -> bool:
        """Return True if the cookie covers, as far as is known, no message that is to come."""
        if self.sync.change_numbers.gap:
            if time.monotonic() < ends + GAP_SECONDS:
                return False
            self.sync.change_numbers.close_gap()
        return True

    def _when_idle(self) -> Optional[Redo]:
        for fact in self.sync.idle():
            if isinstance(fact, StartOver):
                return fact
        return None

    def _begin_stage_gap(self) -> None:
        number = change_number(self.sync.cookie) if self._watch else None
        if number is not None:
            self._stage_gap = StageGap(number)
            self._stage_gap_ends = time.monotonic() + SETTLE_SECONDS

    async def _settles(self, gap: StageGap) -> bool:
        """Receive what has arrived without applying it; return True if no change is missing."""
        over = self._receive_over(gap)
        if not gap.asked and (self._arrived or time.monotonic() >= self._stage_gap_ends):
            gap.answered(await ask(BlockingCall(last_change, self._connection)))
            self._stage_gap_ends = time.monotonic() + STAGE_GAP_SECONDS
            over = over or self._receive_over(gap)
        if over is not None:
            self._arrived = deque([over])  # what came before it comes again
            return True
        return gap.asked and not gap.missing

    def _receive_over(self, gap: StageGap) -> Optional[Message]:
        """Receive what has arrived; return the message that ends the search, if there is one."""
        while (message := self._connection.receive()) is not None:
            if isinstance(message, (Done, RefreshRequired)):
                return message
            self._arrived.append(message)
            gap.arrives(message.cookie)
        return None

    async def _wait(self, *times: Optional[float]) -> bool:
        """Wait for the server, until the first of *times*; return False if that has passed."""
        until = earliest(*times)
        if until is not None and time.monotonic() >= until:
            return False
        store = self._delivery.store
        gap_ends = None if self._stage_gap is None else self._stage_gap_ends
        until = earliest(until, gap_ends, store.next_keep)
        self.resting = not store.in_transaction
        await self._connection.wait(until)
        self.resting = False
        store.keep()
        return True

    async def _apply_plain(self, stopping: Callable[[], bool]) -> int:
        """Deliver entries on the fast path for as long as possible; return how many."""
        group, receive, deliver = self._group, self.sync.receive_plain, self._delivery.deliver
        most = min(PLAIN_AT_ONCE, self._delivery.room)
        for count in range(most):
            first = group[0] if group and not stopping() else None
            if not isinstance(first, Plain):
                return count
            changes = receive(first)
            if changes is None:
                return count
            group.popleft()
            for change in changes:
                rest = deliver(first.record.uuid, change, first.record)
                if rest is not None:
                    await rest
        return most

    async def _apply(self, stopping: Callable[[], bool]) -> Optional[Redo]:
        first = self._group.popleft()
        if isinstance(first, StartOver):
            return first
        if isinstance(first, NotTaken):
            self._not_taken(first)
            return None
        message = first.message if isinstance(first, Plain) else first
        if self._misnaming is not None and isinstance(message, Entry):
            message = await self._misnaming.corrected(message, refreshing=self.sync.refreshing)
        if isinstance(message, IdSet) and await self._moved_out(message):
            return StartOver(
                "an entry was moved out of the search base, and what was moved below it before is "
                "not part of the answer"
            )
        return await self._receive(message, stopping)

    async def _receive(self, message: Message, stopping: Callable[[], bool]) -> Optional[Redo]:
        with contextlib.closing(self.sync.receive(message)) as facts:
            for number, fact in enumerate(facts):
                if isinstance(fact, Step):
                    if number >= STEPS_BEFORE_STOP and stopping():
                        raise Interrupted
                    await self._delivery.step(fact)
                elif isinstance(fact, Underway):
                    if stopping():
                        raise Interrupted
                    await ask(YIELD_CONTROL)
                elif isinstance(fact, Scanned):
                    await self._find_missed(fact, stopping)
                elif isinstance(fact, RefreshDone):
                    self.refreshed = True
                    if self._misnaming is not None:
                        self._misnaming.report()
                    self._begin_stage_gap()
                    await self._delivery.refresh_done()
                elif isinstance(fact, StartOver):
                    return fact
                elif isinstance(fact, NotTaken):
                    self._not_taken(fact)
                else:
                    self.ended = True
        return None

    async def _find_missed(self, scanned: Scanned, stopping: Callable[[], bool]) -> None:
        from .missed import Missed

        store = self._delivery.store

        def check() -> None:
            store.keep()
            if stopping():
                raise Interrupted

        missed = Missed(self._connection, self._suffix, store, self.sync, check)
        await missed.find(scanned, lambda entry: self._receive(entry, stopping))

    async def _moved_out(self, message: IdSet) -> bool:
        """Return True if entries that a resume names as deleted are outside the base (389-ds)."""
        request = self.sync.request
        if not (message.deletes and self.sync.refreshing and request.dialect.resume_misses_moved):
            return False
        from ..network.parentage import any_exists

        call = BlockingCall(any_exists, self._connection, self._suffix, message.uuids)
        return bool(await ask(call))

    def end(self, seconds: float = 0, *, cancel: bool = False) -> None:
        """End the search, if the server has not; the connection may be lost.

        Args:
            seconds: how long a server that supports Cancel may take to answer it; 0 abandons.
            cancel: whether the server supports Cancel.
        """
        with contextlib.suppress(ldap.LDAPError):
            if self._rereading is not None:
                self._rereading.abandon()
            self._connection.end_search(seconds, cancel=seconds > 0 and cancel)
