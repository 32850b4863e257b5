# SPDX-License-Identifier: BSD-3-Clause
"""The change numbers in 389-ds's cookies, and which changes are missing by them.

Observed on 389-ds 2.3.1, and read in its source (``plugins/sync``).  A search records the number of
the last change, N, before it begins to queue changes for its persist stage, so a change that is
made in between is in neither stage.  Changes that two writers make concurrently may be queued in
the other order; the late one gets a cookie with -1 in it, and the cookies after it may go back to
old numbers before they catch up.
"""

from typing import Optional

from . import cookie


class ChangeNumbers:
    """The change numbers of one search, from the end of its refresh stage on.

    Changes are counted: each one that was received makes up for one number that was skipped.
    """

    def __init__(self, *, known: bool) -> None:
        """Initialize in the refresh stage; *known*: whether cookies have change numbers."""
        self._known = known
        self._highest: Optional[int] = None
        self._told = 0

    def refreshed(self, final: Optional[bytes]) -> None:
        """Start counting: the refresh stage ended with the cookie *final*."""
        self._highest = cookie.change_number(final) if self._known else None

    def advances(self, new: bytes) -> bool:
        """Count a change; return True if its cookie covers more than the previous ones."""
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
        """Whether fewer changes were received than numbers skipped.

        If so, the cookie may cover a change that is still to come; or the change is outside the
        search, and will not come.
        """
        return self._told < 0

    def close_gap(self) -> None:
        """Treat changes that have not come by now as outside the search."""
        self._told = max(0, self._told)


class StageGap:
    """The gap between the stages of a resumed search: whether a change was lost in it.

    Until that is known, nothing that arrives may be stored.  (If the client searched again from N,
    an entry that was added after N and deleted since would not be sent.)

    A lost change has a lower number than any queued one.  So when the first queued change has come,
    or after some time, the server is asked for the number of its last change, and every number up
    to that one must arrive, each by itself: a change that comes late, or with the number of an
    earlier one, does not tell its own.  Numbers that do not arrive were outside the search, late,
    or lost.
    """

    def __init__(self, final: int) -> None:
        """Initialize from the change number of the cookie that ended the refresh stage."""
        self._final = final
        self._came: set[int] = set()
        self._last: Optional[int] = None

    def arrives(self, new: Optional[bytes]) -> None:
        """Record the cookie of a change that has arrived."""
        number = cookie.change_number(new)
        if number is not None and number > self._final:
            self._came.add(number)

    @property
    def asked(self) -> bool:
        """Whether the server was asked for the number of its last change."""
        return self._last is not None

    def answered(self, last: Optional[int]) -> None:
        """Record the number of the server's *last* change; None if it does not tell it."""
        self._last = max(self._final, last or 0, *self._came)

    @property
    def missing(self) -> int:
        """How many of the numbers that must arrive have not arrived."""
        last = self._final if self._last is None else self._last
        return last - self._final - sum(number <= last for number in self._came)
