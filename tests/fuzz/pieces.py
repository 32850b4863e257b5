# SPDX-License-Identifier: BSD-3-Clause
"""What the targets have in common."""

from __future__ import annotations

from typing import Callable, NamedTuple

UUID = bytes(range(16))


class Target(NamedTuple):
    """A decoder under test."""

    check: Callable[[bytes], None]
    corpus: tuple[bytes, ...]


class Pieces:
    """Takes fuzzed bytes apart; never runs out, gives zeros and empty strings then."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def number(self, limit: int) -> int:
        first, self.data = self.data[:1], self.data[1:]
        return first[0] % limit if first else 0

    def octets(self) -> bytes:
        size = self.number(256)
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def text(self) -> str:
        return self.octets().decode("utf-8", "replace")

    def several(self, limit: int) -> range:
        return range(self.number(limit + 1))
