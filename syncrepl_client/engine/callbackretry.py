# SPDX-License-Identifier: BSD-3-Clause
"""What a program wants to be done if its callback fails; few want more than the exception."""

from dataclasses import dataclass, field
from typing import Callable, Optional

from ..changes import Change
from ..exceptions import ConfigurationError
from ..waiting.backoff import Backoff

DeadLetter = Callable[[Change, Exception], object]


@dataclass(frozen=True)
class RetryCallback:
    """What to do if a callback fails: try again, then pass the change to a dead letter function.

    Each failure rolls back the transaction; after a delay the same changes are delivered again.
    Nothing is dropped: a change that keeps failing is handed to *dead_letter*, or its exception
    raised.

    Attributes:
        retries: how often to try again.
        backoff: the delays before the attempts.
        dead_letter: called with a change that failed more than *retries* times, and with its
            exception, in place of the callback; the change then counts as delivered, and what the
            callback wrote to the store's database for it is undone.  It runs in the open
            transaction; its exceptions are treated as the callback's.  None: the exception is
            raised by ``poll()``.  Only changes can be dead letters: exceptions of ``refresh_done``,
            ``cookie_change`` or ``before_commit`` are raised after the last retry.
    """

    retries: int = 5
    backoff: Backoff = field(default_factory=Backoff)
    dead_letter: Optional[DeadLetter] = None

    def __post_init__(self) -> None:
        """Check the attributes.

        Raises:
            ConfigurationError: one is not valid.
        """
        if type(self.retries) is not int or self.retries < 0:
            raise ConfigurationError(f"retries is an int, 0 or more, not {self.retries!r}")
        if self.dead_letter is not None and not callable(self.dead_letter):
            raise ConfigurationError("dead_letter is a function of a change and an exception")
