# SPDX-License-Identifier: BSD-3-Clause
"""Delivery: changes are reported to the callback, then stored, then committed with their cookie.

No other module calls a callback for changes, or commits.  Exceptions of the callback are remembered
as such: an ``ldap.SERVER_DOWN`` from another connection of the program is not one of ours.
"""

import logging
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Mapping
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from ..changes import Change, ChangeKind
from ..exceptions import CallbackOverdue, ConfigurationError, TooManyDeletes
from ..protocol.guard import Tally
from ..protocol.placement import Step
from ..protocol.view import Record
from ..store import Origin, Store
from ..url import SearchUrl, parse
from ..waiting.coroutines import CallbackStopIteration, YieldChange, ask, maybe_await
from ..waiting.forking import Owner

if TYPE_CHECKING:  # few programs ask for them, and import takes its time
    from ..changelog.policy import Changelog
    from ..changelog.recorder import Recorder
    from ..changelog.rows import Row
    from .callbackretry import DeadLetter, RetryCallback

logger = logging.getLogger(__name__)

OnCallbackError = Union["RetryCallback", None]
now = partial(datetime.now, timezone.utc)
"""Returns the time of a change that the program is told of next."""


class Delivery:
    """Delivers changes to the callback and the store, in one transaction at a time.

    Attributes:
        store: the open store.
        origin: the committed cookie, and where it came from.
        at_once: the maximum number of changes per commit.
        iterating: whether each change is also yielded to the program, after the callback.
        yielded: how many changes were yielded.
        commits: how many transactions were committed.
        changes: how many changes were committed, by kind.
        errors: how many exceptions the callback raised.
        cookie_committed: when a new cookie was last committed, in seconds of Unix time.
    """

    def __init__(
        self,
        store: Store,
        callback: Any,
        policy: OnCallbackError,
        *,
        silent: bool = False,
        changelog: "Optional[Changelog]" = None,
    ) -> None:
        """Initialize from the committed store contents."""
        _check_policy(policy)
        self.store = store
        self.callback = callback
        self.origin = store.origin if store.exists else Origin()
        self._policy = policy
        self._has_dead_letter = policy is not None and policy.dead_letter is not None
        self._failure: Optional[Exception] = None
        self._failed_at: Optional[bytes] = None
        self._failures: Counter[Optional[bytes]] = Counter()
        self.at_once = sys.maxsize
        self.iterating = False
        self.yielded = 0
        self.commits = self.errors = 0
        self.cookie_committed: Optional[float] = None
        self.changes: Counter[ChangeKind] = Counter()
        self._silent = silent
        self._owner = Owner()
        self._told = 0
        self._kinds: list[ChangeKind] = []
        self._leased = store.lease is not None
        self._calling: Union[str, Change] = ""
        self._undone = self._overdue = 0
        self._changelog = changelog
        self._recorder = self._choose_recorder()

    def renew(self) -> None:
        """Read again what is committed, maybe by another client."""
        self.origin = self.store.origin if self.store.exists else Origin()
        self._recorder = self._choose_recorder()

    def _choose_recorder(self) -> "Optional[Recorder]":
        """Return what writes the log of changes; None if there is none."""
        changelog = self._changelog
        if changelog is None and not self.store.has_log:
            return None
        from ..changelog.policy import Changelog
        from ..changelog.recorder import Recorder

        if changelog is not None and not isinstance(changelog, Changelog):
            raise ConfigurationError(f"changelog is a Changelog or None, not {changelog!r}")
        tables = self.store.log
        if tables is None:
            kind = type(self.store).__name__
            raise ConfigurationError(
                f"a {kind} can't keep a log of changes: use SQLite or PostgreSQL"
            )
        return Recorder(tables, changelog, lambda: self.origin.dialect is not None)

    @property
    def silent(self) -> bool:
        """Whether changes are stored and not told: in the first refresh, if that was asked for."""
        return self._silent and self.origin.cookie is None and self.origin.reconciled is None

    def create_store(self, url: SearchUrl) -> None:
        """Make the store where it does not exist; have it remember *url*, of another search too."""
        self.store.create()
        self.origin = self.store.origin
        if self._recorder is not None:
            self._recorder.prepare()
        known = self.origin.url
        if known is None or not url.same_search(parse(known)):
            self.store.begin()
            self._commit(self.origin._replace(url=str(url), cookie=None, known=None, tally=None))

    def give_up_cookie(self) -> None:
        """See to it that no later search begins with the stored cookie."""
        if self.origin.cookie is not None:
            self.store.begin()
            self._commit(self.origin._replace(cookie=None))

    def note_refusal(self, error: TooManyDeletes) -> None:
        """Have the store remember that the deletion guard ended a refresh, until one is done."""
        before = Tally.parse(self.origin.tally)
        reported = 0 if before is None else before.deletes
        self.store.begin()
        self._commit(self.origin._replace(tally=str(Tally(error.entries, reported, error.deletes))))

    # --- a transaction

    @property
    def room(self) -> int:
        """How many more changes the open transaction may take."""
        return self.at_once - self._told

    async def step(self, step: Step) -> None:
        """Report a change, then store it."""
        rest = self.begin_step(step)
        if rest is not None:
            await rest

    def begin_step(self, step: Step) -> Optional[Coroutine[Any, Any, None]]:
        """Do what :meth:`step` does, as far as nothing is awaited; return the rest."""
        uuid, change, record = step
        if change is not None:
            return self.deliver(uuid, change, record)
        self._store(uuid, record)
        return None

    def deliver(
        self, uuid: bytes, change: Change, record: Optional[Record]
    ) -> Optional[Coroutine[Any, Any, None]]:
        """Report *change*, then store the *record* of the entry *uuid* (None: remove it).

        Returns:
            None if that is done; a coroutine that does the rest, where something is awaited.
        """
        if self._silent and self.silent:
            self._store(uuid, record)
            return None
        self._told += 1
        if self._leased:
            self._keep(change)
        row = None if self._recorder is None else self._recorder.note(uuid, change)
        if self.iterating or self._has_dead_letter:
            return self._tell(uuid, change, record, row)
        self.store.in_callback = True
        try:
            outcome = self.callback.dispatch(change)
        except Exception as error:
            self._failed(uuid, error)
            raise
        finally:
            self.store.in_callback = False
        if outcome is not None:
            return self._finish(uuid, change, record, row, outcome)
        self._told_of(uuid, change, record, row)
        return None

    async def _finish(
        self,
        uuid: bytes,
        change: Change,
        record: Optional[Record],
        row: "Optional[Row]",
        outcome: Any,
    ) -> None:
        await self._call(uuid, lambda: outcome)
        self._told_of(uuid, change, record, row)

    async def _tell(
        self, uuid: bytes, change: Change, record: Optional[Record], row: "Optional[Row]"
    ) -> None:
        policy = self._policy
        if policy is None or policy.dead_letter is None:
            await self._call(uuid, self.callback.dispatch, change)
        else:
            await self._try(uuid, change, policy.retries, policy.dead_letter)
        if self.iterating:
            self.yielded += 1
            self._keep("the loop over changes()")
            self.store.in_callback = True
            try:
                await ask(YieldChange(change))
            finally:
                self.store.in_callback = False
        self._told_of(uuid, change, record, row)

    def _told_of(
        self, uuid: bytes, change: Change, record: Optional[Record], row: "Optional[Row]"
    ) -> None:
        self._kinds.append(change.kind)
        if self._recorder is not None and row is not None:
            self._recorder.write(row)
        self._store(uuid, record)

    def _store(self, uuid: bytes, record: Optional[Record]) -> None:
        if record is not None:
            self.store.put(record)
        else:
            self.store.remove(uuid)

    async def _try(
        self, uuid: bytes, change: Change, retries: int, dead_letter: "DeadLetter"
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
            reason = error.error if isinstance(error, CallbackStopIteration) else error
            await self._call(uuid, dead_letter, change, reason)

    async def refresh_done(self) -> None:
        """Report that the refresh is done."""
        self._told += 1
        self._keep("refresh_done()")
        await self._call(None, self.callback.refresh_done, self.store.items())
        if self._recorder is not None:
            self._recorder.refresh_done()

    async def commit(self, origin: Origin, *, complete: bool) -> None:
        """Commit the open transaction with *origin*.

        Args:
            origin: the store's origin from then on.
            complete: False for a part of a refresh.
        """
        self._owner.check("commit")  # a callback may have forked, and returned in the child
        cookie, before = origin.cookie, self.origin.cookie
        changed = origin != self.origin if self.store.trusted else complete
        if changed and cookie and cookie != before and not self.silent:
            self._told += 1
            self._keep("cookie_change()")
            await self._call(None, self.callback.cookie_change, cookie)
        if self._told:
            self._keep("before_commit()")
            await self._call(None, self.callback.before_commit)
        if self._recorder is not None and not self.silent:
            self._recorder.committing()
        self._commit(origin if changed else None)
        self.commits += 1
        self.changes.update(self._kinds)
        self._kinds.clear()
        if cookie != before:
            self.cookie_committed = time.time()
        if complete:  # a part of a refresh comes before the change that fails, each time
            self._failures.clear()
            self._overdue = 0

    def _commit(self, origin: Optional[Origin]) -> None:
        self._owner.check("commit")
        self.store.commit(origin)
        self.origin = origin or self.origin
        self._told = 0

    def roll_back(self) -> None:
        """Roll back the open transaction."""
        self._undone, self._told = self._told, 0
        self._kinds.clear()
        self.store.rollback()
        if self._recorder is not None:
            self._recorder.rolled_back()

    # --- the lease of a shared store

    def _keep(self, calling: Union[str, Change]) -> None:
        """Keep the store before something is called, as that may take long."""
        if self._leased:
            self.store.keep()
        self._calling = calling

    def overdue(self) -> Optional[CallbackOverdue]:
        """Return an error if the store was lost because the callback takes too long; or None.

        Call it after :meth:`roll_back`.  The first time in a row it is only logged: the process,
        or the machine, may have been paused.
        """
        seconds, lease = self.store.overdue, self.store.lease
        if seconds is None or lease is None or not self._undone:
            return None
        self._overdue += 1
        what = self._calling
        if isinstance(what, Change):
            what = f"dispatch() with the {what.kind.value} of {what.uuid}"
        text = (
            f"the callback took {seconds:.1f} s for {what}, longer than the lease of {lease:g} s, "
            "so the database ended the transaction: do elsewhere what is slow, or raise the lease"
        )
        if self._overdue > 1:
            return CallbackOverdue(text, method=what, seconds=seconds, lease=lease)
        logger.error("%s; told once more", text, extra={"event": "callback-overdue"})
        return None

    # --- errors of the callback

    async def _call(self, uuid: Optional[bytes], method: Callable[..., object], *args: Any) -> None:
        self.store.in_callback = True
        try:
            outcome = method(*args)
            if outcome is not None:
                await maybe_await(outcome)
        except Exception as error:
            self._failed(uuid, error)
            raise
        finally:
            self.store.in_callback = False

    def _failed(self, uuid: Optional[bytes], error: Exception) -> None:
        """Note what the callback raised.

        Raises:
            CallbackStopIteration: it was a StopIteration.
        """
        carried = CallbackStopIteration(error) if isinstance(error, StopIteration) else None
        self._failure, self._failed_at = carried or error, uuid
        self.errors += 1
        if carried is not None:
            raise carried from error

    def is_callbacks(self, error: BaseException) -> bool:
        """Return True if *error* was raised by the callback."""
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
        """Pass a message to the callback's ``debug``; exceptions are logged and ignored."""
        logger.debug("%s", message, extra={"event": event})
        try:
            self.callback.debug(message)
        except Exception:
            logger.exception("the callback's debug() failed", extra={"event": "debug-failed"})


def describe(change: Change) -> Mapping[str, Any]:
    """Return what may be logged of a change: no values, as they are personal data."""
    return {
        "kind": change.kind.value,
        "uuid": str(change.uuid),
        "dn": change.new_dn or change.old_dn,
    }


def _check_policy(policy: object) -> None:
    if policy is None:
        return
    from .callbackretry import RetryCallback

    if not isinstance(policy, RetryCallback):
        raise ConfigurationError(
            f"on_callback_error is None (raise) or a RetryCallback, not {policy!r}"
        )
