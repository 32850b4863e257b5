# SPDX-License-Identifier: BSD-3-Clause
"""Text or binary streams: what is written to them is ASCII, a whole record at a time."""

from typing import IO, Any


class Output:
    """A stream of either kind, to write ASCII text to."""

    def __init__(self, stream: IO[Any]) -> None:
        """Find out which kind *stream* is."""
        self._stream = stream
        try:
            stream.write("")
            self._binary = False
        except TypeError:
            self._binary = True

    @property
    def continued(self) -> bool:
        """Whether something was written before, as in a file that is opened to append."""
        try:
            return self._stream.seekable() and self._stream.tell() > 0
        except (AttributeError, OSError, ValueError):  # a pipe, or no file at all
            return False

    def write(self, text: str) -> None:
        """Write *text* at once, so that what another thread or process writes is not mixed in."""
        self._stream.write(text.encode("ascii") if self._binary else text)

    def flush(self) -> None:
        """Hand on what the stream itself keeps back."""
        self._stream.flush()
