# SPDX-License-Identifier: BSD-3-Clause
"""AsyncSyncrepl with the methods of Syncrepl, on a loop of its own: for the same tests.

With ``SYNCREPL_CLIENT=async`` in the environment, all tests get it where they ask for Syncrepl.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from syncrepl_client import AsyncSyncrepl, Change

T = TypeVar("T")


class Looped:
    """A client that waits in an event loop, for a caller that has none."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        self._loop = asyncio.new_event_loop()
        try:
            self._client = AsyncSyncrepl(*args, **keywords)
            self._finish(self._client.__aenter__())
        except BaseException:
            self._close()
            raise

    def _finish(self, work: Coroutine[Any, Any, T]) -> T:
        task = self._loop.create_task(work)
        try:
            return self._loop.run_until_complete(task)
        finally:
            if not task.done():  # as asyncio.run() does where Ctrl-C came
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    self._loop.run_until_complete(task)

    def _close(self) -> None:
        self._finish(self._loop.shutdown_default_executor())
        self._loop.close()

    def poll(self, timeout: float | None = None) -> bool:
        self._client._check_usable("poll")
        return self._finish(self._client.poll(timeout))

    def run(self) -> None:
        self._client._check_usable("run")
        self._finish(self._client.run())

    def changes(self, **keywords: Any) -> Iterator[Change]:
        changes = self._client.changes(**keywords)
        return self._iterate(changes)

    def _iterate(self, changes: Any) -> Iterator[Change]:
        while True:
            try:
                change = self._finish(anext_of(changes))
            except StopAsyncIteration:
                return
            yield change

    def verify(self, *args: int, **keywords: int) -> Any:
        self._client._check_usable("verify")
        return self._finish(self._client.verify(*args, **keywords))

    def unbind(self) -> None:
        self._client._unbind()
        self._close()

    def __enter__(self) -> Looped:
        self._client._check_usable("__enter__")
        return self

    def __exit__(self, *error: object) -> None:
        if not self._client._closed:
            self.unbind()

    @property
    def callback(self) -> Any:
        return self._client.callback

    @callback.setter
    def callback(self, callback: Any) -> None:
        self._client.callback = callback

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def __repr__(self) -> str:
        return repr(self._client).replace("AsyncSyncrepl", "Syncrepl")


async def anext_of(changes: Any) -> Change:
    change: Change = await changes.__anext__()
    return change
