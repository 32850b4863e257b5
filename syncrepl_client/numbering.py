# SPDX-License-Identifier: BSD-3-Clause
"""The change numbers in 389-ds's cookies: what they say of changes that are missing.

Seen on 389-ds 2.3.1 and read in its source (``plugins/sync``).  A search notes the number of the
last change, N, before it begins to queue changes for its persist stage, so what is changed in
between is in neither.  Changes that two writers make at once may be queued in the other order;
the one that comes late gets a cookie with -1 in it, and the cookies after it may go back to old
numbers before they catch up.
"""

from typing import Optional

from . import cookie


class Numbering:
    """The change numbers of one search, from the end of its refresh on."""

    def __init__(self, *, known: bool) -> None:
        """Begin in the refresh stage; where cookies have no numbers, nothing is *known*."""
        self._known = known
        self._first: Optional[int] = None
        self._highest: Optional[int] = None
        self._told = 0

    def refreshed(self, final: Optional[bytes], *, watch: bool) -> None:
        """Begin to count: the refresh ended with the cookie *final*.

        Args:
            final: that cookie.
            watch: whether a change may be missing after it.  After a search without a cookie
                none is: entries are looked for after changes began to be queued.
        """
        self._highest = cookie.change_number(final) if self._known else None
        self._first = self._highest + 1 if watch and self._highest is not None else None

    @property
    def unsettled(self) -> bool:
        """Whether it is unknown yet if a change was lost at the end of the refresh."""
        return self._first is not None

    def begin(self, new: Optional[bytes]) -> Optional[str]:
        """Return what speaks for a loss, in words, given a cookie of the persist stage.

        Only the first one can tell.  Each entry gets the number of the first of its changes
        after N, so another number than N + 1 is a gap, or comes of a late change.
        """
        first = self._first
        if not new or first is None:
            return None
        number = cookie.change_number(new)
        self._first = None
        if number == first:
            return None
        return f"the persist stage begins with change {number}, not with {first}"

    def settle(self, last: Optional[int]) -> Optional[str]:
        """Return what speaks for a loss, given the *last* number, where no change was told."""
        first, self._first = self._first, None
        if first is None or last is None or last < first:
            return None
        return f"change {first} was made as the refresh ended, and was not told"

    def advances(self, new: bytes) -> bool:
        """Count a change; say whether its cookie covers more than those before it."""
        if self._highest is None:  # as opaque as any other
            return True
        number = cookie.change_number(new)
        self._told += 1
        if number is None or number <= self._highest:
            return False
        self._told -= number - self._highest
        self._highest = number
        return True

    @property
    def gap(self) -> bool:
        """Whether fewer changes were told than numbers passed by.

        Then the cookie may cover a change that is still to come.  Or the change was outside the
        search, and won't come.
        """
        return self._told < 0

    def close_gap(self) -> None:
        """Take it that what did not come by now was outside the search."""
        self._told = max(0, self._told)
