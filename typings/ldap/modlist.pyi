# SPDX-License-Identifier: BSD-3-Clause
from collections.abc import Mapping, Sequence

def addModlist(
    entry: Mapping[str, Sequence[bytes]], ignore_attr_types: Sequence[str] | None = ...
) -> list[tuple[str, list[bytes]]]: ...
def modifyModlist(
    old_entry: Mapping[str, Sequence[bytes]],
    new_entry: Mapping[str, Sequence[bytes]],
    ignore_attr_types: Sequence[str] | None = ...,
    ignore_oldexistent: int = ...,
    case_ignore_attr_types: Sequence[str] | None = ...,
) -> list[tuple[int, str, list[bytes] | None]]: ...
