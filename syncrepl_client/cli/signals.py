# SPDX-License-Identifier: BSD-3-Clause
"""Signals that end the command: processed at once, also while libldap waits for a server."""

import os
import signal
import socket
import sys
import threading
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Generic, Optional, Protocol, TypeVar

from ..exceptions import ClosedError
from .exits import Exit
from .output.terminal import is_terminal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHOW_CURSOR = "\x1b[?25h"
_END = b"\0"


class Stoppable(Protocol):
    """What signals stop: a client, or a relay."""

    def please_stop(self) -> None:
        """End soon; called from another thread."""


C = TypeVar("C", bound=Stoppable)


class Signals(Generic[C]):
    """A context in which signals stop the client; before there is one, they end the process.

    Python runs a signal handler between two of its own instructions, and so not while a C library
    waits.  But the C level writes the signal's number to a descriptor at once; a thread reads it.

    Attributes:
        client: the client to stop, once there is one.
    """

    def __init__(self) -> None:
        self.client: Optional[C] = None
        self._requested = False
        self._undo = ExitStack()

    def __enter__(self) -> "Signals[C]":
        receiver, sender = socket.socketpair()
        sender.setblocking(False)
        self._undo.callback(receiver.close)
        self._undo.callback(sender.close)
        thread = threading.Thread(target=self._listen, args=(receiver,), daemon=True)
        thread.start()
        self._undo.callback(thread.join)
        self._undo.callback(sender.send, _END)
        self._undo.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(sender.fileno()))
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # which nohup sees to
                self._undo.callback(signal.signal, number, signal.signal(number, _heard))
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._undo.close()

    def asked(self) -> bool:
        """Return True if a signal has come."""
        return self._requested

    def _listen(self, receiver: socket.socket) -> None:
        while True:
            number = receiver.recv(1)
            if number == _END:
                return
            if number[0] in SIGNALS:
                self._stop()

    def _stop(self) -> None:
        client, again = self.client, self._requested
        self._requested = True
        if client is None:
            _leave(Exit.DONE)  # still connecting: nothing is to be committed
        elif again:
            _leave(Exit.INTERRUPTED)  # somebody is impatient; what is not committed comes again
        else:
            with suppress(ClosedError):  # it has come to its end by itself
                client.please_stop()


def _heard(number: int, frame: object) -> None:
    """Do nothing: the thread processes the signal."""


def _leave(code: Exit) -> None:
    if is_terminal(sys.stderr):
        sys.stderr.write(SHOW_CURSOR)  # which the progress may have hidden
    sys.stderr.flush()
    os._exit(code)
