# SPDX-License-Identifier: BSD-3-Clause
"""Attribute descriptions (RFC 4512, 2.5): which names are accepted from servers, and written.

LDIF and logs contain names as they are: a line break in one could be the start of another LDIF
record.  A server need not prevent that: 389-ds accepts any octets as an option, so that whoever may
write ``description`` may also write ``description;`` and a line break.
"""

import re
from collections.abc import Collection
from functools import lru_cache

_is_valid = re.compile("[A-Za-z0-9_][A-Za-z0-9_.=;-]*").fullmatch
"""Wider than the RFC by ``_``, ``=``, ``.`` and empty options: 389-ds stores them, and they are
harmless."""

_MOST, _LONGEST = 4096, 64
_known: set[str] = set()
"""Valid names: at most so many, and of at most so many characters.  Entries share their names."""


def invalid(names: Collection[str]) -> list[str]:
    """Return those of *names* that are not valid attribute descriptions."""
    if _known.issuperset(names):
        return []
    valid = list(filter(_is_valid, names))
    if len(valid) < len(names):
        return [name for name in names if not _is_valid(name)]
    if len(_known) + len(valid) > _MOST:
        _known.clear()
    if len(valid) <= _MOST:
        _known.update(name for name in valid if len(name) <= _LONGEST)
    return []


def base(name: str) -> str:
    """Return *name* without options, in lower case."""
    return _base(name) if len(name) <= _LONGEST else _base.__wrapped__(name)


@lru_cache(_MOST)
def _base(name: str) -> str:
    return name.partition(";")[0].lower()
