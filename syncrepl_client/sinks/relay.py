# SPDX-License-Identifier: BSD-3-Clause
"""The relay: reads the log of changes of a store, and passes the changes on to a sink.

It has a connection of its own to the store, so a sink that is slow or away does not slow the client
down.  It sends waves: at most one message of each entry is not confirmed yet.  With more, one that
has to be sent again would come after its successor.
"""

import logging
import re
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import Callable, Optional, TypeVar

from ..engine import arguments
from ..exceptions import ConfigurationError, SinkInUse, StoreBusy, StoreLocked, UsageError
from ..store import DataPath, SharedLog, check_lease, describe, open_changelog, read_store
from ..waiting.backoff import Backoff
from ..waiting.waker import Waker, wait_for
from . import cloudevents
from .base import Answer, Sink
from .outbox import Item, Outbox

logger = logging.getLogger(__name__)
T = TypeVar("T")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""The name of a sink."""
_FINISHING_SECONDS = 1.0
"""The longest delay once the relay is to finish: there is no time for more."""
_PATIENCE = 5.0
"""Seconds to wait for the end of the client's transaction, before looking for a stop."""


class Relay:
    """Passes the changes of a store's log on to a sink, at least once, and in order per entry.

    Run it in this thread with :meth:`run`, or in one of its own while a ``with`` block lasts::

        with Relay("state/", Webhook(url, secret), name="crm"):
            client.run()

    Attributes:
        name: the name of the sink in the log.
        problem: why the sink did not take all of the last wave; None if it did.
    """

    def __init__(
        self,
        data_path: DataPath,
        sink: Sink,
        *,
        name: str,
        position: Optional[int] = None,
        snapshot: bool = False,
        source: Optional[str] = None,
        leave_out: Collection[str] = (),
        batch: int = 100,
        max_parked: int = 1000,
        backoff: Backoff = Backoff(),  # noqa: B008 - it is frozen
        interval: float = 1.0,
        lease: Optional[float] = None,
    ) -> None:
        """Initialize; nothing is opened yet.

        Args:
            data_path: the *data_path* of a client with a log of changes.
            sink: the sink.
            name: the name of the sink in the log, which has its position: letters, digits, ``.``,
                ``_`` and ``-``.  One relay at a time may use it.
            position: where a sink that the log does not know begins: the sequence number of the
                change before its first one, 0 for all that are kept; None for those from now on.
            snapshot: whether a sink that the log does not know first gets all entries.
            source: the source of the CloudEvents, a URI; None for the search base as an LDAP URL.
            leave_out: names, without options and in any case, of attributes that are not sent.
            batch: the maximum number of messages in a wave.
            max_parked: how many changes may be parked.  Then the sink is taken to be wrong, not the
                changes: a refused one is sent again until somebody makes room.
            backoff: the delays before what failed is sent again.
            interval: how often to look for new changes, in seconds.
            lease: after how many seconds without a wave or a look PostgreSQL lets another relay use
                the name; longer than the sink may take to answer.  None: only when this one ends.

        Raises:
            ConfigurationError: an argument is not valid.
        """
        if not isinstance(sink, Sink):
            raise ConfigurationError(f"sink is a syncrepl_client.sinks.Sink, not {sink!r}")
        if type(name) is not str or not NAME.fullmatch(name):
            raise ConfigurationError(
                f"name is up to 64 letters, digits, '.', '_' and '-', not {name!r}"
            )
        if isinstance(leave_out, str):
            raise ConfigurationError(f"leave_out is a collection of names, not {leave_out!r}")
        for what, number in (("batch", batch), ("max_parked", max_parked)):
            if type(number) is not int or number < 1:
                raise ConfigurationError(f"{what} is an int above 0, not {number!r}")
        if position is not None and (type(position) is not int or position < 0):
            raise ConfigurationError(f"position is an int from 0 on, or None, not {position!r}")
        if not interval > 0:
            raise ConfigurationError(f"interval is a number of seconds above 0, not {interval!r}")
        check_lease(data_path, lease)
        self.name = name
        self.problem: Optional[str] = None
        self._where = describe(data_path)
        self._data_path = data_path
        self._sink = sink
        self._begin = position
        self._snapshot = snapshot
        self._source = None if source is None else cloudevents.check_source(source)
        self._leave_out = leave_out
        self._limits = {"batch": batch, "max_parked": max_parked}
        self._backoff = backoff
        self._interval = interval
        self._lease = arguments.choose_lease(False, lease)
        self._stopping = self._finishing = False
        self._waker: Optional[Waker] = None
        self._thread: Optional[threading.Thread] = None
        self._error: Optional[BaseException] = None

    def __repr__(self) -> str:
        return f"Relay({self._where!r}, {self._sink!r}, name={self.name!r})"

    # --- running

    def run(self, *, once: bool = False) -> None:
        """Pass changes on until :meth:`please_stop` is called.

        Args:
            once: return also when the sink has all that it can get now.

        Raises:
            UsageError: the store has no log of changes.
            SinkInUse: another relay uses this name.
            SinkRemoved: the sink was removed from the log.
            StoreError: the store can't be used.
        """
        with self._opened() as (outbox, waker):
            self._run(outbox, waker, once=once)

    def please_stop(self) -> None:
        """Let the relay end when the wave on its way is confirmed, or failed, and committed.

        Any thread and any signal handler may call it.  It is not undone: make another relay.
        """
        self._stopping = True
        self._wake()

    def _wake(self) -> None:
        waker = self._waker
        if waker is not None:
            with suppress(OSError):  # it has just ended, and closed the waker
                waker.wake()

    def please_finish(self) -> None:
        """Let the relay end when the sink has all that it can get; :meth:`please_stop` may follow.

        Any thread and any signal handler may call it.  It is not undone.
        """
        self._finishing = True
        self._wake()

    def __enter__(self) -> "Relay":
        """Start a thread; raise what :meth:`run` would raise at its beginning."""
        with ExitStack() as undo:
            outbox, waker = undo.enter_context(self._opened())
            resources = undo.pop_all()
        self._thread = threading.Thread(
            target=self._run_in_thread,
            args=(outbox, waker, resources),
            name=f"relay {self.name}",
            daemon=True,
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """Stop the thread, and raise what ended it before, if nothing else was raised."""
        self.please_stop()
        if self._thread is not None:
            self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def _run_in_thread(self, outbox: Outbox, waker: Waker, resources: ExitStack) -> None:
        try:
            with resources:
                self._run(outbox, waker, once=False)
        except BaseException as error:  # noqa: BLE001 - raised at the end of the block
            self._error = error
            logger.error(
                "the relay of the sink %r has ended: %s",
                self.name,
                error,
                extra={"event": "relay-failed"},
            )

    @contextmanager
    def _opened(self) -> Iterator[tuple[Outbox, Waker]]:
        """Open everything: the lock, the log, the sink."""
        with ExitStack() as undo:
            with read_store(self._data_path) as reader:  # there is a store
                self._source = self._source or cloudevents.source_of(reader.origin.url)
            log = undo.enter_context(
                open_changelog(self._data_path, patience=_PATIENCE, lease=self._lease)
            )
            undo.callback(self._lock(log))
            waker = Waker()
            undo.callback(waker.close)
            self._waker = waker
            undo.callback(setattr, self, "_waker", None)
            outbox = self._patiently(partial(self._outbox, log))
            undo.enter_context(self._sink)
            yield outbox, waker

    def _lock(self, log: SharedLog) -> Callable[[], None]:
        try:
            return log.lock(self.name)
        except StoreLocked:
            raise SinkInUse(
                f"another relay passes the changes of {self._where!r} on to the "
                f"sink {self.name!r}: stop it, or use another name"
            ) from None

    def _outbox(self, log: SharedLog) -> Outbox:
        log.sinks.add(self.name, self._begin, snapshot=self._snapshot)
        return Outbox(log, self.name, **self._limits)

    # --- waves

    def _run(self, outbox: Outbox, waker: Waker, *, once: bool) -> None:
        logger.info(
            "the relay passes changes on to the sink %r",
            self.name,
            extra={"event": "relay-started"},
        )
        failed = 0
        while not self._stopping:
            wave = self._patiently(outbox.wave)
            if not wave:
                if once or self._finishing:
                    return
                self._wait(waker, self._interval)
                continue
            answers = self._deliver(wave)
            again = self._patiently(partial(outbox.settle, wave, answers))
            failed = failed + 1 if again else 0
            self.problem = again[0].reason if again else None
            if again:
                self._wait(waker, self._delay(again, failed))

    def _patiently(self, action: Callable[[], T]) -> T:
        """Return what *action* returns, once the client's transaction lets it write.

        Raises:
            StoreBusy: the client's transaction lasts, and a stop was requested.
        """
        while True:
            try:
                return action()
            except StoreBusy:
                if self._stopping:
                    raise

    def _deliver(self, wave: Sequence[Item]) -> Sequence[Answer]:
        source = self._source or ""
        messages = [cloudevents.message(item.event, source, self._leave_out) for item in wave]
        try:
            answers = self._sink.deliver(messages)
            if len(answers) == len(messages):
                return answers
            raise UsageError(f"{len(answers)} answers to {len(messages)} messages")
        except Exception as error:
            logger.exception(
                "the sink %r raised an exception", self.name, extra={"event": "sink-raised"}
            )
            return [Answer.failed(f"{type(error).__name__} was raised")] * len(wave)

    def _delay(self, again: Sequence[Answer], attempt: int) -> float:
        """Return after how many seconds to send again, and log it."""
        asked = max(answer.retry_after or 0.0 for answer in again)
        delay = max(self._backoff.delay(attempt), asked)
        if self._finishing:
            delay = min(delay, _FINISHING_SECONDS)
        logger.warning(
            "the sink %r did not take %d changes, which are sent again in %.1f s: %s",
            self.name,
            len(again),
            delay,
            again[0].reason,
            extra={"event": "sink-failed"},
        )
        return delay

    def _wait(self, waker: Waker, seconds: float) -> None:
        begun = time.monotonic()
        while not self._stopping:
            most = min(seconds, _FINISHING_SECONDS) if self._finishing else seconds
            if time.monotonic() >= begun + most:
                return
            wait_for(begun + most, waker.descriptor)
            waker.clear()
