# SPDX-License-Identifier: BSD-3-Clause
"""How a client is driven: by a program that polls, that iterates, or that has an event loop.

What a client does, its course, is a coroutine that never waits and never blocks.  It asks
whoever drives it to, and goes on with the answer.  So there is one course, and little that
differs between one thread, several clients in a thread, and asyncio.
"""

from collections.abc import Awaitable, Coroutine, Generator
from functools import partial
from types import coroutine
from typing import Any, Callable, Optional, TypeVar, Union, cast

from .changes import Change
from .exceptions import CallbackInvalid
from .waiting import Waker, wait_for

T = TypeVar("T")


class Wait:
    """Wait for something to read, or for a time; to end earlier does no harm.

    Attributes:
        deadline: by ``time.monotonic()``; None for never.
        descriptors: of sockets.
    """

    def __init__(self, deadline: Optional[float], *descriptors: int) -> None:
        """Say for what."""
        self.deadline = deadline
        self.descriptors = descriptors


class Aside:
    """Call something that may block for a while; the answer is what it returns.

    Attributes:
        call: without arguments.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Say what."""
        self.call = partial(function, *arguments)


class Outcome:
    """Await what a method of the callback returned."""

    def __init__(self, awaitable: Awaitable[object]) -> None:
        """Say what."""
        self.awaitable = awaitable


class Handover:
    """Hand a change to the program; it is handled when the course goes on."""

    def __init__(self, change: Change) -> None:
        """Say which."""
        self.change = change


class Breath:
    """Let others have a turn, if there are any."""


BREATH = Breath()
Request = Union[Wait, Aside, Outcome, Handover, Breath]
Course = Coroutine[Request, Any, T]


class Ended:
    """A course has come to its end.

    Attributes:
        value: what it returned.
    """

    def __init__(self, value: Any) -> None:
        """Say what."""
        self.value = value


class Carried(Exception):
    """Carries a StopIteration of a callback, which no coroutine lets through."""

    def __init__(self, error: StopIteration) -> None:
        """Carry *error*."""
        super().__init__()
        self.error = error


@coroutine
def ask(request: Request) -> Generator[Request, Any, Any]:
    """Have the driver do what is asked for; return its answer."""
    return (yield request)


async def wait_or_wake(waker: Waker, deadline: Optional[float], *descriptors: int) -> None:
    """Wait for a wake-up, for something to read on one of *descriptors*, or until *deadline*.

    Args:
        waker: what ends the wait.
        deadline: by ``time.monotonic()``; None waits for as long as it takes.
        descriptors: further ones to wait for.
    """
    await ask(Wait(deadline, waker.descriptor, *descriptors))
    waker.heard()


async def finish(outcome: object) -> None:
    """See that what a method of the callback began is done: *outcome* is what it returned."""
    if isinstance(outcome, Awaitable):
        await ask(Outcome(outcome))


def perform(request: Request) -> Any:
    """Do what is asked for, in the thread that called.

    Raises:
        CallbackInvalid: that is to await something: a callback's method was ``async``.
    """
    if isinstance(request, Wait):
        wait_for(request.deadline, *request.descriptors)
    elif isinstance(request, Aside):
        return request.call()
    elif isinstance(request, Outcome):
        if isinstance(request.awaitable, Coroutine):
            request.awaitable.close()
        raise CallbackInvalid(
            "a method of the callback is async, and nothing awaits it here: use AsyncSyncrepl"
        )
    return None


def step(
    course: Course[Any], answer: Any = None, error: Optional[BaseException] = None
) -> Union[Request, Ended]:
    """Have *course* go on; return what it asks for next.

    Args:
        course: what goes on.
        answer: to what it asked for.
        error: what came instead of an answer.
    """
    try:
        return course.send(answer) if error is None else course.throw(error)
    except StopIteration as end:
        return Ended(end.value)
    except Carried as carried:
        raise carried.error from None


def advance(course: Course[Any], *halts: type[Request]) -> Union[Request, Ended]:
    """Drive *course*, in this thread, until it ends or asks for one of *halts*; return which.

    After a halt, call this again to have it go on.
    """
    answer, error = None, None
    while True:
        request = step(course, answer, error)
        if isinstance(request, Ended):
            return request
        if isinstance(request, halts):
            return request
        try:
            answer, error = perform(request), None
        except BaseException as caught:  # noqa: BLE001 - the course decides
            answer, error = None, caught


def drive(course: "Course[T]") -> T:
    """Drive *course* to its end, in this thread; return what it returns."""
    value: T = cast(Ended, advance(course)).value
    return value
