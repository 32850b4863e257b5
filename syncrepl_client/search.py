# SPDX-License-Identifier: BSD-3-Clause
"""One content synchronization search: its messages, batch by batch, into the delivery."""

import contextlib
import time
from collections import deque
from typing import Callable, NamedTuple, Optional, Union

import ldap

from .cookie import change_number
from .delivery import Delivery
from .driving import BREATH, Aside, ask
from .messages import Done, Entry, Message, RefreshRequired
from .modes import SyncreplMode
from .network.connection import Connection
from .network.server import last_change
from .numbering import Seam
from .placement import Step
from .protocol import Plain, RefreshDone, Request, StartOver, Synchronization

BATCH_MESSAGES = 10000
"""So many messages share a commit, at most."""
GROUP_MESSAGES = 64
"""So many messages that have arrived are taken together, at most ..."""
GROUP_BYTES = 1 << 20
"""... and of so many bytes, or one more: what the store has of them is read at once."""
PLAIN_AT_ONCE = 16
"""So many of them are delivered before the clock is looked at."""
REFRESH_SECONDS = 1.0
"""So long a transaction of the refresh stage stays open, at most."""
PERSIST_SECONDS = 0.25
"""So long changes of the persist stage wait for their commit, at most."""
STEPS_BEFORE_STOP = 10
"""A message with more consequences than that is given up for a stop, and rolled back."""

SETTLE_SECONDS = 1.0
"""So long after a refresh 389-ds is asked whether there was a change that it did not tell ..."""
SEAM_SECONDS = 0.2
"""... and so long a change that it should have told may come late."""
GAP_SECONDS = 0.5
"""So much longer a commit waits for a change whose number its cookie passed by (389-ds)."""


class SearchAgain(NamedTuple):
    """Search again with the same cookie: a change may be in neither stage (389-ds)."""

    reason: str


Redo = Union[StartOver, SearchAgain]
"""A fact that ends a search which another one must follow."""


class Interrupted(BaseException):
    """A stop was asked for in the middle of a message."""


class Search:
    """A search that goes on.

    Attributes:
        request: what was asked for.
        ended: whether the server has ended it.
        refreshed: whether the last batch came to the end of the refresh stage.
        reconciles: whether it was sent without a cookie because a reconcile was due, and is
            not committed yet.
        resting: whether it waits for the server, and has nothing that is not committed.
    """

    def __init__(
        self,
        connection: Connection,
        delivery: Delivery,
        mode: SyncreplMode,
        request: Request,
        *,
        watch: bool,
    ) -> None:
        """Send it.

        Args:
            connection: where to.
            delivery: who is told of what it finds.
            mode: whether the server ends it after the refresh, or goes on.
            request: what is asked for.
            watch: whether to find out if changes were lost between the stages (389-ds).

        Raises:
            ConfigurationError: the filter is none.
            ldap.LDAPError: it could not be sent.
        """
        self.request = request
        self.ended = self.refreshed = self.reconciles = self.resting = False
        self._watch = watch and request.cookie is not None and request.dialect.numbers_changes
        self._seam: Optional[Seam] = None
        self._seam_ends = 0.0
        self._group: deque[Union[Message, Plain]] = deque()
        self._connection = connection
        self._delivery = delivery
        connection.search(mode, request.cookie, request.dialect.refusal)
        delivery.create_store(str(connection.url))
        store = delivery.store
        self.sync = Synchronization(request, store, store.named)

    @property
    def reconciled(self) -> bool:
        """Whether the last batch ended a refresh in which the server named every entry."""
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
        count, ends = 0, None
        self.refreshed = self.resting = False
        while not (stopping() or enough() or self.ended):
            if self._seam is not None:
                seam = self._seam
                if await self._settles(seam):
                    self._seam = None
                elif seam.asked and time.monotonic() >= self._seam_ends:
                    return SearchAgain(f"{seam.missing} change numbers came without a change")
                elif not await self._wait(deadline, patience):
                    return None
                continue
            if not self._group and not await self._fill_group():
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
        if ends is not None and self.sync.numbering.gap:
            raise Interrupted  # the cookie may cover what did not come yet
        return None

    async def _fill_group(self) -> bool:
        """Take what has arrived; return False if there is nothing."""
        size = 0
        while len(self._group) < GROUP_MESSAGES and size < GROUP_BYTES:
            message = self._connection.receive()
            if message is None:
                break
            plain = self.sync.plain(message)
            self._group.append(plain or message)
            if plain is not None:
                size += len(plain.record.attrs)
            elif not isinstance(message, Entry):
                break  # it may end the phase, or the search
        if not self._group:
            return False
        self.sync.expect(each.record for each in self._group if isinstance(each, Plain))
        await ask(BREATH)
        return True

    def _may_commit(self, ends: float) -> bool:
        """Say whether the cookie covers nothing that is still to come, as far as can be known."""
        if self.sync.numbering.gap:
            if time.monotonic() < ends + GAP_SECONDS:
                return False
            self.sync.numbering.close_gap()
        return True

    def _when_idle(self) -> Optional[Redo]:
        for fact in self.sync.idle():
            if isinstance(fact, StartOver):
                return fact
        return None

    def _begin_seam(self) -> None:
        number = change_number(self.sync.cookie) if self._watch else None
        if number is not None:
            self._seam = Seam(number)
            self._seam_ends = time.monotonic() + SETTLE_SECONDS

    async def _settles(self, seam: Seam) -> bool:
        """Take what has arrived, and apply none of it; say whether no change is missing."""
        over = self._receive_over(seam)
        if not seam.asked and (self._group or time.monotonic() >= self._seam_ends):
            seam.answered(await ask(Aside(last_change, self._connection)))
            self._seam_ends = time.monotonic() + SEAM_SECONDS
            over = over or self._receive_over(seam)
        if over is not None:
            self._group = deque([over])  # what came before it comes again
            return True
        return seam.asked and not seam.missing

    def _receive_over(self, seam: Seam) -> Optional[Message]:
        """Take what has arrived; return the message that ends the search, if there is one."""
        while (message := self._connection.receive()) is not None:
            if isinstance(message, (Done, RefreshRequired)):
                return message
            self._group.append(message)
            seam.arrives(message.cookie)
        return None

    async def _wait(self, *times: Optional[float]) -> bool:
        """Wait for the server, until any of the *times*; return False if one has come already."""
        until = min((each for each in times if each is not None), default=None)
        if until is not None and time.monotonic() >= until:
            return False
        if self._seam is not None:
            until = self._seam_ends if until is None else min(until, self._seam_ends)
        self.resting = not self._delivery.store.in_transaction
        await self._connection.wait(until)
        self.resting = False
        return True

    async def _apply_plain(self, stopping: Callable[[], bool]) -> int:
        """Deliver entries for as long as they may be taken as they come; return how many."""
        group, receive, deliver = self._group, self.sync.receive_plain, self._delivery.step
        count, most = 0, min(PLAIN_AT_ONCE, self._delivery.room)
        while group and count < most and not stopping():
            first = group[0]
            steps = receive(first) if isinstance(first, Plain) else None
            if steps is None:
                break
            group.popleft()
            count += 1
            for step in steps:
                await deliver(step)
        return count

    async def _apply(self, stopping: Callable[[], bool]) -> Optional[Redo]:
        first = self._group.popleft()
        message = first.message if isinstance(first, Plain) else first
        with contextlib.closing(self.sync.receive(message)) as facts:
            for number, fact in enumerate(facts):
                if isinstance(fact, Step):
                    if number >= STEPS_BEFORE_STOP and stopping():
                        raise Interrupted
                    await self._delivery.step(fact)
                elif isinstance(fact, RefreshDone):
                    self.refreshed = True
                    self._begin_seam()
                    await self._delivery.refresh_done()
                elif isinstance(fact, StartOver):
                    return fact
                else:
                    self.ended = True
        return None

    def end(self, seconds: float = 0, *, cancel: bool = False) -> None:
        """End it, if the server has not; its connection may be gone.

        Args:
            seconds: how long a server that knows Cancel may take to answer it; 0 abandons.
            cancel: the server knows Cancel.
        """
        with contextlib.suppress(ldap.LDAPError):
            self._connection.end_search(seconds, cancel=seconds > 0 and cancel)
