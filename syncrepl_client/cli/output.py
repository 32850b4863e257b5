# SPDX-License-Identifier: BSD-3-Clause
"""Where changes are written to: stdout, for as long as somebody reads it."""

import fcntl
import os
import select
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Callable

from .errors import Interrupted, OutputError, ReaderGone
from .terminal import is_terminal

MUCH = 65536
"""So many characters are kept back, at most."""
LOOK_MILLISECONDS = 100
"""So often, while nobody reads, whether to stop is asked."""


class Stdout:
    """A text stream over ``sys.stdout``, for callbacks that take a stream.

    What is written is kept back until the next :meth:`flush`, which comes before each commit, or
    until it is much.
    """

    def __init__(
        self, aside: Callable[[], AbstractContextManager[Any]], stopping: Callable[[], bool]
    ) -> None:
        """Write.

        Args:
            aside: makes a context in which the terminal is free for that.
            stopping: says whether not to wait any longer for somebody to read.
        """
        self._stream = sys.stdout
        self._descriptor = sys.stdout.fileno()
        self._aside = aside if is_terminal(sys.stdout) else nullcontext
        self._stopping = stopping
        self._kept: list[str] = []
        self._size = 0

    def write(self, text: str) -> None:
        """Write *text*; raises what :meth:`flush` does."""
        if text:
            # The only control character that JSON lets through.
            self._kept.append(text.replace("\x7f", "\\u007f"))
            self._size += len(text)
            if self._size > MUCH:
                self.flush()

    def flush(self) -> None:
        """Hand on what was written.

        Raises:
            ReaderGone: nobody reads it any more.
            OutputError: it can't be written.
            Interrupted: nobody reads it, and it is time to stop.
        """
        if not self._kept:
            return
        text = "".join(self._kept)
        self._kept.clear()
        self._size = 0
        try:
            with self._aside():
                self._write(text.encode(self._stream.encoding, self._stream.errors or "strict"))
        except BrokenPipeError:
            raise ReaderGone from None
        except OSError as error:
            raise OutputError(f"the output can't be written: {error}") from error

    def seekable(self) -> bool:
        """Say whether it is a file."""
        return self._stream.seekable()

    def tell(self) -> int:
        """Return the position in the file: at its end, where it is appended to."""
        if fcntl.fcntl(self._descriptor, fcntl.F_GETFL) & os.O_APPEND:
            return os.fstat(self._descriptor).st_size
        return os.lseek(self._descriptor, 0, os.SEEK_CUR)

    def check_reader(self) -> None:
        """See that somebody still reads, as far as can be known without writing.

        Raises:
            ReaderGone: nobody does.
        """
        poll = select.poll()
        poll.register(self._descriptor, 0)  # errors and hang-ups are told of in any case
        if any(event & select.POLLERR for _, event in poll.poll(0)):
            raise ReaderGone

    def _write(self, data: bytes) -> None:
        """Write *data* in pieces of which each fits where there is room for anything at all."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        while data:
            while not poll.poll(LOOK_MILLISECONDS):
                if self._stopping():
                    raise Interrupted
            data = data[os.write(self._descriptor, data[: select.PIPE_BUF]) :]
