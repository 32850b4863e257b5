# SPDX-License-Identifier: BSD-3-Clause
"""Buffered output to stdout, which detects that its reader is gone."""

import fcntl
import os
import select
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Callable

from ..errors import Interrupted, OutputError, ReaderGone
from .terminal import is_terminal

MUCH = 65536
"""The size of the buffer, in characters."""
LOOK_MILLISECONDS = 100
"""The interval at which a stop is checked for while nobody reads."""


class Stdout:
    """A text stream over ``sys.stdout``, for callbacks that take a stream.

    Output is buffered until the next :meth:`flush`, which comes before each commit, or until the
    buffer is full.
    """

    def __init__(
        self, aside: Callable[[], AbstractContextManager[Any]], stopping: Callable[[], bool]
    ) -> None:
        """Initialize with an empty buffer.

        Args:
            aside: returns a context manager that clears the terminal for output.
            stopping: returns True if it should not wait for a reader any longer.
        """
        self._stream = sys.stdout
        self._descriptor = sys.stdout.fileno()
        self._aside = aside if is_terminal(sys.stdout) else nullcontext
        self._stopping = stopping
        self._kept: list[str] = []
        self._size = 0

    def write(self, text: str) -> None:
        """Write *text*; may raise what :meth:`flush` raises."""
        if text:
            # The only control character that JSON lets through.
            self._kept.append(text.replace("\x7f", "\\u007f"))
            self._size += len(text)
            if self._size > MUCH:
                self.flush()

    def flush(self) -> None:
        """Write the buffer.

        Raises:
            ReaderGone: the reader has closed it.
            OutputError: it can't be written.
            Interrupted: nobody reads, and a stop was requested.
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
        """Return True if it is a file."""
        return self._stream.seekable()

    def tell(self) -> int:
        """Return the position in the file: its end, if it is opened to append."""
        if fcntl.fcntl(self._descriptor, fcntl.F_GETFL) & os.O_APPEND:
            return os.fstat(self._descriptor).st_size
        return os.lseek(self._descriptor, 0, os.SEEK_CUR)

    def check_reader(self) -> None:
        """Check that the reader has not closed it, as far as possible without writing.

        Raises:
            ReaderGone: it has.
        """
        poll = select.poll()
        poll.register(self._descriptor, 0)  # errors and hang-ups are told of in any case
        if any(event & select.POLLERR for _, event in poll.poll(0)):
            raise ReaderGone

    def _write(self, data: bytes) -> None:
        """Write *data* in pieces that fit into a pipe that is writable."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        while data:
            while not poll.poll(LOOK_MILLISECONDS):
                if self._stopping():
                    raise Interrupted
            data = data[os.write(self._descriptor, data[: select.PIPE_BUF]) :]
