# SPDX-License-Identifier: BSD-3-Clause
"""Delivery: what happened is told, then stored, then committed with its cookie.

The only place that calls a callback about changes, and the only one that commits.  What a
callback raises is remembered as its own: an ``ldap.SERVER_DOWN`` of the program's other
connection is not one of ours.
"""

import logging
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Optional, Union

from .backoff import Backoff
from .changes import Change, ChangeKind
from .driving import Carried, Handover, ask, finish
from .exceptions import ConfigurationError
from .placement import Step
from .store import Origin, Store

logger = logging.getLogger(__name__)

DeadLetter = Callable[[Change, Exception], object]


@dataclass(frozen=True)
class RetryCallback:
    """What to do where a callback fails: try again, then perhaps hand the change over.

    Each failure rolls the transaction back; after a delay the same changes are delivered
    again.  Nothing is dropped: a change that goes on failing is handed over, or raised.

    Attributes:
        retries: how often to try again.
        backoff: how long to wait before each new attempt.
        dead_letter: called with a change that failed once more than *retries*, and its
            exception, in place of the callback; the change then counts as delivered, and what
            the callback wrote into the store's database for it is undone.  It runs in the
            open transaction; what it raises is the callback's error.  None: the exception goes
            through ``poll()``.  Only a change can be handed over: what ``refresh_done``,
            ``cookie_change`` or ``before_commit`` raise goes through after the last retry.
    """

    retries: int = 5
    backoff: Backoff = field(default_factory=Backoff)
    dead_letter: Optional[DeadLetter] = None

    def __post_init__(self) -> None:
        """See that the attributes are what they should be.

        Raises:
            ConfigurationError: they aren't.
        """
        if type(self.retries) is not int or self.retries < 0:
            raise ConfigurationError(f"retries is an int, 0 or more, not {self.retries!r}")
        if self.dead_letter is not None and not callable(self.dead_letter):
            raise ConfigurationError("dead_letter is a function of a change and an exception")


OnCallbackError = Union[RetryCallback, None]


class Delivery:
    """One transaction at a time, and the callback that hears of it first.

    Attributes:
        store: the open store.
        origin: whose answer is committed.
        at_once: so many changes share a commit, at most.
        hands_over: whether each change goes to the program as well, after the callback.
        handed: how many did.
        commits: how many there were.
        changes: how many were committed, by kind.
        errors: how many the callback raised.
        cookie_committed: when another cookie was last committed, in seconds of Unix time.
    """

    def __init__(self, store: Store, callback: Any, policy: OnCallbackError) -> None:
        """Begin with what *store* holds."""
        if policy is not None and not isinstance(policy, RetryCallback):
            raise ConfigurationError(
                f"on_callback_error is None (raise) or a RetryCallback, not {policy!r}"
            )
        self.store = store
        self.callback = callback
        self.origin = store.origin if store.exists else Origin()
        self._policy = policy
        self._failure: Optional[Exception] = None
        self._failed_at: Optional[bytes] = None
        self._failures: Counter[Optional[bytes]] = Counter()
        self.at_once = sys.maxsize
        self.hands_over = False
        self.handed = 0
        self.commits = self.errors = 0
        self.cookie_committed: Optional[float] = None
        self.changes: Counter[ChangeKind] = Counter()
        self._told = 0
        self._counts: Counter[ChangeKind] = Counter()

    def create_store(self, url: str) -> None:
        """Make the store where it does not exist, and have it remember *url*."""
        self.store.create()
        self.origin = self.store.origin
        if self.origin.url is None:
            self.store.begin()
            self._commit(self.origin._replace(url=url))

    # --- a transaction

    @property
    def room(self) -> int:
        """How many more changes the open transaction may take."""
        return self.at_once - self._told

    async def step(self, step: Step) -> None:
        """Tell of a change, then store it."""
        if step.change is not None:
            self._told += 1
            await self._tell(step.uuid, step.change)
            self._counts[step.change.kind] += 1
        if step.record is not None:
            self.store.put(step.record)
        else:
            self.store.remove(step.uuid)

    async def _tell(self, uuid: bytes, change: Change) -> None:
        policy = self._policy
        if policy is None or policy.dead_letter is None:
            await self._call(uuid, self.callback.dispatch, change)
        else:
            await self._try(uuid, change, policy.retries, policy.dead_letter)
        if self.hands_over:
            self.handed += 1
            self.store.lent = True
            try:
                await ask(Handover(change))
            finally:
                self.store.lent = False

    async def _try(
        self, uuid: bytes, change: Change, retries: int, dead_letter: DeadLetter
    ) -> None:
        try:
            with self.store.savepoint():
                await self._call(uuid, self.callback.dispatch, change)
        except Exception as error:
            if self._failures[uuid] < retries:
                self._failed(uuid, error)
                raise
            logger.exception(
                "a change goes to the dead letters: %s",
                describe(change),
                extra={"event": "dead-letter"},
            )
            reason = error.error if isinstance(error, Carried) else error
            await self._call(uuid, dead_letter, change, reason)

    async def refresh_done(self) -> None:
        """Tell that the store equals the server's answer."""
        self._told += 1
        await self._call(None, self.callback.refresh_done, self.store.items())

    async def commit(self, origin: Optional[Origin]) -> None:
        """Commit the open transaction, and *origin* with it; None: it stays as it was."""
        complete, before = origin is not None, self.origin.cookie
        if origin == self.origin and self.store.trusted:
            origin = None
        if origin and origin.cookie and origin.cookie != self.origin.cookie:
            self._told += 1
            await self._call(None, self.callback.cookie_change, origin.cookie)
        if self._told:
            await self._call(None, self.callback.before_commit)
        self._commit(origin)
        self.commits += 1
        self.changes.update(self._counts)
        self._counts.clear()
        if origin and origin.cookie != before:
            self.cookie_committed = time.time()
        if complete:  # a part of a refresh comes before the change that fails, each time
            self._failures.clear()

    def _commit(self, origin: Optional[Origin]) -> None:
        self.store.commit(origin)
        self.origin = origin or self.origin
        self._told = 0

    def roll_back(self) -> None:
        """Undo what is not committed."""
        self._told = 0
        self._counts.clear()
        self.store.rollback()

    # --- errors of the callback

    async def _call(self, uuid: Optional[bytes], method: Callable[..., object], *args: Any) -> None:
        self.store.lent = True
        try:
            outcome = method(*args)
            if outcome is not None:
                await finish(outcome)
        except StopIteration as error:
            carried = Carried(error)
            self._failed(uuid, carried)
            raise carried from error
        except Exception as error:
            self._failed(uuid, error)
            raise
        finally:
            self.store.lent = False

    def _failed(self, uuid: Optional[bytes], error: Exception) -> None:
        self._failure, self._failed_at = error, uuid
        self.errors += 1

    def is_callbacks(self, error: BaseException) -> bool:
        """Say whether *error* was raised by the callback."""
        return error is self._failure

    def retry_delay(self) -> Optional[float]:
        """Return the seconds to wait before the callback is tried again; None: it is not."""
        uuid = self._failed_at
        self._failures[uuid] += 1
        policy = self._policy
        if policy is None or self._failures[uuid] > policy.retries:
            self._failures.clear()
            return None
        return policy.backoff.delay(self._failures[uuid])

    def debug(self, event: str, message: str) -> None:
        """Hand on what the client does; what the callback raises is logged, and that is all."""
        logger.debug("%s", message, extra={"event": event})
        try:
            self.callback.debug(message)
        except Exception:
            logger.exception("the callback's debug() failed", extra={"event": "debug-failed"})


def describe(change: Change) -> Mapping[str, Any]:
    """Return what may be logged of a change: not the values, which are people's data."""
    return {
        "kind": change.kind.value,
        "uuid": str(change.uuid),
        "dn": change.new_dn or change.old_dn,
    }
