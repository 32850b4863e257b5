# SPDX-License-Identifier: BSD-3-Clause
"""Output to text or binary streams: ASCII, one whole record per write."""

from typing import IO, Any


class Output:
    """A text or binary stream to which ASCII text can be written."""

    def __init__(self, stream: IO[Any]) -> None:
        """Initialize with a stream of either kind."""
        self._stream = stream
        try:
            stream.write("")
            self._binary = False
        except TypeError:
            self._binary = True

    @property
    def continued(self) -> bool:
        """Whether the stream has content already, as a file that is opened to append."""
        try:
            return self._stream.seekable() and self._stream.tell() > 0
        except (AttributeError, OSError, ValueError):  # a pipe, or no file at all
            return False

    def write(self, text: str) -> None:
        """Write *text* with one call, so that output of other threads is not mixed in."""
        self._stream.write(text.encode("ascii") if self._binary else text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()
