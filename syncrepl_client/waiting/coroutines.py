# SPDX-License-Identifier: BSD-3-Clause
"""Coroutines that do no I/O: what they ask for, and what runs them.

Everything that a client does is written once, as coroutines.  Where one has to wait or to block,
it yields a *request*, and whatever runs the coroutine fulfils it and sends the answer back in.
So the same code serves a client that polls in its own thread (:func:`run`), several clients that
share a thread (:func:`run_until`), and asyncio (:mod:`syncrepl_client.asynchronous`).
"""

import types
from collections.abc import Awaitable, Coroutine, Generator
from functools import partial
from typing import Any, Callable, Optional, TypeVar, Union, cast

from ..changes import Change
from ..exceptions import CallbackInvalid
from .waker import Waker, wait_for

T = TypeVar("T")


class Wait:
    """Request to wait until a descriptor is readable, or a time has come; may end earlier.

    Attributes:
        deadline: by ``time.monotonic()``; None for none.
        descriptors: file descriptors of sockets.
    """

    def __init__(self, deadline: Optional[float], *descriptors: int) -> None:
        """Initialize from a deadline and the descriptors to wait for."""
        self.deadline = deadline
        self.descriptors = descriptors


class BlockingCall:
    """Request to call a function that may block; the answer is what it returns.

    Attributes:
        call: the function, which takes no arguments.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Initialize from the function and its arguments."""
        self.call = partial(function, *arguments)


class WaitForSocket:
    """Request to wait until a socket is ready, for some time; the answer is what it is ready for.

    Only ordinary functions make it: see :mod:`~syncrepl_client.waiting.greenlets`.

    Attributes:
        descriptor: of the socket.
        events: ``EVENT_READ`` and ``EVENT_WRITE`` of :mod:`selectors`, as in the answer.
        seconds: the longest time to wait.
    """

    def __init__(self, descriptor: int, events: int, seconds: float) -> None:
        """Initialize from a descriptor, events and time."""
        self.descriptor = descriptor
        self.events = events
        self.seconds = seconds


class Await:
    """Request to await an awaitable, which an ``async`` method of the callback returned."""

    def __init__(self, awaitable: Awaitable[object]) -> None:
        """Initialize from the awaitable."""
        self.awaitable = awaitable


class YieldChange:
    """Request to hand a change to the program that iterates over ``changes()``.

    The change counts as handled when the coroutine is resumed.
    """

    def __init__(self, change: Change) -> None:
        """Initialize from the change."""
        self.change = change


class YieldControl:
    """Request to let other clients, or tasks, run, as ``asyncio.sleep(0)`` does."""


YIELD_CONTROL = YieldControl()
Request = Union[Wait, BlockingCall, Await, YieldChange, YieldControl]
ClientCoroutine = Coroutine[Request, Any, T]
Ask = Callable[[Union[WaitForSocket, BlockingCall]], Any]
"""Makes a request of an ordinary function, and returns the answer."""


class Finished:
    """The result of a coroutine that has returned.

    Attributes:
        value: what it returned.
    """

    def __init__(self, value: Any) -> None:
        """Initialize from the value that the coroutine returned."""
        self.value = value


class CallbackStopIteration(Exception):
    """Wraps a StopIteration that a callback raised: coroutines can't raise one (PEP 479)."""

    def __init__(self, error: StopIteration) -> None:
        """Initialize from the exception to wrap."""
        super().__init__()
        self.error = error


@types.coroutine
def ask(request: Request) -> Generator[Request, Any, Any]:
    """Yield *request* to whatever runs the coroutine; return the answer."""
    return (yield request)


async def wait_or_wake(waker: Waker, deadline: Optional[float], *descriptors: int) -> None:
    """Wait until *waker* is woken, a descriptor is readable, or *deadline* has come.

    Args:
        waker: what another thread or a signal handler wakes; it is cleared.
        deadline: by ``time.monotonic()``; None waits for as long as it takes.
        descriptors: further file descriptors to wait for.
    """
    await ask(Wait(deadline, waker.descriptor, *descriptors))
    waker.clear()


async def maybe_await(outcome: object) -> None:
    """Await what a method of the callback returned, if it can be awaited."""
    if isinstance(outcome, Awaitable):
        await ask(Await(outcome))


def perform(request: Request) -> Any:
    """Fulfil *request* in the calling thread; return the answer.

    Raises:
        CallbackInvalid: the request is to await something: a callback's method is ``async``.
    """
    if isinstance(request, Wait):
        wait_for(request.deadline, *request.descriptors)
    elif isinstance(request, BlockingCall):
        return request.call()
    elif isinstance(request, Await):
        if isinstance(request.awaitable, Coroutine):
            request.awaitable.close()
        raise CallbackInvalid(
            "a method of the callback is async, and nothing awaits it here: use AsyncSyncrepl"
        )
    return None


def step(
    coroutine: ClientCoroutine[Any], answer: Any = None, error: Optional[BaseException] = None
) -> Union[Request, Finished]:
    """Resume *coroutine*; return its next request, or its result.

    Args:
        coroutine: the coroutine to resume.
        answer: the answer to its last request.
        error: an exception to raise in it in place of an answer.
    """
    try:
        return coroutine.send(answer) if error is None else coroutine.throw(error)
    except StopIteration as end:
        return Finished(end.value)
    except CallbackStopIteration as wrapped:
        raise wrapped.error from None


def run_until(
    coroutine: ClientCoroutine[Any], *requests: type[Request]
) -> Union[Request, Finished]:
    """Run *coroutine* in the calling thread until it makes one of *requests*, or returns.

    Call this again to resume it.

    Returns:
        the request, which is not fulfilled, or the result.
    """
    answer, error = None, None
    while True:
        request = step(coroutine, answer, error)
        if isinstance(request, Finished):
            return request
        if isinstance(request, requests):
            return request
        try:
            answer, error = perform(request), None
        except BaseException as caught:  # noqa: BLE001 - the coroutine decides
            answer, error = None, caught


def run(coroutine: "ClientCoroutine[T]") -> T:
    """Run *coroutine* in the calling thread; return what it returns."""
    value: T = cast(Finished, run_until(coroutine)).value
    return value
