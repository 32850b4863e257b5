# SPDX-License-Identifier: BSD-3-Clause
"""The deletion guard: how much of a store one refresh may delete.

A server that was restored empty, an ACL that hides a subtree, a filter that lost a value: each
answers correctly, and each would take everybody's account away.
"""

from typing import Union

from .exceptions import ConfigurationError, TooManyDeletes

Limit = Union[int, float, None]
"""A number of entries (int), a part of the store (float, 0 to 1), None for no limit."""

DEFAULT_LIMIT = 0.5
SMALL_STORE = 100
"""In a store with fewer entries than that, a part of it means nothing."""


def check_limit(limit: Limit) -> Limit:
    """Return *limit* if it is one.

    Raises:
        ConfigurationError: it isn't.
    """
    if limit is None or (type(limit) is int and limit >= 0):
        return limit
    if type(limit) is float and 0 <= limit <= 1:
        return limit
    raise ConfigurationError(
        "max_deletes is a number of entries (an int, 0 or more), a part of the store (a float "
        f"from 0.0 to 1.0) or None, not {limit!r}"
    )


def check_deletes(limit: Limit, deletes: int, entries: int) -> None:
    """See that a refresh may delete that many of so many *entries*.

    Raises:
        TooManyDeletes: it may not; nothing has been reported yet.
    """
    if limit is None:
        return
    if isinstance(limit, float):
        if entries < SMALL_STORE or deletes <= limit * entries:
            return
        allowed = f"{limit:.0%} of the store"
    elif deletes <= limit:
        return
    else:
        allowed = str(limit)
    raise TooManyDeletes(
        f"the server's answer would delete {deletes} of the store's {entries} entries, and "
        f"max_deletes allows {allowed}: none was deleted, and the cookie was not moved. See "
        "whether the directory, this user's rights and the filter are as they should be; if "
        "they are, call allow_deletes() and poll again, or run once with max_deletes=None",
        deletes=deletes,
        entries=entries,
    )
