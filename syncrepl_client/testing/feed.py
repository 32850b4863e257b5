# SPDX-License-Identifier: BSD-3-Clause
"""Changes for a callback, without any server."""

import contextlib
import tempfile
from collections.abc import Iterable
from typing import Any, Callable, Optional, Union
from uuid import UUID

from .. import callbacks, url
from ..changelog.policy import Changelog
from ..engine.delivery import Delivery, OnCallbackError, now
from ..exceptions import ClosedError, ProtocolError, UsageError
from ..protocol.dialect import OTHER
from ..protocol.extent import Extent
from ..protocol.facts import RefreshDone
from ..protocol.facts import Request as SearchRequest
from ..protocol.messages import Entry, Message, PhaseEnd
from ..protocol.placement import Step
from ..protocol.synchronization import Synchronization
from ..store import Store, open_store
from ..store.closing import Closing
from ..waiting.coroutines import Await, ClientCoroutine, Finished, Request, perform, step
from .directory import AttributesLike, Directory

URL = url.parse("ldap://feed.invalid/dc=feed??sub")
"""The URL in the store, which names no server."""


class Feed(Closing):
    """A simulated directory, which reports its changes to a callback as a client would.

    Changes go through the library's own protocol, store and delivery: so a renamed subtree is
    reported entry by entry, an unchanged entry is not reported, and an exception of the callback
    rolls back what was not committed, and is raised by the method of the feed that caused it.

    It starts in the refresh stage of the first search, with an empty directory and store; in that
    stage deletes are reported at the end.  Each change is reported at once, and committed by
    :meth:`refresh_done`, :meth:`commit` or :meth:`restart`.  There is no connection, so
    ``bind_complete``, ``disconnected`` and ``debug`` are not called.

    After a failure of the callback, :meth:`restart` does what the client's next ``poll()`` would
    do: it reports what was not committed once more.
    """

    def __init__(
        self,
        callback: Any,
        *,
        store: Union[str, Store] = "memory",
        data_path: Optional[str] = None,
        on_callback_error: OnCallbackError = None,
        changelog: Optional[Changelog] = None,
        run: Optional[Callable[[Any], object]] = None,
    ) -> None:
        """Start the search; nothing is reported yet.

        Args:
            callback: a :class:`~syncrepl_client.callbacks.BaseCallback` or such a class.
            store: ``"memory"``, ``"sqlite"``, ``"shelve"``, or an empty store.
            data_path: prefix of the store's file names; None: in a temporary directory, which
                :meth:`close` removes.
            on_callback_error: as for a client; but it retries without delay.
            changelog: as for a client.
            run: for a callback with ``async`` methods: a function that runs a coroutine, as
                ``asyncio.run`` does.

        Raises:
            ConfigurationError: an argument is not valid.
            StoreError: the store can't be opened.
            UsageError: the store is not empty.
        """
        self._run = run
        self._policy = on_callback_error
        self._changelog = changelog
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

    # --- changes in the directory

    def add(self, dn: str, attrs: AttributesLike) -> UUID:
        """Add an entry, and report it.

        Args:
            dn: its DN.  The entry above it need not exist.
            attrs: names to lists of values, str or bytes.

        Returns:
            Its entryUUID, which does not change.

        Raises:
            UsageError: there is an entry with that DN.
            ConfigurationError: *dn* or *attrs* is not valid.
            Exception: any exception of the callback.
        """
        self._check("add")
        entry = self._directory.add(dn, attrs)
        self._changed(entry)
        return UUID(bytes=entry.uuid)

    def modify(self, dn: str, attrs: AttributesLike) -> None:
        """Change attributes of an entry, and report it, if anything differs.

        Args:
            dn: of the entry.
            attrs: names to lists of values, which replace all values of the attribute; an empty
                list removes it.  Other attributes stay.

        Raises:
            UsageError: there is no such entry.
            ConfigurationError: *dn* or *attrs* is not valid.
            Exception: any exception of the callback.
        """
        self._check("modify")
        self._changed(self._directory.modify(dn, attrs))

    def rename(self, old_dn: str, new_dn: str, attrs: Optional[AttributesLike] = None) -> None:
        """Rename or move an entry and all entries below it, and report each.

        If the entry has the attribute values of its RDN, those of the new RDN replace them, as on a
        server.

        Args:
            old_dn: the old DN.
            new_dn: the new DN.
            attrs: further attributes to change, as for :meth:`modify`.

        Raises:
            UsageError: there is no such entry, the new DN (or that of an entry below it) is taken,
                or it is below the old one.
            ConfigurationError: a DN or *attrs* is not valid.
            Exception: any exception of the callback.
        """
        self._check("rename")
        renamed, *below = self._directory.rename(old_dn, new_dn, {} if attrs is None else attrs)
        # In the persist stage a server sends the renamed entry alone.
        self._changed(renamed, *(() if self._refreshed else below))

    def delete(self, dn: str) -> None:
        """Delete an entry, or let it no longer match the filter, and report it.

        Entries below it stay: they may match where it does not.  In the refresh stage it is
        reported at the end.

        Raises:
            UsageError: there is no such entry.
            ConfigurationError: *dn* is not valid.
            Exception: any exception of the callback.
        """
        self._check("delete")
        self._changed(self._directory.delete(dn))

    # --- what a client does

    def refresh_done(self) -> None:
        """End the refresh stage: report its deletes, call ``refresh_done``, and commit.

        Raises:
            UsageError: it has ended already.
            Exception: any exception of the callback.
        """
        self._check("refresh_done", listening=True)
        if self._refreshed:
            raise UsageError("refresh_done(): it is done; restart() refreshes once more")
        self._refreshed = True
        self._tell([self._end_of_refresh()], commit=True)

    def commit(self) -> None:
        """Commit what was reported since the last commit; do nothing if nothing was.

        Raises:
            Exception: any exception of the callback's ``cookie_change`` or ``before_commit``.
        """
        self._check("commit", listening=True)
        if self.store.in_transaction:
            self._tell([], commit=True)

    def crash(self) -> None:
        """Simulate a crash before the next commit: what was not committed is rolled back.

        Later changes in the directory are reported by :meth:`restart`.
        """
        self._check("crash", failed=True)
        self._delivery.roll_back()
        self._sync, self._failed = None, False

    def restart(self, callback: Any = None) -> None:
        """Start the program again, after :meth:`crash` or instead of it.

        A refresh reports everything that differs from what was committed, in the directory's order:
        parents first.  Then ``refresh_done`` is called, and it is committed.  The store stays open.

        Args:
            callback: the callback to use from now on; None for the same as before.

        Raises:
            ConfigurationError: the callback is not valid.
            Exception: any exception of the callback; restart once more.
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
        """Close the store: what was not committed is rolled back.  A second call does nothing."""
        if self._resources is not None:
            self._resources.close()
            self._resources = None

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

    # --- messages of the server

    def _search(self, callback: Any) -> None:
        self._delivery = Delivery(self.store, callback, self._policy, changelog=self._changelog)
        self._delivery.create_store(URL)
        self._synchronize()

    def _synchronize(self) -> Synchronization:
        request = SearchRequest(OTHER, Extent(base=b""))
        self._sync = Synchronization(request, self.store, self.store.seen, now)
        return self._sync

    def _everything(self) -> list[Message]:
        """Return the answer to a search without a cookie, as far as it has been sent."""
        return [*self._directory, *([self._end_of_refresh()] if self._refreshed else [])]

    def _end_of_refresh(self) -> Message:
        return PhaseEnd(deletes=False, done=True, cookie=self._cookie())

    def _cookie(self) -> bytes:
        self._cookies += 1
        return b"feed=%d" % self._cookies

    # --- delivery

    def _changed(self, *entries: Entry) -> None:
        if self._sync is None:
            return  # nobody listens
        if self._refreshed:
            self._tell([each._replace(cookie=self._cookie()) for each in entries])
        else:
            self._tell(entries)

    def _tell(self, messages: Iterable[Message], *, commit: bool = False) -> None:
        """Deliver *messages*; if that fails, and is to be retried, all since the last commit."""
        self._busy = True
        try:
            self._drive(self._deliver_with_retries(messages, commit))
        except BaseException:
            self._failed = True
            raise
        finally:
            self._busy = False

    async def _deliver_with_retries(self, messages: Iterable[Message], commit: bool) -> None:
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
            origin, complete = delivery.origin, not sync.refreshing
            if complete:
                origin = origin._replace(cookie=sync.cookie, dialect=OTHER.name)
            await delivery.commit(origin, complete=complete)

    # --- running coroutines

    def _drive(self, coroutine: ClientCoroutine[None]) -> None:
        answer, error = None, None
        while not isinstance(request := step(coroutine, answer, error), Finished):
            try:
                answer, error = self._perform(request), None
            except BaseException as caught:  # noqa: BLE001 - the coroutine decides
                answer, error = None, caught

    def _perform(self, request: Request) -> Any:
        if isinstance(request, Await) and self._run is not None:
            return self._run(request.awaitable)
        return perform(request)
