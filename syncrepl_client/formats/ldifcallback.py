# SPDX-License-Identifier: BSD-3-Clause
"""LDIF change records (RFC 2849) of what happened, for ``ldapmodify``."""

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import IO, Any, Optional

import ldap

from .. import dn, url
from ..callbacks import BaseCallback
from ..changes import Change
from ..differences import OPERATIONAL
from ..exceptions import UsageError
from ..messages import Attributes
from ..store import Store
from .arrangement import Arrangement, Following
from .heldback import Notes, NotesInMemory, open_notes
from .ldifrecord import to_ldif
from .streams import Output

logger = logging.getLogger(__name__)


class LDIFCallback(BaseCallback):
    """Writes each change as an LDIF change record (RFC 2849).

    The stream begins with ``version: 1``, unless something is in it already.  It is flushed
    before each commit.

    Of a renamed subtree, only the entry at its top is written: the server that applies the
    record renames what is below.  Not written are references, modifications of nothing but
    *leave_out*, and adds of entries without any attribute.

    By itself it writes each record at once, in the order in which it hears of changes.  A
    transaction that is rolled back leaves its records there, and they come again.  See
    :meth:`arrange` for records that another server takes one after the other.
    """

    def __init__(self, stream: IO[Any], *, leave_out: Collection[str] = OPERATIONAL) -> None:
        """Write to *stream*, which stays open.

        Args:
            stream: a text or a binary stream; what is written is ASCII.
            leave_out: names, options aside and in any case, of attributes that are not
                written; by default those that servers don't let users write.  ``()``: none.
        """
        self._output = Output(stream)
        self._leave_out = leave_out
        self._begun = self._output.continued
        self._order = Following()
        self._notes: Optional[Notes] = None
        self._store: Optional[Store] = None
        self._parents_expected = True

    def arrange(self, store: Store) -> None:
        """From now on, write records in an order that another server takes, and none twice.

        That server begins empty, or with what the records so far have made.  What has no
        parent there yet is held back until the parent comes.  What is renamed to below such a
        parent waits too; if the parent has not come by the next commit, or something needs the
        old place, the entry is deleted with all below it, and added again later.

        Records wait for the end of their transaction: what is rolled back is not written.
        They come again only where the program ends between that and the commit.

        Where *store* is a database, what is held back is in a table of its own there, committed
        with the changes.  Otherwise it is in memory: keep this object then for as long as the
        store is used.

        Args:
            store: ``client.store``.  Call this before the first ``poll()``, and each time the
                store is used: what has been written by then is all that it holds.

        Raises:
            UsageError: the store follows no search yet: make the client first.
        """
        origin = store.origin if store.exists else None
        if origin is None or origin.url is None:
            raise UsageError("arrange() before the store follows a search: make the Syncrepl first")
        notes = open_notes(store)
        if store is not self._store or not isinstance(notes, NotesInMemory):
            self._store, self._notes = store, notes
        search = url.parse(origin.url)
        self._parents_expected = search.matches_all
        if search.scope == ldap.SCOPE_SUBTREE:
            self._order = Arrangement(store, self._notes or notes, dn.key(search.base))

    def dispatch(self, change: Change) -> object:
        """Write what can be done now because of *change*."""
        self._do(self._order.receive(change))
        return super().dispatch(change)

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        """Write what still waits for its parent, which is not in the search's result."""
        self._do(self._order.finish())
        count, first = 0, None
        for change in self._order.release():
            count, first = count + 1, first or change.new_dn
            self._do((change,))
        if count:
            logger.log(
                logging.WARNING if self._parents_expected else logging.INFO,
                "%d %s written without a parent in the search's result, the first one %r; "
                "ldapmodify adds nothing below what the other server does not have",
                count,
                "entry was" if count == 1 else "entries were",
                first,
                extra={"event": "without-parent"},
            )
        super().refresh_done(items)

    def before_commit(self) -> None:
        """Write out the records of the transaction, and flush the stream."""
        self._do(self._order.finish())
        if self._notes is not None:
            for records in self._notes.records():
                self._write(records)
            self._notes.committing()
        self._output.flush()

    def debug(self, message: str) -> None:
        """See whether a transaction was rolled back: there is none when a search begins."""
        if self._store is not None and not self._store.in_transaction:
            self._order.forget()
            if self._notes is not None:
                self._notes.rolled_back()
        super().debug(message)

    def _do(self, changes: Iterable[Change]) -> None:
        for change in changes:
            records = to_ldif(change, leave_out=self._leave_out)
            if records and self._notes is not None:
                self._notes.write(records)
            elif records:
                self._write(records)

    def _write(self, records: str) -> None:
        self._output.write(records if self._begun else f"version: 1\n\n{records}")
        self._begun = True
