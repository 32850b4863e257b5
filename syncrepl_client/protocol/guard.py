# SPDX-License-Identifier: BSD-3-Clause
"""The deletion guard: how many entries of a store one refresh may delete.

A server that was restored empty, an ACL that hides a subtree, a filter that lost a value: each
gives a valid answer, and each would delete everybody's account.
"""

import re
from typing import Callable, NamedTuple, Optional, Union

from ..changes import ChangeKind
from ..exceptions import ConfigurationError, StoreInvalid, TooManyDeletes

Limit = Union[int, float, None]
"""A number of entries (int), a part of the store (float, 0 to 1), or None for no limit."""

_ADD, _DELETE = ChangeKind.ADD, ChangeKind.DELETE
DEFAULT_LIMIT = 0.5
SMALL_STORE = 100
"""A limit that is a part of the store does not apply to stores with fewer entries."""


def check_limit(limit: Limit) -> Limit:
    """Return *limit* if it is valid.

    Raises:
        ConfigurationError: it is not.
    """
    if limit is None or (type(limit) is int and limit >= 0):
        return limit
    if type(limit) is float and 0 <= limit <= 1:
        return limit
    raise ConfigurationError(
        "max_deletes is a number of entries (an int, 0 or more), a part of the store (a float "
        f"from 0.0 to 1.0) or None, not {limit!r}"
    )


class Tally(NamedTuple):
    """What is kept of a refresh that is not done, so that whoever goes on with it counts on.

    Attributes:
        entries: how many the store had before it.
        deletes: how many it has reported.
        refused: how many it would have reported, where the guard ended it; None: it did not.
    """

    entries: int
    deletes: int
    refused: Optional[int] = None

    def __str__(self) -> str:
        """Return it as a store keeps it."""
        refused = "" if self.refused is None else f", {self.refused} refused"
        return f"{self.deletes} of {self.entries}{refused}"

    @classmethod
    def parse(cls, text: Optional[str]) -> "Optional[Tally]":
        """Return what a store kept; None for nothing.

        Raises:
            StoreInvalid: that is no tally.
        """
        if text is None:
            return None
        found = re.fullmatch(r"([0-9]{1,18}) of ([0-9]{1,18})(?:, ([0-9]{1,18}) refused)?", text)
        if found is None:
            raise StoreInvalid(f"the origin of the store is damaged: its tally is {text!r}")
        refused = None if found[3] is None else int(found[3])
        return cls(entries=int(found[2]), deletes=int(found[1]), refused=refused)


class Guard:
    """Counts the deletes of one refresh, over all the searches and restarts that it takes.

    Attributes:
        limit: how many there may be.
    """

    def __init__(
        self, limit: Limit, tally: Optional[Tally], count_entries: Callable[[], int]
    ) -> None:
        """Begin with a search.

        Args:
            limit: how many deletes there may be.
            tally: of the searches before, if one of them began the refresh.
            count_entries: returns how many entries the store has now.
        """
        self.limit = limit
        self._entries = None if tally is None else tally.entries
        self._deletes = 0 if tally is None else tally.deletes
        self._count_entries = count_entries
        self._grown = 0  # by what this search has reported

    def count(self, kind: ChangeKind) -> None:
        """Count a change, before it is reported.

        Raises:
            TooManyDeletes: it is a delete, and one too many.
        """
        if kind is _ADD:
            self._grown += 1
        elif kind is _DELETE:
            self.check(1)
            self._deletes += 1
            self._grown -= 1

    def check(self, more: int) -> None:
        """See that *more* entries may be reported deleted.

        Raises:
            TooManyDeletes: they may not.
        """
        if more and self.limit is not None:
            check_deletes(self.limit, self._deletes + more, self.entries, self._deletes)

    @property
    def entries(self) -> int:
        """How many entries the store had before the refresh; what that added is not among them."""
        if self._entries is None:  # an answer that deletes nothing shall not pay for it
            self._entries = self._count_entries() - self._grown
        return self._entries

    @property
    def tally(self) -> Optional[Tally]:
        """What a later search must know to count on; None if that is nothing."""
        if self.limit is None or not self.entries:
            return None
        return Tally(self.entries, self._deletes)


def check_deletes(limit: Limit, deletes: int, entries: int, reported: int = 0) -> None:
    """See that a refresh may delete that many of so many *entries*.

    Args:
        limit: how many it may.
        deletes: how many it would, as far as is known; those *reported* are among them.
        entries: how many the store had before it.
        reported: how many it has reported already.

    Raises:
        TooManyDeletes: it may not.
    """
    if limit is None:
        return
    if isinstance(limit, float):
        if limit == 1 or entries < SMALL_STORE or deletes <= limit * entries:
            return
        allowed = f"{limit:.0%} of the store"
    elif deletes <= limit:
        return
    else:
        allowed = str(limit)
    done = f"{reported} were reported, and no more" if reported else "none was deleted"
    raise TooManyDeletes(
        f"the server's answer would delete {deletes} of the store's {entries} entries, and "
        f"max_deletes allows {allowed}: {done}, and the cookie was not moved. See whether the "
        "directory, this user's rights and the filter are as they should be; if they are, call "
        "allow_deletes() and poll again, or run once with max_deletes=None",
        deletes=deletes,
        entries=entries,
    )
