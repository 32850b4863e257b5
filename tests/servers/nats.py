# SPDX-License-Identifier: BSD-3-Clause
"""A throw-away NATS server with JetStream on loopback, which keeps what it has."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Callable, TypeVar

from tests.servers.process import LOOPBACK, Server, find_program

T = TypeVar("T")
LARGEST = 200_000
"""The largest message in octets that this server takes."""


class NATS(Server):
    """One server; *options* are further lines of its configuration."""

    def __init__(self, options: Sequence[str] = (), scheme: str = "nats") -> None:
        self._program = find_program("nats-server", "nats-server")
        super().__init__("nats")
        self._options = options
        self.url = f"{scheme}://{LOOPBACK}:{self.port}"

    def _prepare(self) -> None:
        lines = [
            f"listen: {LOOPBACK}:{self.port}",
            f"max_payload: {LARGEST}",
            f'jetstream {{ store_dir: "{self.directory}/data" }}',
            *self._options,
        ]
        (self.directory / "nats.conf").write_text("\n".join(lines) + "\n", encoding="ascii")

    def _command(self) -> list[str]:
        return [self._program, "-c", str(self.directory / "nats.conf")]

    def run(self, action: Callable[[Any], Coroutine[Any, Any, T]], **options: Any) -> T:
        """Run *action* with a JetStream context of nats-py."""

        async def connected() -> T:
            import nats

            async with await nats.connect(self.url, **options) as client:
                return await action(client.jetstream())

        return asyncio.run(connected())

    def add_stream(self, name: str, subjects: list[str], **options: Any) -> None:
        self.run(lambda jetstream: jetstream.add_stream(name=name, subjects=subjects, **options))

    def update_stream(self, name: str, subjects: list[str], **options: Any) -> None:
        self.run(lambda jetstream: jetstream.update_stream(name=name, subjects=subjects, **options))

    def messages(self, name: str) -> list[Any]:
        """The messages in a stream: each with subject, headers and data."""

        async def read(jetstream: Any) -> list[Any]:
            state = (await jetstream.stream_info(name)).state
            numbers = range(state.first_seq, state.last_seq + 1) if state.messages else ()
            return [await jetstream.get_msg(name, number) for number in numbers]

        return self.run(read)
