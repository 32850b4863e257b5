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
    """The change numbers of one search, from the end of its refresh on.

    They are counted: each change that is told makes up for one that was passed by.
    """

    def __init__(self, *, known: bool) -> None:
        """Begin in the refresh stage; where cookies have no numbers, nothing is *known*."""
        self._known = known
        self._highest: Optional[int] = None
        self._told = 0

    def refreshed(self, final: Optional[bytes]) -> None:
        """Begin to count: the refresh ended with the cookie *final*."""
        self._highest = cookie.change_number(final) if self._known else None

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


class Seam:
    """What lies between the stages of a resumed search: whether a change was lost there.

    Until it is known that none was, nothing that arrives may be stored.  (Searched for again from
    N, an entry that was added after N and deleted since would not be named.)

    A change that was lost had its number before the first one that was queued arrived.  So when
    that has come, or after a while, the server is asked for the number of its last change, and
    every number up to that one must come: exactly, as a change that comes late, or under an
    earlier change's number, does not say which number it had.  Numbers that do not come were
    outside the search, came late, or were lost.
    """

    def __init__(self, final: int) -> None:
        """Begin when a refresh has ended with the number *final*."""
        self._final = final
        self._came: set[int] = set()
        self._last: Optional[int] = None

    def arrives(self, new: Optional[bytes]) -> None:
        """Hear the cookie of a change."""
        number = cookie.change_number(new)
        if number is not None and number > self._final:
            self._came.add(number)

    @property
    def asked(self) -> bool:
        """Whether the server was asked for the number of its last change."""
        return self._last is not None

    def answered(self, last: Optional[int]) -> None:
        """Hear the number of the *last* change, if the server tells it."""
        self._last = max(self._final, last or 0, *self._came)

    @property
    def missing(self) -> int:
        """How many numbers have not come, of those that must."""
        last = self._final if self._last is None else self._last
        return last - self._final - sum(number <= last for number in self._came)
