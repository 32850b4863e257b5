# SPDX-License-Identifier: BSD-3-Clause
"""The client of a program that waits in its own thread."""

import contextlib
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Optional

from . import arguments
from .changes import Change
from .driving import Handover, advance, drive
from .follower import Follower

if TYPE_CHECKING:  # few programs verify, and import takes its time
    from .verification import Difference


class Syncrepl(Follower):
    """Follows the result of one LDAP search, and tells a callback of each change.

    The constructor connects, starts TLS, binds, calls ``bind_complete`` and starts the search.

    Attributes:
        store: the open data store.
    """

    def _start(self) -> None:
        self._link.connect()
        drive(self._turns.begin())

    def poll(self, timeout: Optional[float] = None) -> bool:
        """Wait for something to do, do it, commit it.

        A call handles one batch: in the refresh stage up to 10,000 messages or a second's, in
        the persist stage what is there.  No transaction is open when it returns.

        Args:
            timeout: seconds to wait if nothing happens; 0 doesn't wait, None waits for as
                long as it takes.

        Returns:
            True if the search goes on (also where nothing happened, or where the connection
            was lost and will be made again), False if it is over.

        Raises:
            TooManyDeletes: see ``max_deletes``; nothing was deleted, and the next ``poll()``
                searches again.
            ProtocolError: the server sent what it must not; the search is over.
            StoreError: the store could not be written; nothing was committed.
            ldap.LDAPError: the connection was lost, or the server ended the search with an
                error, and no retry can mend that, or ``reconnect`` is off; the search is over.
            Exception: whatever a callback raised; nothing was committed, and the next
                ``poll()`` searches again, from the last commit on.
        """
        self._check_pollable("poll")
        deadline = arguments.deadline(timeout)
        with self._at_work():
            return drive(self._turns.poll(deadline))

    def run(self) -> None:
        """Poll until the search is over; raises what :meth:`poll` raises."""
        self._check_pollable("run")
        with self._at_work():
            drive(self._turns.run())

    def changes(self, *, at_once: int = 1, timeout: Optional[float] = None) -> Iterator[Change]:
        """Iterate over the changes: what happened since the last run, then each as it happens.

        A change counts as handled when the next one is asked for, and is committed then, with
        the cookie that covers it.  Leave the loop, also by an exception or a kill, and the
        change at hand comes again.  The callback is told of each change first, and of all else.
        The body of the loop runs in the open transaction, as a callback does; only
        :meth:`please_stop`, :meth:`reconcile` and :meth:`unbind` may be called there.

        One message of the server may mean several changes: all entries of a renamed subtree.
        They are committed together, after the last of them.

        Args:
            at_once: so many changes share a commit, at most.  More is faster, and if the
                program dies, more come again.
            timeout: seconds to wait for the next change; the iteration ends when none came,
                and may be begun again.  None waits for as long as it takes.

        Yields:
            the changes, until the search is over, as :meth:`poll` would say.

        Raises:
            ConfigurationError: *at_once* or *timeout* is no such number.
            Exception: what :meth:`poll` raises.
        """
        self._check_usable("changes")
        arguments.check_number("at_once", at_once, least=1)
        arguments.check_seconds("timeout", timeout)
        return self._iterate(at_once, timeout)

    def _iterate(self, at_once: int, timeout: Optional[float]) -> Iterator[Change]:
        course = self._hand_over(at_once, timeout)
        with contextlib.closing(course):
            while isinstance(request := advance(course, Handover), Handover):
                self._hand(course)
                yield request.change
                self._take_back()

    def verify(self, page_size: int = 1000, limit: int = 1000) -> "list[Difference]":
        """Compare the store with an ordinary search of the directory; change nothing.

        The search is read page by page (RFC 2696) over a connection of its own, made like the
        first one (``bind_complete`` is not called).  What arrives meanwhile waits for the next
        poll.  What differs is looked at once more before it is returned.  Memory does not grow
        with the directory; SQLite's temporary file does, by some 25 bytes an entry.

        What changed since the last ``poll()`` differs as well: poll until nothing comes,
        verify, and believe what is still there when both are done again.  Not compared:
        references, and attributes that the server derives and tells no change of
        (:data:`.verification.DERIVED`; on 389-ds :data:`.verification.BOOKKEEPING` too).

        Args:
            page_size: entries a page; a server may have a limit here.
            limit: return so many differences at most; if there are as many, there may be more.

        Returns:
            The differences: missing and different entries as the server sends them, then
            surplus ones, parents before children.  Empty if there are none.

        Raises:
            UsageError: a ``poll()`` is at work, or the refresh is not done yet.
            Stopped: ``please_stop()`` was called, before or meanwhile.  A part of the answer is
                not returned: it would look like a clean one.
            PagingUnsupported: the server has no paged results.
            ConfigurationError: *page_size* or *limit* is no number of entries.
            StoreError: the store can't be read, or the temporary file not be written.
            ldap.LDAPError: of the second connection; SIZELIMIT_EXCEEDED or ADMINLIMIT_EXCEEDED
                if this user may read a part only, TIMEOUT after five minutes of silence.
        """
        with self._verifying() as verify:
            return verify(page_size, limit)

    def unbind(self) -> None:
        """Close the connection and the store.  Every method raises ClosedError from then on."""
        self._unbind()

    def __enter__(self) -> "Syncrepl":
        self._check_usable("__enter__")
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if not self._closed:
            self.unbind()
