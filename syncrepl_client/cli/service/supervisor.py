# SPDX-License-Identifier: BSD-3-Clause
"""The service: it starts and stops streams and sinks, and hears signals."""

import logging
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Callable, Optional, Union

from ...service import Notifier
from ..exits import Exit
from . import settings as reading
from .document import Invalid
from .follower import Follower
from .samples import Samples
from .sending import Sending
from .settings import Settings
from .sinksettings import SinkSettings

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0
SAMPLE_SECONDS = 5.0
_STOP_SECONDS = 10.0
"""How long a stream may take to commit what it is at."""

SinkKey = tuple[str, str]
"""The names of a stream and of a sink of it."""
_Worker = Union[Follower, Sending]


class Service:
    """Runs what a file says, until a signal ends it.

    Attributes:
        settings: what the file said when it was last read.
        streams: the streams at work, by name.
        sinks: the sinks at work.
        samples: the lag of each stream.
        on_settings: called with other settings before they are used; an OSError refuses them.
    """

    def __init__(self, path: str, settings: Settings, notifier: Notifier) -> None:
        """Initialize; nothing is started.

        Args:
            path: the file, which is read again on SIGHUP.
            settings: what it says.
            notifier: for the service manager.
        """
        self.settings = settings
        self.streams: dict[str, Follower] = {}
        self.sinks: dict[SinkKey, Sending] = {}
        self.samples: dict[str, Samples] = {}
        self.on_settings: Callable[[Settings], None] = lambda _: None
        self._path = path
        self._notifier = notifier
        self._signals: SimpleQueue[int] = SimpleQueue()
        self._next_sample = 0.0

    def run(self) -> int:
        """Run until a signal, or until no stream is left; return an exit code."""
        with self._heard():
            self._apply(self.settings)
            while True:
                number = self._signal(TICK_SECONDS)
                if number == signal.SIGHUP:
                    self._reload()
                elif number is not None:
                    return self._stop(Exit.DONE)
                failed = [stream.failed for stream in self.streams.values()]
                if all(each is not None for each in failed):
                    logger.error("no stream is left", extra={"event": "service-failed"})
                    return self._stop(failed[0] or Exit.INTERNAL)
                self._tick()

    # --- signals

    @contextmanager
    def _heard(self) -> Iterator[None]:
        before = {}
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            before[number] = signal.signal(number, self._hear)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, number: int, frame: object) -> None:
        self._signals.put(number)

    def _signal(self, timeout: float) -> Optional[int]:
        """Return the next signal; None if there is none within *timeout* seconds."""
        try:
            return self._signals.get(timeout=timeout)
        except Empty:
            return None

    # --- starting, changing

    def _reload(self) -> None:
        """Read the file again; what it says no more, or otherwise, is stopped first."""
        clock = f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"
        self._notifier.send("RELOADING=1", clock)
        try:
            settings = reading.read(self._path)
            self.on_settings(settings)
        except (Invalid, OSError) as error:
            for line in str(error).split("\n"):
                logger.error(
                    "not read again, what ran goes on: %s", line, extra={"event": "reload-refused"}
                )
        else:
            self._apply(settings)
            logger.info("read %s again", self._path, extra={"event": "reloaded"})
        if self._notifier.ready:
            self._notifier.send("READY=1")

    def _apply(self, settings: Settings) -> None:
        wanted_sinks = _sinks_of(settings)
        old_sinks = {key: each for key, each in self.sinks.items()
                     if wanted_sinks.get(key) != each.settings or each.has_ended()}  # fmt: skip
        old_streams = {name: each for name, each in self.streams.items()
                       if settings.streams.get(name) != each.settings or each.has_ended()
                       }  # fmt: skip
        workers: list[_Worker] = [*old_sinks.values(), *old_streams.values()]
        _ask(workers)
        _wait_for(workers, time.monotonic() + _STOP_SECONDS, lambda: False)
        for key in old_sinks:
            del self.sinks[key]
        for name in old_streams:
            del self.streams[name]
        self.settings = settings
        self.samples = {name: self.samples.get(name, Samples()) for name in settings.streams}
        for name, stream in settings.streams.items():
            if name not in self.streams:
                self.streams[name] = Follower(stream)
                self.streams[name].start()
        for key, sink in wanted_sinks.items():
            if key not in self.sinks:
                self.sinks[key] = Sending(sink, self.streams[sink.stream])
                self.sinks[key].start()

    # --- running

    def _tick(self) -> None:
        now = time.monotonic()
        for sink in self.sinks.values():
            sink.follow_stream()
        if now >= self._next_sample:
            self._next_sample = now + SAMPLE_SECONDS
            for name, stream in self.streams.items():
                self.samples[name].add(now, stream.stats)
        patience = 2 * self._notifier.interval
        streams = self.streams.values()
        if self._notifier.is_due() and all(each.is_alive(patience) for each in streams):
            steady = sum(each.refreshed and each.error is None for each in streams)
            self._notifier.report(
                f"{steady} of {len(streams)} streams in step",
                ready=all(each.is_settled for each in streams),
            )

    # --- stopping

    def _stop(self, code: Exit) -> int:
        """Stop the streams, let the sinks get what is committed, and stop them."""
        self._notifier.stopping()
        streams, sinks = list(self.streams.values()), list(self.sinks.values())
        _ask(streams)
        _wait_for(streams, time.monotonic() + _STOP_SECONDS, self._is_urgent)
        logger.info(
            "the streams have ended; the sinks get what is committed, for %.0f s at most",
            self.settings.drain,
            extra={"event": "draining"},
        )
        for sink in sinks:
            sink.please_finish()
        _wait_for(sinks, time.monotonic() + self.settings.drain, self._is_urgent)
        late = [each.settings.name for each in sinks if not each.has_ended()]
        if late:
            logger.warning(
                "not all that is committed was sent, and goes on with the next start: %s",
                ", ".join(late),
                extra={"event": "drain-ended"},
            )
        _ask(sinks)
        _wait_for(sinks, time.monotonic() + TICK_SECONDS, lambda: False)
        workers: list[_Worker] = [*streams, *sinks]
        if not all(each.has_ended() for each in workers):
            # Nothing interrupts a callback, or a sink that waits.
            sys.stderr.flush()
            os._exit(code)
        return code

    def _is_urgent(self) -> bool:
        """Return True if another signal has come: somebody is impatient."""
        number = self._signal(0)
        return number is not None and number != signal.SIGHUP


def _sinks_of(settings: Settings) -> dict[SinkKey, SinkSettings]:
    return {
        (stream.name, sink.name): sink
        for stream in settings.streams.values()
        for sink in stream.sinks.values()
    }


def _ask(workers: Iterable[_Worker]) -> None:
    for each in workers:
        each.please_stop()


def _wait_for(workers: Iterable[_Worker], deadline: float, is_urgent: Callable[[], bool]) -> None:
    """Wait until all have ended, the deadline has come, or it is urgent."""
    for each in workers:
        while not each.has_ended(0.1):
            if time.monotonic() >= deadline or is_urgent():
                return
