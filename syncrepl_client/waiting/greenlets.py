# SPDX-License-Identifier: BSD-3-Clause
"""Ordinary functions that let an asyncio event loop wait in their place.

A client's coroutines can yield a request; a statement of a database, far below them or in a
callback, can't.  So :class:`Worker` runs a step of a coroutine in a greenlet, which a statement
leaves for as long as it waits.  To the function, it is as if it had waited in its thread.
"""

import asyncio
from asyncio import CancelledError
from collections.abc import Coroutine
from functools import partial
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any, Callable, Optional, Union, cast

from greenlet import getcurrent, greenlet

from . import coroutines
from .coroutines import Ask, Await, BlockingCall, ClientCoroutine, Finished, Request, WaitForSocket


class Worker(greenlet):
    """Runs a function in the thread of an event loop, which fulfils its requests.

    Attributes:
        cancelled: set when the task was cancelled.  The function goes on: a statement can't be
            left halfway.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        """Initialize from a function; it shares the context variables of the caller."""
        super().__init__(function)
        self.gr_context = getcurrent().gr_context
        self.cancelled: Optional[CancelledError] = None

    async def outcome(self) -> Any:
        """Run the function; return what it returns, or raise what it raises."""
        request = self.switch()
        while not self.dead:
            try:
                answer = await self._fulfil(request)
            except BaseException as error:  # noqa: BLE001 - the function decides
                request = self.throw(error)
            else:
                request = self.switch(answer)
        return request

    async def _fulfil(self, request: Union[BlockingCall, WaitForSocket]) -> Any:
        if isinstance(request, BlockingCall):
            future = asyncio.get_running_loop().run_in_executor(None, request.call)
            while not future.done():
                await self._through(asyncio.wait([future]))
            return future.result()
        return await self._through(_wait_for_socket(request)) or 0

    async def _through(self, waiting: Coroutine[Any, Any, Any]) -> Any:
        """Wait; note a cancellation."""
        try:
            return await waiting
        except CancelledError as error:
            self.cancelled = self.cancelled or error
            return None


def asker() -> Optional[Ask]:
    """Return what makes a request of the event loop; None outside of a :class:`Worker`."""
    worker = getcurrent()
    if not isinstance(worker, Worker) or worker.parent is None:
        return None
    return cast(Ask, worker.parent.switch)


def is_cancelled() -> bool:
    """Return whether the task was cancelled in whose :class:`Worker` this is called."""
    worker = getcurrent()
    return isinstance(worker, Worker) and worker.cancelled is not None


async def call(function: Callable[[], Any]) -> Any:
    """Call a function whose statements do not block the event loop.

    Raises:
        CancelledError: the task was cancelled meanwhile; the function was called nevertheless.
    """
    worker = Worker(function)
    try:
        return await worker.outcome()
    finally:
        if worker.cancelled is not None:
            raise worker.cancelled


async def step(
    coroutine: ClientCoroutine[Any], answer: Any = None, error: Optional[BaseException] = None
) -> Union[Request, Finished]:
    """Do what :func:`.coroutines.step` does, without blocking the event loop.

    A cancellation is raised in the coroutine, at its next request.
    """
    worker = Worker(partial(coroutines.step, coroutine, answer, error))
    try:
        outcome: Union[Request, Finished] = await worker.outcome()
    except BaseException as raised:
        if worker.cancelled is None:
            raise
        raise worker.cancelled from raised
    if worker.cancelled is None:
        return outcome
    if isinstance(outcome, Finished):
        raise worker.cancelled
    if isinstance(outcome, Await) and isinstance(outcome.awaitable, Coroutine):
        outcome.awaitable.close()
    return await step(coroutine, None, worker.cancelled)


async def _wait_for_socket(request: WaitForSocket) -> int:
    """Return the events that occurred, 0 after a while without any."""
    loop, woken, ready = asyncio.get_running_loop(), asyncio.Event(), 0

    def note(event: int) -> None:
        nonlocal ready
        ready |= event
        woken.set()

    timer = loop.call_later(request.seconds, woken.set)
    try:
        if request.events & EVENT_READ:
            loop.add_reader(request.descriptor, note, EVENT_READ)
        if request.events & EVENT_WRITE:
            loop.add_writer(request.descriptor, note, EVENT_WRITE)
        await woken.wait()
    finally:
        timer.cancel()
        loop.remove_reader(request.descriptor)
        loop.remove_writer(request.descriptor)
    return ready
