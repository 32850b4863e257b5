# SPDX-License-Identifier: BSD-3-Clause
"""What a sink is: it gets messages, and answers for each whether it has it."""

from abc import abstractmethod
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple, Optional, TypeVar

from ..changelog.log import Event
from ..store.closing import Closing

S = TypeVar("S", bound="Sink")


class Message(NamedTuple):
    """A change for a sink.

    Attributes:
        id: identifies the change, in hexadecimal: the same whenever it is sent again.
        key: the entryUUID of the entry, within which the order counts.
        body: the change as a CloudEvent in JSON, in ASCII.
        event: the change as the log has it.
    """

    id: str
    key: str
    body: bytes
    event: Event


class Outcome(Enum):
    """What became of a message."""

    ACCEPTED = "accepted"
    """The other system has confirmed that it has it."""
    REFUSED = "refused"
    """It will never take this message: it is parked."""
    FAILED = "failed"
    """It may not have it, and may take it later: it is sent again."""


class Answer(NamedTuple):
    """A sink's answer to a message.

    Attributes:
        outcome: what became of it.
        reason: why it was refused or failed, for people; without attribute values and secrets.
        retry_after: how many seconds the other system asked to be left alone, if it did.
    """

    outcome: Outcome
    reason: str = ""
    retry_after: Optional[float] = None

    @classmethod
    def accepted(cls) -> "Answer":
        """Return the answer that the other system has the message."""
        return cls(Outcome.ACCEPTED)

    @classmethod
    def refused(cls, reason: str) -> "Answer":
        """Return the answer that the other system will never take the message."""
        return cls(Outcome.REFUSED, reason)

    @classmethod
    def failed(cls, reason: str, retry_after: Optional[float] = None) -> "Answer":
        """Return the answer that the message is to be sent again."""
        return cls(Outcome.FAILED, reason, retry_after)


class Sink(Closing):
    """Another system that gets the changes.  Subclass it for one of your own.

    A :class:`.Relay` calls the methods, one after the other, in one thread.
    """

    def open(self) -> None:
        """Acquire what :meth:`deliver` needs; it is called once, before the first message.

        A server that is away is no reason to raise: :meth:`deliver` says so, and is called again.
        """

    @abstractmethod
    def deliver(self, messages: Sequence[Message]) -> Sequence[Answer]:
        """Send messages, wait until they are confirmed, and return an answer for each, in order.

        They are of different entries, so they may be sent in any order, or at once.  Return within
        a bounded time, also if the other system does not answer: nothing can interrupt it.

        An exception counts as the answer that all of them failed, and is logged.
        """

    def close(self) -> None:
        """Release what :meth:`open` acquired; it is called once, also after an error."""

    def __enter__(self: S) -> S:
        self.open()
        return self
