# SPDX-License-Identifier: BSD-3-Clause
"""Changes for a callback, without any server."""

import contextlib
import tempfile
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Callable, Optional, Union
from uuid import UUID

from .. import callbacks
from ..delivery import Delivery, OnCallbackError
from ..dialect import OTHER
from ..driving import Course, Ended, Outcome, Request, perform, step
from ..exceptions import ClosedError, ProtocolError, UsageError
from ..messages import Entry, Message, PhaseEnd
from ..placement import Step
from ..protocol import RefreshDone, Synchronization
from ..protocol import Request as SearchRequest
from ..store import Store, open_store
from .directory import AttributesLike, Directory

URL = "ldap:///??sub"
"""What the store remembers as its search: of no server."""


class Feed:
    """A directory that is made up, and a callback that is told of its changes as by a client.

    What it is told goes through the library's own protocol, store and delivery: so a renamed
    subtree comes entry by entry, an entry that comes again unchanged is not told, and what a
    callback raises rolls back what was not committed, and comes out of the method of the feed
    that led to it.

    It begins in the refresh stage of the first search, with nothing in directory and store; in
    that stage deletes are told at its end.  Each change is told at once, and committed by
    :meth:`refresh_done`, :meth:`commit` or :meth:`restart`.  There is no connection, so
    ``bind_complete``, ``disconnected`` and ``debug`` are not called.

    After the callback failed, :meth:`restart` is what the client's next ``poll()`` is: it tells
    what was not committed once more.
    """

    def __init__(
        self,
        callback: Any,
        *,
        store: Union[str, Store] = "memory",
        data_path: Optional[str] = None,
        on_callback_error: OnCallbackError = None,
        run: Optional[Callable[[Any], object]] = None,
    ) -> None:
        """Begin the search; nothing is told yet.

        Args:
            callback: a :class:`~syncrepl_client.callbacks.BaseCallback` or such a class.
            store: ``"memory"``, ``"sqlite"``, ``"shelve"``, or an empty store of your own.
            data_path: prefix of the store's file names; None: in a temporary directory, which
                :meth:`close` removes.
            on_callback_error: as a client's; but it tries again without delay.
            run: for a callback with ``async`` methods: what runs a coroutine to its end, as
                ``asyncio.run`` does.

        Raises:
            ConfigurationError: an argument can't be used.
            StoreError: the store can't be opened.
            UsageError: the store has a search in it already.
        """
        self._run = run
        self._policy = on_callback_error
        self._directory = Directory()
        self._sync: Optional[Synchronization] = None
        self._refreshed = self._busy = self._failed = False
        self._cookies = 0
        usable = callbacks.usable(callback, awaits=self._run is not None)
        with contextlib.ExitStack() as undo:
            if data_path is None and store in ("sqlite", "shelve"):
                data_path = undo.enter_context(tempfile.TemporaryDirectory(prefix="feed-")) + "/"
            self.store = open_store(store, data_path or "")
            undo.callback(self.store.close)
            if self.store.exists and self.store.origin.url is not None:
                raise UsageError("the store has a search in it already: a feed needs an empty one")
            self._search(usable)
            self._resources: Optional[contextlib.ExitStack] = undo.pop_all()

    # --- what happens in the directory

    def add(self, dn: str, attrs: AttributesLike) -> UUID:
        """Add an entry, and tell of it.

        Args:
            dn: its DN.  An entry above it need not be there.
            attrs: names to lists of values, str or bytes.

        Returns:
            Its entryUUID, which it keeps.

        Raises:
            UsageError: there is an entry with that DN.
            ConfigurationError: *dn* is no DN, or *attrs* no attributes.
            Exception: whatever the callback raised.
        """
        self._check("add")
        entry = self._directory.add(dn, attrs)
        self._changed(entry)
        return UUID(bytes=entry.uuid)

    def modify(self, dn: str, attrs: AttributesLike) -> None:
        """Change attributes of an entry, and tell of it, if anything differs.

        Args:
            dn: of the entry.
            attrs: names to lists of values: all that the attribute has from now on, and an
                empty list removes it.  Attributes that it does not name stay.

        Raises:
            UsageError: there is no such entry.
            ConfigurationError: *dn* is no DN, or *attrs* no attributes.
            Exception: whatever the callback raised.
        """
        self._check("modify")
        self._changed(self._directory.modify(dn, attrs))

    def rename(self, old_dn: str, new_dn: str, attrs: Optional[AttributesLike] = None) -> None:
        """Rename or move an entry and all below it, and tell of each.

        Where the entry has the attribute values of its RDN, those of the new one take their
        place, as on a server.

        Args:
            old_dn: the DN so far.
            new_dn: the DN from now on.
            attrs: further attributes that change, as for :meth:`modify`.

        Raises:
            UsageError: there is no such entry, the new DN (or that of an entry below it) is
                taken, or it is below the old one.
            ConfigurationError: a DN is none, or *attrs* no attributes.
            Exception: whatever the callback raised.
        """
        self._check("rename")
        renamed, *below = self._directory.rename(old_dn, new_dn, {} if attrs is None else attrs)
        # In the persist stage a server sends the renamed entry alone.
        self._changed(renamed, *(() if self._refreshed else below))

    def delete(self, dn: str) -> None:
        """Delete an entry, or let it no longer match, and tell of it.

        Entries below it stay: they may match where it does not.  In the refresh stage it is told
        at the end.

        Raises:
            UsageError: there is no such entry.
            ConfigurationError: *dn* is no DN.
            Exception: whatever the callback raised.
        """
        self._check("delete")
        self._changed(self._directory.delete(dn))

    # --- what the client does

    def refresh_done(self) -> None:
        """End the refresh stage: tell what it deletes, ``refresh_done``, and commit.

        Raises:
            UsageError: it has ended already.
            Exception: whatever the callback raised.
        """
        self._check("refresh_done", listening=True)
        if self._refreshed:
            raise UsageError("refresh_done(): it is done; restart() refreshes once more")
        self._refreshed = True
        self._tell([self._end_of_refresh()], commit=True)

    def commit(self) -> None:
        """Commit what was told since the last commit; do nothing if that is nothing.

        Raises:
            Exception: whatever the callback's ``cookie_change`` or ``before_commit`` raised.
        """
        self._check("commit", listening=True)
        if self.store.in_transaction:
            self._tell([], commit=True)

    def crash(self) -> None:
        """End the program before the next commit: what was not committed is undone.

        What changes in the directory from now on is told by :meth:`restart`.
        """
        self._check("crash", failed=True)
        self._delivery.roll_back()
        self._sync, self._failed = None, False

    def restart(self, callback: Any = None) -> None:
        """Start the program again, after :meth:`crash` or instead of it.

        A refresh tells of all that differs from what was committed, in the directory's order:
        parents first.  Then ``refresh_done`` is called, and it is committed.  The store stays
        open.

        Args:
            callback: the one to tell from now on; None for the same as before.

        Raises:
            ConfigurationError: the callback can't be used.
            Exception: whatever the callback raised; restart once more.
        """
        self._check("restart", failed=True)
        usable = (
            self.callback
            if callback is None
            else callbacks.usable(callback, awaits=self._run is not None)
        )
        self._delivery.roll_back()
        self._search(usable)
        self._refreshed, self._failed = True, False
        self._tell(self._everything(), commit=True)

    def close(self) -> None:
        """Close the store: what was not committed is undone.  A second call does nothing."""
        if self._resources is not None:
            self._resources.close()
            self._resources = None

    def __enter__(self) -> "Feed":
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    @property
    def callback(self) -> Any:
        """The callback object."""
        return self._delivery.callback

    def _check(self, method: str, *, listening: bool = False, failed: bool = False) -> None:
        if self._resources is None:
            raise ClosedError(f"{method}(): the feed was closed; make a new one")
        if self._busy:
            raise UsageError(f"{method}() in a method of the callback: call it afterwards")
        if self._failed and not failed:
            raise UsageError(
                f"{method}() after a failure: restart() tells what was not committed once more"
            )
        if listening and self._sync is None:
            raise UsageError(f"{method}() after crash(): restart() begins anew")

    # --- what a server says

    def _search(self, callback: Any) -> None:
        self._delivery = Delivery(self.store, callback, self._policy)
        self._delivery.create_store(URL)
        self._synchronize()

    def _synchronize(self) -> Synchronization:
        request = SearchRequest(OTHER, base=b"", subtree=True)
        self._sync = Synchronization(request, self.store, self.store.named)
        return self._sync

    def _everything(self) -> list[Message]:
        """Return the answer to a search without a cookie, as far as it has come."""
        return [*self._directory, *([self._end_of_refresh()] if self._refreshed else [])]

    def _end_of_refresh(self) -> Message:
        return PhaseEnd(deletes=False, done=True, cookie=self._cookie())

    def _cookie(self) -> bytes:
        self._cookies += 1
        return b"feed=%d" % self._cookies

    # --- what becomes of it

    def _changed(self, *entries: Entry) -> None:
        if self._sync is None:
            return  # nobody listens
        if self._refreshed:
            self._tell([each._replace(cookie=self._cookie()) for each in entries])
        else:
            self._tell(entries)

    def _tell(self, messages: Iterable[Message], *, commit: bool = False) -> None:
        """Deliver *messages*; where that fails, and may be tried again, all since the commit."""
        self._busy = True
        try:
            self._drive(self._course(messages, commit))
        except BaseException:
            self._failed = True
            raise
        finally:
            self._busy = False

    async def _course(self, messages: Iterable[Message], commit: bool) -> None:
        while True:
            try:
                await self._deliver(messages, commit)
            except BaseException as error:
                self._delivery.roll_back()
                if not self._delivery.is_callbacks(error) or self._delivery.retry_delay() is None:
                    raise
            else:
                return
            self._synchronize()
            messages, commit = self._everything(), commit or self._refreshed

    async def _deliver(self, messages: Iterable[Message], commit: bool) -> None:
        delivery, sync = self._delivery, self._sync or self._synchronize()
        if not self.store.in_transaction:
            self.store.begin()
        for message in messages:
            with contextlib.closing(sync.receive(message)) as facts:
                for fact in facts:
                    if isinstance(fact, Step):
                        await delivery.step(fact)
                    elif isinstance(fact, RefreshDone):
                        await delivery.refresh_done()
                    else:  # what no sequence of changes has led to so far
                        raise ProtocolError(f"a feed can't go on after {fact}: please report it")
        if commit:
            origin = delivery.origin._replace(cookie=sync.cookie, dialect=OTHER.name)
            await delivery.commit(None if sync.refreshing else origin)

    # --- and who drives it

    def _drive(self, course: Course[None]) -> None:
        answer, error = None, None
        while not isinstance(request := step(course, answer, error), Ended):
            try:
                answer, error = self._perform(request), None
            except BaseException as caught:  # noqa: BLE001 - the course decides
                answer, error = None, caught

    def _perform(self, request: Request) -> Any:
        if isinstance(request, Outcome) and self._run is not None:
            return self._run(request.awaitable)
        return perform(request)
