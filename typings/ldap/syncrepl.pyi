# SPDX-License-Identifier: BSD-3-Clause
from typing import Any

class SyncreplConsumer:
    def syncrepl_search(
        self,
        base: str,
        scope: int,
        mode: str = ...,
        cookie: str | None = ...,
        **search_args: Any,
    ) -> int: ...
    def syncrepl_poll(
        self, msgid: int = ..., timeout: float | None = ..., all: int = ...
    ) -> bool: ...
