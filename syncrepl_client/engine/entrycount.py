# SPDX-License-Identifier: BSD-3-Clause
"""Finds an online import into 389-ds by the number of entries.

``dsconf backend import`` replaces all entries, reports nothing to persistent searches, adds
nothing to the changelog, and leaves cookies valid.  If the LDIF has the nsUniqueIds of before, only
the number of entries shows it.  The server has it in numSubordinates, which is indexed.  It counts
entries that this user can't read too; so what must stay the same is its difference to the store's
number.  That is compared only while there is no change that the store does not have.
"""

from typing import Optional

import ldap

from ..network import server
from ..network.connection import Connection
from ..network.link import Link
from ..protocol import cookie
from ..protocol.knowledge import Knowledge
from ..store import Store
from ..url import SearchUrl
from ..waiting.coroutines import BlockingCall, ask

_NAME = "entries beside the store's"
"""In the data of :class:`.Knowledge`."""


class EntryCount:
    """The server's number of entries, compared with the store's."""

    def __init__(self, link: Link, store: Store, url: SearchUrl) -> None:
        """Initialize for a search."""
        self._link = link
        self._store = store
        self._url = url

    @property
    def _applies(self) -> bool:
        numbered = self._link.facts.dialect.numbers_changes
        return numbered and self._url.scope == ldap.SCOPE_SUBTREE and self._url.matches_all

    async def note(self, final: Optional[bytes]) -> None:
        """Take down the difference at the end of a refresh, whose cookie is *final*."""
        found = await self._difference(final)
        knows = self._link.knows
        data = {name: value for name, value in knows.data.items() if name != _NAME}
        if found is not None:
            data[_NAME] = str(found)
        self._link.knows = knows._replace(data=data)

    async def doubt(self, stored: Optional[bytes], known: Knowledge) -> Optional[str]:
        """Return why a *stored* cookie may be older than an import; None if that can't be seen.

        Args:
            stored: the cookie.
            known: what the store knows.
        """
        before = known.data.get(_NAME)
        if before is None or stored is None:
            return None
        knows = self._link.knows
        self._link.knows = knows._replace(data={**knows.data, _NAME: before})
        now = await self._difference(stored)
        if now is None or str(now) == before:
            return None
        return (
            f"without a change the server has {now} entries more than the store, and had {before} "
            "more before: there was an import"
        )

    async def _difference(self, covered: Optional[bytes]) -> Optional[int]:
        """Return by how much the server has more entries; None if unknown, or changing."""
        if not self._applies or not self._store.exists:
            return None
        connection = self._link.established
        there = await ask(BlockingCall(_count_at, connection, self._url.base, covered))
        return None if there is None else int(there) - len(self._store)


def _count_at(connection: Connection, base: str, covered: Optional[bytes]) -> Optional[int]:
    """Return how many entries there are, if *covered* is still the cookie of the last change."""
    count = server.count_entries(connection, base)
    last = server.last_change(connection)
    return count if last is not None and last == cookie.change_number(covered) else None
