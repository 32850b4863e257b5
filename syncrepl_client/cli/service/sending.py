# SPDX-License-Identifier: BSD-3-Clause
"""A sink at work: its relay in a thread of its own, made again where it failed."""

import logging
import threading
from typing import Optional

from ...exceptions import SinkInUse, SinkRemoved, StorePathError, UsageError
from ...sinks import Relay
from ...store import open_changelog
from ...waiting.backoff import Backoff
from ..errors import EXPECTED, one_line
from .follower import Follower
from .sinksettings import SinkSettings

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
"""How often to look whether the stream has made its store, or has it."""
_LEASE_SECONDS = 60.0
"""How long a relay of a shared stream may be silent before another service takes over its sink."""


class Sending:
    """Runs the relay of a sink; an error of it is no other sink's, and no stream's.

    Attributes:
        settings: of the sink.
    """

    def __init__(self, settings: SinkSettings, stream: Follower) -> None:
        """Initialize; :meth:`start` begins.

        Args:
            settings: of the sink.
            stream: the stream that it belongs to.
        """
        self.settings = settings
        self._stream = stream
        self._error: Optional[str] = None
        self._stopping = threading.Event()
        self._finishing = self._paused = False
        self._relay: Optional[Relay] = None
        name = f"sink {settings.stream}/{settings.name}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def please_finish(self) -> None:
        """Let it end when the sink has all that is committed, unless another service sends that."""
        if self._stream.is_shared:
            self.please_stop()
            return
        self._finishing = True
        relay = self._relay
        if relay is not None:
            relay.please_finish()

    def please_stop(self) -> None:
        """Let it end when the messages on their way are settled."""
        self._stopping.set()
        relay = self._relay
        if relay is not None:
            relay.please_stop()

    def follow_stream(self) -> None:
        """End the relay if the stream is not this service's any more; :meth:`_run` goes on."""
        relay = self._relay
        if relay is not None and not self._stream.is_active:
            self._paused = True
            relay.please_stop()

    def has_ended(self, timeout: float = 0) -> bool:
        """Return whether it has ended, after up to *timeout* seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def error(self) -> Optional[str]:
        """What ended the last relay, or why the sink did not take the last messages."""
        relay = self._relay
        return self._error or (None if relay is None else relay.problem)

    # --- the thread

    def _run(self) -> None:
        backoff, attempts = Backoff(), 0
        while not self._stopping.is_set():
            try:
                delay = _LOOK_SECONDS
                if self._stream.is_active and self._has_log():
                    self._send()
                    if not self._paused:
                        return
                    self._paused = False
            except SinkRemoved as error:
                self._note(error, "not sent to any more, before SIGHUP or a restart")
                return
            except Exception as error:  # noqa: BLE001 - of a sink, say: other sinks go on
                attempts += 1
                # Who had the stream until now may be at its last wave.
                passing = isinstance(error, SinkInUse) and self._stream.is_shared
                delay = _LOOK_SECONDS if passing else backoff.delay(attempts)
                if attempts == 1 or not passing:
                    self._note(error, f"again in {delay:.1f} s")
            if self._finishing:
                return
            self._stopping.wait(delay)

    def _has_log(self) -> bool:
        """Return whether the stream has made its store, and the log in it."""
        try:
            open_changelog(self.settings.data_path).close()
        except (StorePathError, UsageError):
            return False
        return True

    def _send(self) -> None:
        relay = self.settings.make_relay(_LEASE_SECONDS if self._stream.is_shared else None)
        self._relay = relay
        if self._stopping.is_set():
            return
        if self._finishing:
            relay.please_finish()
        self._error = None
        relay.run()
        self._relay = None

    def _note(self, error: Exception, follows: str) -> None:
        self._error = one_line(error)
        logger.error(
            "%s; %s",
            self._error,
            follows,
            exc_info=None if isinstance(error, EXPECTED) else error,
            extra={"event": "relay-failed"},
        )
