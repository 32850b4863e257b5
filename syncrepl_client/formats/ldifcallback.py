# SPDX-License-Identifier: BSD-3-Clause
"""Changes as LDIF change records (RFC 2849), for ``ldapmodify``."""

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import IO, Any, Optional

import ldap

from .. import url
from ..callbacks import BaseCallback
from ..changes import Change
from ..entries import dn
from ..entries.attributes import Attributes
from ..entries.differences import OPERATIONAL
from ..exceptions import UsageError
from ..store import Store
from .arrangement import Arrangement, SubtreeRenames
from .ldifrecord import to_ldif
from .ldifstate import LDIFState, LDIFStateInMemory, open_state
from .streams import Output

logger = logging.getLogger(__name__)


class LDIFCallback(BaseCallback):
    """Writes each change as an LDIF change record (RFC 2849).

    The output starts with ``version: 1``, unless the stream has content already.  It is flushed
    before each commit.

    Of a renamed subtree, only the entry at its top is written: the server that applies the record
    moves the entries below.  Not written are references, modifications of only *leave_out*, and
    adds of entries without any attribute.

    By default it writes each record at once, in the order of the changes.  The records of a
    transaction that is rolled back stay in the stream, and come again.  See :meth:`arrange` for
    records that another server can apply one after the other.
    """

    def __init__(self, stream: IO[Any], *, leave_out: Collection[str] = OPERATIONAL) -> None:
        """Initialize with a stream, which is not closed.

        Args:
            stream: a text or a binary stream; the output is ASCII.
            leave_out: names, without options and in any case, of attributes that are not written;
                by default those that servers don't let users write.  ``()``: none.
        """
        self._output = Output(stream)
        self._leave_out = leave_out
        self._begun = self._output.continued
        self._order = SubtreeRenames()
        self._state: Optional[LDIFState] = None
        self._store: Optional[Store] = None
        self._parents_expected = True

    def arrange(self, store: Store) -> None:
        """From now on, write records in an order that another server can apply, and none twice.

        That server starts empty, or with what the records so far have created.  An entry whose
        parent is missing there is held back until the parent comes.  A rename to below such a
        parent waits too; if the parent has not come by the next commit, or something else needs the
        old DN, the entry is deleted with all entries below it, and added again later.

        Records are written at the end of their transaction: what is rolled back is not written.
        They come again only if the program is killed between that and the commit.

        If *store* is a database, what is held back is in a table of its own there, committed with
        the changes.  Otherwise it is in memory: use the same LDIFCallback then for as long as the
        store.

        Args:
            store: ``client.store``.  Call this before the first ``poll()``, and each time the store
                is used: what has been written by then must be its whole content.

        Raises:
            UsageError: the store is new and empty: create the client first.
        """
        origin = store.origin if store.exists else None
        if origin is None or origin.url is None:
            raise UsageError("arrange() before the store follows a search: make the Syncrepl first")
        state = open_state(store)
        if store is not self._store or not isinstance(state, LDIFStateInMemory):
            self._store, self._state = store, state
        search = url.parse(origin.url)
        self._parents_expected = search.matches_all
        if search.scope == ldap.SCOPE_SUBTREE:
            self._order = Arrangement(store, self._state or state, dn.key(search.base))

    def dispatch(self, change: Change) -> object:
        """Write the records that can be applied after *change*."""
        self._do(self._order.receive(change))
        return super().dispatch(change)

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        """Write the entries that still wait for a parent, which is not in the search's result."""
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
        """Write the records of the transaction, and flush the stream."""
        self._do(self._order.finish())
        if self._state is not None:
            for records in self._state.records():
                self._write(records)
            self._state.committing()
        self._output.flush()

    def debug(self, message: str) -> None:
        """Discard the records of a transaction that was rolled back."""
        store = self._store
        if store is not None and not store.in_transaction and not store.lost:
            self._order.forget()
            if self._state is not None:
                self._state.rolled_back()
        super().debug(message)

    def _do(self, changes: Iterable[Change]) -> None:
        for change in changes:
            records = to_ldif(change, leave_out=self._leave_out)
            if records and self._state is not None:
                self._state.write(records)
            elif records:
                self._write(records)

    def _write(self, records: str) -> None:
        self._output.write(records if self._begun else f"version: 1\n\n{records}")
        self._begun = True
