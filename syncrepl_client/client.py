# SPDX-License-Identifier: BSD-3-Clause
"""The client for programs that poll in a thread of their own."""

import contextlib
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Optional

from .changes import Change
from .engine import arguments
from .engine.baseclient import BaseClient, S
from .waiting import coroutines
from .waiting.coroutines import YieldChange

if TYPE_CHECKING:  # few programs verify, and import takes its time
    from .engine.verification import Difference


class Syncrepl(BaseClient[S]):
    """Follows the result of one LDAP search, and calls a callback for each change.

    The constructor connects, starts TLS, binds, calls ``bind_complete`` and starts the search.

    Attributes:
        store: the open data store.
    """

    def _start(self) -> None:
        if self._tenure.held:
            self._link.connect()
        coroutines.run(self._poller.start())

    def poll(self, timeout: Optional[float] = None) -> bool:
        """Wait for messages of the search, process them, and commit.

        A call processes one batch: in the refresh stage up to 10,000 messages or one second, in the
        persist stage what has arrived.  No transaction is open when it returns.

        Args:
            timeout: seconds to wait if nothing happens; 0 doesn't wait, None waits for as long as
                it takes.

        Returns:
            True if the search goes on (also if nothing happened, or if the connection was lost and
            will be re-established), False if it is over.

        Raises:
            TooManyDeletes: see ``max_deletes``; nothing was deleted, and the next ``poll()``
                searches again.
            ProtocolError: the server violated the protocol; the search is over.
            StoreError: the store could not be written; nothing was committed.
            ldap.LDAPError: the connection was lost, or the server ended the search with an error,
                and it is not one to retry, or ``reconnect`` is off; the search is over.
            Exception: any exception of a callback; nothing was committed, and the next ``poll()``
                searches again, from the last commit on.
        """
        self._check_pollable("poll")
        deadline = arguments.deadline(timeout)
        with self._at_work():
            return coroutines.run(self._poller.poll(deadline))

    def run(self) -> None:
        """Poll until the search is over; raises what :meth:`poll` raises."""
        self._check_pollable("run")
        with self._at_work():
            coroutines.run(self._poller.run())

    def changes(self, *, at_once: int = 1, timeout: Optional[float] = None) -> Iterator[Change]:
        """Iterate over the changes: first those since the last run, then each as it happens.

        A change is committed, with the cookie that covers it, when the next one is asked for.  If
        the loop is left, also by an exception or a kill, the current change comes again.  The
        callback is called for each change first, and for all other events.  The body of the loop
        runs in the open transaction, as a callback does; only :meth:`please_stop`,
        :meth:`reconcile` and :meth:`unbind` may be called there.

        One message of the server may result in several changes: all entries of a renamed subtree.
        They are committed together, after the last of them.

        Args:
            at_once: the maximum number of changes per commit.  More is faster, and more changes
                come again after a crash.
            timeout: seconds to wait for the next change; the iteration ends when none came, and can
                be started again.  None waits for as long as it takes.

        Yields:
            the changes, until the search is over (when :meth:`poll` would return False).

        Raises:
            ConfigurationError: *at_once* or *timeout* is not valid.
            Exception: as :meth:`poll`.
        """
        self._check_usable("changes")
        arguments.check_number("at_once", at_once, least=1)
        arguments.check_seconds("timeout", timeout)
        return self._iterate(at_once, timeout)

    def _iterate(self, at_once: int, timeout: Optional[float]) -> Iterator[Change]:
        coroutine = self._iteration(at_once, timeout)
        with contextlib.closing(coroutine):
            while isinstance(request := coroutines.run_until(coroutine, YieldChange), YieldChange):
                self._lend_change(coroutine)
                yield request.change
                self._change_handled()

    def verify(self, page_size: int = 1000, limit: int = 1000) -> "list[Difference]":
        """Compare the store with the directory; change nothing.

        The directory is searched without content synchronization, page by page (RFC 2696) over a
        second connection, made like the first one (``bind_complete`` is not called).  Messages that
        arrive meanwhile are left to the next poll. Each difference is checked once more before it
        is returned.  Memory does not grow with the directory; SQLite's temporary file does, by some
        25 bytes an entry.

        Changes since the last ``poll()`` are differences too: poll until nothing comes, verify, and
        trust what is still different after doing both again.  Not compared are references, and
        attributes that the server derives and sends no changes of
        (:data:`~syncrepl_client.DERIVED`; on 389-ds also
        :data:`~syncrepl_client.engine.verification.BOOKKEEPING`).

        Args:
            page_size: entries per page; a server may limit it.
            limit: the maximum number of differences to return; if so many are returned, there may
                be more.

        Returns:
            The differences: missing and different entries in the server's order, then surplus ones,
            parents before children.  Empty if there are none.

        Raises:
            UsageError: a ``poll()`` is running, or the refresh is not done yet.
            Stopped: ``please_stop()`` was called, before or meanwhile.  A partial result is not
                returned: it would look like a good one.
            PagingUnsupported: the server does not support paged results.
            ConfigurationError: *page_size* or *limit* is not valid.
            StoreError: the store can't be read, or the temporary file can't be written.
            ldap.LDAPError: from the second connection; SIZELIMIT_EXCEEDED or ADMINLIMIT_EXCEEDED if
                this user may read only a part, TIMEOUT after five minutes of silence.
        """
        with self._verifying() as verify:
            return verify(page_size, limit)

    def unbind(self) -> None:
        """Close the connection and the store.  Every method raises ClosedError afterwards."""
        self._unbind()

    def __enter__(self) -> "Syncrepl[S]":
        self._check_usable("__enter__")
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if not self._closed and self._owner.is_here:
            self.unbind()
