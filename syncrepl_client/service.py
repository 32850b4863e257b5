# SPDX-License-Identifier: BSD-3-Clause
"""A program as a service of systemd: READY, WATCHDOG, STATUS and STOPPING (sd_notify(3))."""

import logging
import os
import socket
import time
from typing import TYPE_CHECKING, Optional, Union

if TYPE_CHECKING:
    from .asynchronous import AsyncSyncrepl
    from .client import Syncrepl

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0
"""The least interval at which a client is looked at."""
POLL_SECONDS = 10.0
"""What to wait for at most where no watchdog wants to hear of us."""


class Notifier:
    """Tells the service manager how a client is doing; does nothing where there is none.

    ::

        notifier = Notifier()
        with Syncrepl(...) as client:
            while client.poll(notifier.interval):
                notifier.tick(client)
            notifier.stopping()

    Attributes:
        enabled: whether a service manager listens (``NOTIFY_SOCKET``).
        ready: whether READY was sent.
        interval: seconds between two polls, at most, for the watchdog to hear of each.
    """

    def __init__(self) -> None:
        """Read the environment: ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``."""
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        self.enabled = bool(self._address)
        watchdog = _watchdog_seconds()
        self.interval = POLL_SECONDS if watchdog is None else min(POLL_SECONDS, watchdog / 2)
        self._next = 0.0
        self.ready = False
        self._status = ""

    def tick(self, client: "Union[Syncrepl, AsyncSyncrepl]") -> None:
        """Report what *client* is at; call it after each poll.

        READY is sent once, when the first refresh is done, or when the client stands by; WATCHDOG
        each time, at most once a second; STATUS when it changes.
        """
        if self.is_due():
            stats = client.stats
            status = {
                "disconnected": "the server is away",
                "standby": "stands by: another client follows",
                "refresh": "the refresh goes on",
            }.get(stats.stage, f"follows {stats.entries} entries")
            self.report(status, ready=client.refreshed or stats.stage == "standby")

    def is_due(self) -> bool:
        """Return True if there is a service manager, and it was not told a second ago."""
        return self.enabled and time.monotonic() >= self._next

    def report(self, status: str, *, ready: bool) -> None:
        """Send WATCHDOG, STATUS if it is another one, and READY when *ready* is first True."""
        self._next = time.monotonic() + TICK_SECONDS
        lines = ["WATCHDOG=1"]
        if ready and not self.ready:
            lines.append("READY=1")
        if status != self._status:
            lines.append(f"STATUS={status}")
        if self.send(*lines):  # otherwise once more, the next time
            self.ready = self.ready or ready
            self._status = status

    def extend(self, seconds: float, status: str) -> None:
        """Ask for *seconds* more before READY is missed, and say why."""
        self.send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}", f"STATUS={status}")

    def stopping(self) -> None:
        """Report that the program ends."""
        self.send("STOPPING=1")

    def send(self, *lines: str) -> bool:
        """Send assignments such as ``READY=1``; return whether that was done.

        An error is logged.  So is a service manager that does not listen: nobody waits for it.
        """
        if not self.enabled:
            return False
        address = self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
                connection.setblocking(False)
                connection.connect("\0" + address[1:] if address[0] == "@" else address)
                connection.sendall("\n".join(each.replace("\n", " ") for each in lines).encode())
        except OSError as error:
            logger.warning(
                "the service manager at %s can't be told: %s",
                address,
                error,
                extra={"event": "notify-failed"},
            )
            return False
        return True


def _watchdog_seconds() -> Optional[float]:
    """Return after how long a silence the service manager ends this process."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    meant = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not microseconds.isdecimal() or meant != str(os.getpid()):
        return None
    return int(microseconds) / 1e6 or None
