# SPDX-License-Identifier: BSD-3-Clause
"""A sink at work: its relay in a thread of its own, made again where it failed."""

import logging
import threading
from typing import Optional

from ...exceptions import SinkRemoved, StorePathError, UsageError
from ...sinks import Relay
from ...store import open_changelog
from ...waiting.backoff import Backoff
from ..errors import EXPECTED, one_line
from .sinksettings import SinkSettings

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
"""How often to look whether the stream has made its store."""


class Sending:
    """Runs the relay of a sink; an error of it is no other sink's, and no stream's.

    Attributes:
        settings: of the sink.
    """

    def __init__(self, settings: SinkSettings) -> None:
        """Initialize; :meth:`start` begins."""
        self.settings = settings
        self._error: Optional[str] = None
        self._stopping = threading.Event()
        self._finishing = False
        self._relay: Optional[Relay] = None
        name = f"sink {settings.stream}/{settings.name}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def please_finish(self) -> None:
        """Let it end when the sink has all that is committed."""
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
                if self._has_log():
                    self._send()
                    return
                delay = _LOOK_SECONDS
            except SinkRemoved as error:
                self._note(error, "not sent to any more, before SIGHUP or a restart")
                return
            except Exception as error:  # noqa: BLE001 - of a sink, say: other sinks go on
                attempts += 1
                delay = backoff.delay(attempts)
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
        relay = self.settings.make_relay()
        self._relay = relay
        if self._stopping.is_set():
            return
        if self._finishing:
            relay.please_finish()
        self._error = None
        relay.run()

    def _note(self, error: Exception, follows: str) -> None:
        self._error = one_line(error)
        logger.error(
            "%s; %s",
            self._error,
            follows,
            exc_info=None if isinstance(error, EXPECTED) else error,
            extra={"event": "relay-failed"},
        )
