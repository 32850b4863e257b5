# SPDX-License-Identifier: BSD-3-Clause
"""The client of a program with an event loop.

Nothing waits in a thread: the connection's descriptor is watched by the loop.  Only what libldap
can't do without blocking is done aside: connect, TLS and bind, a Cancel, one question to 389-ds.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar, Union, cast

from . import arguments
from .changes import Change
from .driving import Aside, Course, Ended, Handover, Outcome, Request, Wait, step
from .follower import Follower

if TYPE_CHECKING:
    from .verification import Difference

T = TypeVar("T")


class AsyncSyncrepl(Follower):
    """Follows the result of one LDAP search, in an event loop (asyncio).

    As :class:`~syncrepl_client.Syncrepl`, with the same arguments and promises.  The constructor
    opens the store; ``async with`` connects, starts TLS, binds, calls ``bind_complete`` and
    starts the search, and unbinds at its end.  Both are for the thread of the loop.

    Methods of the callback may be ``async``, but for ``debug``: see
    :class:`.callbacks.AsyncCallback`.  They are called one at a time.  To cancel a task in one of
    them, or in :meth:`poll`, rolls back what is not committed, and loses nothing.

    Attributes:
        store: the open data store.
    """

    _awaits = True
    _idle: asyncio.Event
    _worker: Optional["asyncio.Task[Any]"] = None

    async def poll(self, timeout: Optional[float] = None) -> bool:
        """Wait for something to do, do it, commit it: as :meth:`.Syncrepl.poll`."""
        self._check_pollable("poll")
        deadline = arguments.deadline(timeout)
        with self._at_work():
            return await _drive(self._turns.poll(deadline))

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        with super()._at_work():
            self._worker = asyncio.current_task()
            self._idle.clear()
            try:
                yield
            finally:
                self._worker = None
                self._idle.set()

    async def run(self) -> None:
        """Poll until the search is over; raises what :meth:`poll` raises."""
        self._check_pollable("run")
        with self._at_work():
            await _drive(self._turns.run())

    def changes(
        self, *, at_once: int = 1, timeout: Optional[float] = None
    ) -> AsyncIterator[Change]:
        """Iterate over the changes: as :meth:`.Syncrepl.changes`, with ``async for``.

        ``async for change in client`` is the same, without arguments.
        """
        self._check_usable("changes")
        arguments.check_number("at_once", at_once, least=1)
        arguments.check_seconds("timeout", timeout)
        return _Changes(self, at_once, timeout)

    def __aiter__(self) -> AsyncIterator[Change]:
        return self.changes()

    async def verify(self, page_size: int = 1000, limit: int = 1000) -> "list[Difference]":
        """Compare the store with an ordinary search: as :meth:`.Syncrepl.verify`, in a thread.

        To cancel it takes until the thread has heard of that: use :meth:`please_stop`.
        """
        with self._verifying() as verify:
            differences: list[Difference] = await _aside(partial(verify, page_size, limit))
            return differences

    async def unbind(self) -> None:
        """Close the connection and the store.  Every method raises ClosedError from then on.

        If another task is at work with the client, stop it, and wait until it has.
        """
        self._give_up_iteration()
        while self._worker not in (None, asyncio.current_task()):
            self.please_stop()
            await self._idle.wait()
        self._unbind()

    async def __aenter__(self) -> "AsyncSyncrepl":
        self._check_usable("__aenter__")
        self._idle = asyncio.Event()
        try:
            with self._at_work():
                await _drive(self._turns.begin())
        except BaseException:
            self._unbind()
            raise
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if not self._closed:
            await self.unbind()


class _Changes(AsyncIterator[Change]):
    """The changes of a client, handed over one by one.

    To drop it closes its course, and the change at hand comes again: so an ``async for`` may be
    left like any loop.
    """

    def __init__(self, client: AsyncSyncrepl, at_once: int, timeout: Optional[float]) -> None:
        self._client = client
        self._limits = at_once, timeout
        self._course: Optional[Course[None]] = None

    async def __anext__(self) -> Change:
        if self._course is None:
            self._course = self._client._hand_over(*self._limits)
        else:
            self._client._take_back()
        request = await _advance(self._course)
        if not isinstance(request, Handover):
            raise StopAsyncIteration
        self._client._hand(self._course)
        return request.change


# --- doing what a course asks for


async def _drive(course: "Course[T]") -> T:
    value: T = cast(Ended, await _advance(course)).value
    return value


async def _advance(course: Course[Any]) -> Union[Request, Ended]:
    """Drive *course* until it ends, or hands a change over; return which."""
    answer, error = None, None
    while True:
        request = step(course, answer, error)
        if isinstance(request, (Ended, Handover)):
            return request
        try:
            answer, error = await _perform(request), None
        except BaseException as caught:  # noqa: BLE001 - the course decides
            answer, error = None, caught


async def _perform(request: Request) -> Any:
    if isinstance(request, Wait):
        await _wait(request)
    elif isinstance(request, Outcome):
        await request.awaitable
    elif isinstance(request, Aside):
        return await _aside(request.call)
    else:
        await asyncio.sleep(0)
    return None


async def _wait(wait: Wait) -> None:
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()
    timer = None
    if wait.deadline is not None:
        timer = loop.call_later(max(0.0, wait.deadline - time.monotonic()), woken.set)
    for descriptor in wait.descriptors:
        loop.add_reader(descriptor, woken.set)
    try:
        await woken.wait()
    finally:
        for descriptor in wait.descriptors:
            loop.remove_reader(descriptor)
        if timer is not None:
            timer.cancel()


async def _aside(call: Callable[[], Any]) -> Any:
    """Call it in a thread, and see its end, also if this is cancelled: it has the connection."""
    future = asyncio.get_running_loop().run_in_executor(None, call)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise
