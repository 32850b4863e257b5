# SPDX-License-Identifier: BSD-3-Clause
"""A stream at work: its client in a thread of its own, made again where it failed."""

import logging
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import Optional

from ...client import Syncrepl
from ...engine.stats import CONNECTING, Stats
from ...exceptions import ClosedError, StoreError
from ...waiting.backoff import Backoff
from ..errors import EXPECTED, exit_code, one_line
from ..exits import Exit
from .settings import StreamSettings

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
_FINAL = (Exit.USAGE, Exit.DELETES, Exit.REFUSED, Exit.CONFIG)
"""What another attempt does not mend, and may make worse: see :mod:`..exits`."""


class Follower:
    """Runs the client of a stream; an error of it is no other stream's.

    Attributes:
        settings: of the stream.
        refreshed: whether it has ever been in step with its server.
        error: the last error, until there is a connection again.
        failed: why it has ended for good, as an exit code; None if it has not.
    """

    def __init__(self, settings: StreamSettings) -> None:
        """Initialize; :meth:`start` begins."""
        self.settings = settings
        self.refreshed = False
        self.error: Optional[str] = None
        self.failed: Optional[Exit] = None
        self._stopping = threading.Event()
        self._client: Optional[Syncrepl] = None
        self._alive: Optional[float] = None
        self._thread = threading.Thread(
            target=self._run, name=f"stream {settings.name}", daemon=True
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def please_stop(self) -> None:
        """Let it end when what it is at is committed."""
        self._stopping.set()
        client = self._client
        if client is not None:
            with suppress(ClosedError):
                client.please_stop()

    def has_ended(self, timeout: float = 0) -> bool:
        """Return whether it has ended, after up to *timeout* seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def is_alive(self, seconds: float) -> bool:
        """Return whether its client has come back from a poll within *seconds*, if it polls."""
        alive = self._alive
        return alive is None or time.monotonic() - alive <= seconds

    @property
    def is_shared(self) -> bool:
        """Whether its store is shared with streams of other services."""
        return self.settings.arguments["lease"] is not None

    @property
    def is_active(self) -> bool:
        """Whether its sinks are this service's, as no other has its store."""
        client = self._client
        return not self.is_shared or (client is not None and client.active)

    @property
    def is_settled(self) -> bool:
        """Whether it was in step, stands by, or has failed."""
        waits = self._client is not None and not self.is_active
        return self.refreshed or self.error is not None or waits

    @property
    def stats(self) -> Stats:
        """The statistics of its client; may be read from any thread."""
        client = self._client
        if client is not None:
            with suppress(StoreError):  # it has just been closed, or the disk is full
                return client.stats
        return replace(CONNECTING, stage="connecting" if self.failed is None else "failed")

    # --- the thread

    def _run(self) -> None:
        backoff, attempts = Backoff(), 0
        while not self._stopping.is_set():
            try:
                self._follow()
                self._stopping.wait(POLL_SECONDS)  # the callback has stopped the client
            except Exception as error:  # noqa: BLE001 - of a callback, say: other streams go on
                if self.error is None:
                    attempts = 0
                attempts += 1
                if not self._note(error):
                    return
                delay = backoff.delay(attempts)
                logger.warning(
                    "%s; again in %.1f s",
                    self.error,
                    delay,
                    extra={"event": "stream-retried"},
                )
                self._stopping.wait(delay)

    def _note(self, error: Exception) -> bool:
        """Note what ended the client; return whether to try again."""
        if not isinstance(error, EXPECTED):
            logger.error(
                "the stream was ended by an exception",
                exc_info=error,
                extra={"event": "stream-raised"},
            )
        self.error = one_line(error)
        code = exit_code(error)
        if code not in _FINAL:
            return True
        self.failed = code
        logger.error(
            "the stream has failed, and is not tried again before SIGHUP or a restart: %s",
            self.error,
            extra={"event": "stream-failed"},
        )
        return False

    def _follow(self) -> None:
        settings = self.settings
        try:
            with Syncrepl(callback=settings.callback(), **settings.arguments) as client:
                self._client = client
                if self._stopping.is_set():
                    return
                while client.poll(POLL_SECONDS):
                    self._alive = time.monotonic()
                    if client.refreshed:
                        self.refreshed, self.error = True, None
                    elif not client.active:
                        self.error = None
        finally:
            self._client = self._alive = None
