# SPDX-License-Identifier: BSD-3-Clause
"""The latest cookie of a search, and the kind of server that makes its cookies."""

from typing import Optional

from . import cookie
from .changenumbers import ChangeNumbers
from .dialect import OTHER, Dialect, of_cookie


class LatestCookie:
    """The cookie of everything received so far.

    Attributes:
        change_numbers: the change numbers of the persist stage (389-ds).
        made_by_other: the kind of server that made the cookies, if it is not the one that was
            searched; None otherwise.
    """

    def __init__(self, sent: Optional[bytes], dialect: Dialect) -> None:
        """Initialize with the cookie that was *sent* to a server of that *dialect*."""
        self.change_numbers = ChangeNumbers(known=dialect.numbers_changes)
        self.made_by_other: Optional[Dialect] = None
        self._dialect = dialect
        self._sent = sent
        self._value = sent
        self._merged: Optional[bytes] = None  # into it, last
        self._newest: Optional[bytes] = None  # not merged into it yet

    @property
    def value(self) -> Optional[bytes]:
        """The cookie."""
        new, value = self._newest, self._value
        if new is not None:
            easy = value and self._merged and cookie.advanced(value, self._merged, new)
            self._value = easy or cookie.merge(value, new)
            self._merged, self._newest = new, None
        return self._value

    def keep(self, new: Optional[bytes], *, refreshing: bool) -> Dialect:
        """Replace the cookie; one that is absent or empty leaves the last one in force.

        Returns:
            the dialect of the server, which the cookie may have shown.
        """
        if new and (refreshing or self.change_numbers.advances(new)):
            if refreshing:
                self._see_whose(new)
            self._keep(new)
        return self._dialect

    def _keep(self, new: bytes) -> None:
        if not self._dialect.merges_cookies:
            self._value = new
            return
        latest = new if self._newest is None else cookie.later(new, self._newest)
        if latest is None:
            self._value, latest = self.value, new
        self._newest = latest

    def _see_whose(self, new: bytes) -> None:
        """Compare the kind of server that made the cookie with the one that was searched.

        A proxy has a root DSE of its own, and slapd takes a cookie that it can't parse for none.
        """
        kind, before = of_cookie(new), of_cookie(self._sent or b"")
        if before is not None and kind is not before:
            self.made_by_other = kind or OTHER
        elif kind is not None and self._dialect is OTHER:
            self._dialect = kind
            self.change_numbers = ChangeNumbers(known=kind.numbers_changes)
        elif kind is not None and kind is not self._dialect:
            self.made_by_other = kind
