# SPDX-License-Identifier: BSD-3-Clause
"""Where changes are written to: stdout, for as long as somebody reads it."""

import select
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Callable

from .errors import OutputError, ReaderGone


class Stdout:
    """A text stream over ``sys.stdout``, for callbacks that take a stream.

    What it writes is seen at the next :meth:`flush`, which comes before each commit.
    """

    def __init__(self, aside: Callable[[], AbstractContextManager[Any]]) -> None:
        """Write; *aside* makes a context in which the terminal is free for that."""
        self._stream = sys.stdout
        self._aside = aside

    def write(self, text: str) -> None:
        """Write *text*.

        Raises:
            ReaderGone: nobody reads it any more.
            OutputError: it can't be written.
        """
        if text:
            with self._checked():
                # The only control character that JSON lets through.
                self._stream.write(text.replace("\x7f", "\\u007f"))

    def flush(self) -> None:
        """Hand on what was written; raises what :meth:`write` does."""
        with self._checked():
            self._stream.flush()

    def seekable(self) -> bool:
        """Say whether it is a file."""
        return self._stream.seekable()

    def tell(self) -> int:
        """Return the position in the file."""
        return self._stream.tell()

    def check_reader(self) -> None:
        """See that somebody still reads, as far as can be known without writing.

        Raises:
            ReaderGone: nobody does.
        """
        poll = select.poll()
        poll.register(self._stream, 0)  # errors and hang-ups are told of in any case
        if any(event & select.POLLERR for _, event in poll.poll(0)):
            raise ReaderGone

    @contextmanager
    def _checked(self) -> Iterator[None]:
        try:
            with self._aside():
                yield
        except BrokenPipeError:
            raise ReaderGone from None
        except OSError as error:
            raise OutputError(f"the output can't be written: {error}") from error
