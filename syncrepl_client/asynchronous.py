# SPDX-License-Identifier: BSD-3-Clause
"""The client for programs with an asyncio event loop.

Waiting is done by the event loop, which watches the connection's descriptor, and that of a
database server.  Only operations for which libldap has no non-blocking call run in a thread:
connect, TLS and bind, Cancel, and one question to 389-ds.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar, Union, cast

from .changes import Change
from .engine import arguments
from .engine.baseclient import BaseClient, S
from .exceptions import ClosedError
from .waiting.coroutines import (
    Await,
    BlockingCall,
    ClientCoroutine,
    Finished,
    Request,
    Wait,
    YieldChange,
    step,
)

if TYPE_CHECKING:
    from .engine.verification import Difference

T = TypeVar("T")
Step = Callable[..., Awaitable[Union[Request, Finished]]]
"""Does what :func:`.coroutines.step` does."""


class AsyncSyncrepl(BaseClient[S]):
    """Follows the result of one LDAP search, in an asyncio event loop.

    It has the arguments and guarantees of :class:`~syncrepl_client.Syncrepl`.  The constructor
    opens the store, and waits for that; ``async with`` connects, starts TLS, binds, calls
    ``bind_complete``, starts the search, and unbinds at the end.  Both must be called in the thread
    of the event loop.

    Methods of the callback may be ``async``, except ``debug``: see
    :class:`.callbacks.AsyncCallback`. They are called one at a time.  Cancelling a task in one of
    them, or in :meth:`poll`, rolls back what is not committed, and loses nothing.

    Attributes:
        store: the open data store.
    """

    _awaits = True
    _idle: asyncio.Event
    _worker: Optional["asyncio.Task[Any]"] = None
    _step: Step

    def _start(self) -> None:
        """Have the event loop wait for the store's server, if it has one."""
        self._step = _step
        if self.store.waits:
            greenlets = _greenlets()
            self._step, self.store.asker = greenlets.step, greenlets.asker
            is_stopping = self.store.stopping
            self.store.stopping = lambda: is_stopping() or greenlets.is_cancelled()

    async def run_sync(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function that uses ``store`` or ``store.connection``; return what it returns.

        While its statements wait for a PostgreSQL server, other tasks run.  In an ``async`` method
        of the callback, and in the body of ``async for``, they would block the event loop
        otherwise.  If the task is cancelled meanwhile, the function is not interrupted.
        """
        self._owner.check("run_sync")
        if self._closed:
            raise ClosedError("run_sync(): the client was unbound")
        return await self._apart(partial(function, *args))

    async def _apart(self, function: Callable[[], T]) -> T:
        if not self.store.waits:
            return function()
        result: T = await _greenlets().call(function)
        return result

    async def poll(self, timeout: Optional[float] = None) -> bool:
        """Wait for messages, process them, and commit: see :meth:`.Syncrepl.poll`."""
        self._check_pollable("poll")
        deadline = arguments.deadline(timeout)
        with self._at_work():
            return await self._run(self._poller.poll(deadline))

    async def _run(self, coroutine: "ClientCoroutine[T]") -> T:
        value: T = cast(Finished, await _run_until(coroutine, self._step)).value
        return value

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
            await self._run(self._poller.run())

    def changes(
        self, *, at_once: int = 1, timeout: Optional[float] = None
    ) -> AsyncIterator[Change]:
        """Iterate over the changes with ``async for``: see :meth:`.Syncrepl.changes`.

        ``async for change in client`` is the same, without arguments.
        """
        self._check_usable("changes")
        arguments.check_number("at_once", at_once, least=1)
        arguments.check_seconds("timeout", timeout)
        return _Changes(self, at_once, timeout)

    def __aiter__(self) -> AsyncIterator[Change]:
        return self.changes()

    async def verify(self, page_size: int = 1000, limit: int = 1000) -> "list[Difference]":
        """Compare the store with a search, in a thread: see :meth:`.Syncrepl.verify`.

        Cancelling does not stop the thread at once; use :meth:`please_stop`.
        """
        with self._verifying() as verify:
            differences: list[Difference] = await _call_in_thread(partial(verify, page_size, limit))
            return differences

    async def unbind(self) -> None:
        """Close the connection and the store.  Every method raises ClosedError afterwards.

        If another task is using the client, it is stopped, and waited for.
        """
        self._owner.check("unbind")
        await self._apart(self._abandon_iteration)
        while self._worker not in (None, asyncio.current_task()):
            self.please_stop()
            await self._idle.wait()
        await self._apart(self._unbind)

    async def __aenter__(self) -> "AsyncSyncrepl[S]":
        self._check_usable("__aenter__")
        self._idle = asyncio.Event()
        try:
            with self._at_work():
                await self._run(self._poller.start())
        except BaseException:
            await self._apart(self._unbind)
            raise
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if not self._closed and self._owner.is_here:
            await self.unbind()


class _Changes(AsyncIterator[Change]):
    """An asynchronous iterator over the changes of a client.

    When it is dropped its coroutine is closed, and the current change comes again: so an ``async
    for`` may be left like any loop.
    """

    def __init__(self, client: AsyncSyncrepl, at_once: int, timeout: Optional[float]) -> None:
        self._client = client
        self._limits = at_once, timeout
        self._coroutine: Optional[ClientCoroutine[None]] = None

    async def __anext__(self) -> Change:
        if self._coroutine is None:
            self._coroutine = self._client._iteration(*self._limits)
        else:
            self._client._change_handled()
        request = await _run_until(self._coroutine, self._client._step)
        if not isinstance(request, YieldChange):
            raise StopAsyncIteration
        self._client._lend_change(self._coroutine)
        return request.change


# --- running a coroutine, as waiting/coroutines.py does in a thread


def _greenlets() -> Any:
    try:
        from .waiting import greenlets
    except ImportError as error:
        raise ImportError(
            "AsyncSyncrepl with a store in PostgreSQL needs greenlet, which is not installed: "
            "pip install 'syncrepl_client[postgresql]'",
            name="greenlet",
        ) from error
    return greenlets


async def _step(*args: Any) -> Union[Request, Finished]:
    return step(*args)


async def _run_until(coroutine: ClientCoroutine[Any], step: Step) -> Union[Request, Finished]:
    """Run *coroutine* until it returns or yields a change; return the result or the request."""
    answer, error = None, None
    while True:
        request = await step(coroutine, answer, error)
        if isinstance(request, (Finished, YieldChange)):
            return request
        try:
            answer, error = await _perform(request), None
        except BaseException as caught:  # noqa: BLE001 - the coroutine decides
            answer, error = None, caught


async def _perform(request: Request) -> Any:
    if isinstance(request, Wait):
        await _wait(request)
    elif isinstance(request, Await):
        await request.awaitable
    elif isinstance(request, BlockingCall):
        return await _call_in_thread(request.call)
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


async def _call_in_thread(call: Callable[[], Any]) -> Any:
    """Call a function in a thread; if cancelled, wait until it returns: it uses the connection."""
    future = asyncio.get_running_loop().run_in_executor(None, call)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise
