# SPDX-License-Identifier: BSD-3-Clause
"""Entries that a refresh missed because something moved meanwhile (OpenLDAP).

A refresh that looks at all entries is no snapshot: back-mdb walks the tree, and reads on in a newer
state after ``rtxnsize`` entries (10,000), or when the client was slow to receive.  What moves from
where it has yet to come to where it was is missed, and with a container all that is below it.
The persist stage tells of what moved, but neither of what is below that, nor that what seems to be
gone is not.  So, if there were changes during the refresh, ordinary searches find

* which of the stored entries that were not named exist all the same: they are not deleted;
* which containers were renamed, and what is below them and not stored: it is added.

What was changed during the refresh itself will be told.  The rest is taken as it is, but below the
containers as these are stored: messages that rename those are to come.
"""

from collections.abc import Awaitable, Collection, Iterable, Iterator
from itertools import islice
from typing import Any, Callable

import ldap

from ..entries import dn
from ..exceptions import ProtocolError
from ..network import lookup
from ..network.connection import Connection
from ..network.lookup import Container, Found, Listing
from ..protocol import knowledge
from ..protocol.facts import Scanned
from ..protocol.messages import Entry
from ..protocol.synchronization import Synchronization
from ..protocol.view import View
from ..waiting.coroutines import BlockingCall, ask

Take = Callable[[Entry], Awaitable[object]]


class Missed:
    """Looks for what one refresh missed."""

    def __init__(
        self,
        connection: Connection,
        suffix: str,
        view: View,
        sync: Synchronization,
        check: Callable[[], None],
    ) -> None:
        """Initialize for a refresh.

        Args:
            connection: to the server.
            suffix: DN of its naming context.
            view: of the store.
            sync: the search, at the end of its refresh.
            check: called before the server is asked something; may raise an exception to end it.
        """
        self._connection = connection
        self._suffix = suffix
        self._view = view
        self._sync = sync
        self._check = check
        self._before = knowledge.of_cookie(sync.cookie)
        self._renamed: list[tuple[bytes, str]] = []

    async def find(self, scanned: Scanned, take: Take) -> None:
        """Find what was missed; call *take* with each entry.

        Raises:
            ldap.LDAPError: the connection is lost, or the server is silent.
        """
        if not self._before.changes:
            return
        now = await lookup.known_changes(self._connection, self._suffix, self._check)
        if now.changes == self._before.changes:
            return
        if self._connection.url.scope == ldap.SCOPE_SUBTREE:
            changed = await self._ask(lookup.changed_containers, self._connection, self._before)
            for container in self._moved(changed):
                await self._look_below(container, take)
        existing: list[bytes] = []
        for portion in _portions(
            each.uuid for each in scanned.unnamed if not dn.is_reference(each.key)
        ):
            existing += await self._ask(lookup.existing, self._connection, portion)
        self._sync.still_there(existing)
        for portion in _portions(existing):
            await self._take(portion, take)

    async def _ask(self, question: Callable[..., Any], *arguments: object) -> Any:
        self._check()
        return await ask(BlockingCall(question, *arguments))

    def _key(self, name: str) -> bytes:
        try:
            return self._view.key(name)
        except ValueError:
            raise ProtocolError(
                f"the server found an entry whose DN is not a DN: {name!r}"
            ) from None

    def _moved(self, changed: Iterable[Container]) -> list[Container]:
        """Return the containers that the store does not have, or not there; note the latter."""
        moved = []
        for container in sorted(changed, key=lambda each: self._key(each.dn)):
            key, stored = self._key(container.dn), self._view.get(container.uuid)
            if stored is None or stored.key != key:
                moved.append(container)
            if stored is not None and dn.is_live(stored.key):
                self._renamed.append((key, stored.dn))
        return moved

    async def _look_below(self, container: Container, take: Take) -> None:
        listing = Listing(self._connection, container)
        while portion := await self._ask(listing.portion):
            unknown = [each for each in portion if self._view.get(each) is None]
            if unknown:
                await self._take(unknown, take)

    async def _take(self, uuids: Collection[bytes], take: Take) -> None:
        found: list[Found] = await self._ask(lookup.entries, self._connection, uuids, self._before)
        for entry, changed in sorted(found, key=lambda each: self._key(each.entry.dn)):
            if not changed or self._view.get(entry.uuid) is None:
                await take(self._as_stored(entry))

    def _as_stored(self, entry: Entry) -> Entry:
        """Return *entry* with the DN that it has below the container as that is stored."""
        key = self._key(entry.dn)
        above = [each for each in self._renamed if key.startswith(each[0]) and key != each[0]]
        if not above:
            return entry
        container, stored = max(above, key=lambda each: len(each[0]))
        return entry._replace(dn=dn.rebase(entry.dn, key[len(container) :], stored))


def _portions(uuids: Iterable[bytes]) -> Iterator[list[bytes]]:
    uuids = iter(uuids)
    while portion := list(islice(uuids, lookup.PORTION)):
        yield portion
