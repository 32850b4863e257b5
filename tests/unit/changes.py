# SPDX-License-Identifier: BSD-3-Clause
"""Changes to tell a callback of, and a stream that it may write to."""

from __future__ import annotations

import io
from uuid import UUID

from syncrepl_client import Change, ChangeKind, Phase
from syncrepl_client.entries.attributes import Attributes

ANN: Attributes = {"uid": [b"ann"], "sn": [b"a"]}


def change(
    kind: ChangeKind,
    old_dn: str | None = None,
    new_dn: str | None = None,
    old: Attributes | None = None,
    new: Attributes | None = None,
) -> Change:
    return Change(kind, UUID(int=1), Phase.PERSIST, old_dn, new_dn, old, new)


def add(dn: str, attrs: Attributes) -> Change:
    return change(ChangeKind.ADD, None, dn, None, attrs)


def modify(dn: str, old: Attributes, new: Attributes) -> Change:
    return change(ChangeKind.MODIFY, dn, dn, old, new)


def rename(
    old_dn: str, new_dn: str, old: Attributes | None = None, new: Attributes | None = None
) -> Change:
    old = ANN if old is None else old
    return change(ChangeKind.RENAME, old_dn, new_dn, old, old if new is None else new)


class Flushed(io.BytesIO):
    flushes = 0

    def flush(self) -> None:
        self.flushes += 1
        super().flush()
