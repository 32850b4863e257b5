# SPDX-License-Identifier: BSD-3-Clause
"""Entries that 389-ds names by DNs which they no longer have.

389-ds 3.1 on LMDB keeps the old DN of some entries below a container that is renamed: of those
that were added before the entry above them, and moved there.  Searches and refreshes show that DN
from then on, the persist stage one or the other; writes need the new one (seen on 3.1.2; upstream
issue 7183).

So what looks like a rename is checked: the server is asked for the entry, and for those above it in
the store.  If they are children of each other, but not by the DNs in this one answer, the entry is
where its parent is: in a refresh where the server has that by now, as the entry is sent once, and
maybe before its parent; in the persist stage where the store has it, as messages are to come which
move that.  If the DNs agree, the server names the entry well, and the message is right; by now the
entry may be elsewhere, which later messages say.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Optional

from ..entries import dn
from ..entries.printable import printable
from ..network.connection import Connection
from ..network.parentage import UNKNOWN, Place, places
from ..protocol.messages import Entry, State
from ..protocol.view import Record, View
from ..waiting.coroutines import BlockingCall, ask

logger = logging.getLogger(__name__)

_EXISTS = (State.ADD, State.MODIFY)
_MOST_KEPT = 1000


def warn(server: str, count: int, name: str, stored: str) -> None:
    """Log that the *server* misnames so many entries, for example by *name*."""
    logger.warning(
        "%s shows %d %s with an old DN, %s for example, which is %s: the store has them where they "
        "are",
        server,
        count,
        "entry" if count == 1 else "entries",
        printable(name),
        printable(stored),
        extra={"event": "misnamed"},
    )


def above(record: Record, view: View) -> Iterator[bytes]:
    """Yield the UUIDs of the stored entries above *record*, up to one that is not stored."""
    parent = view.at(dn.parent(record.key))
    while parent is not None:
        yield parent.uuid
        parent = view.at(dn.parent(parent.key))


def true_name(lineage: Sequence[bytes], places: Mapping[bytes, Place]) -> str:
    """Return the DN of the first of *lineage*; empty if it is not found.

    It has the RDNs of those that each is still below, and then the DN of the last of these.
    """
    rdns = []
    place, *others = (places.get(uuid, UNKNOWN) for uuid in lineage)
    for parent in others:
        if not place.is_below(parent):
            break
        rdns.append(dn.split(place.dn)[0])
        place = parent
    return ",".join([*rdns, place.dn])


class Misnaming:
    """Corrects the DNs in one search."""

    def __init__(self, connection: Connection, view: View) -> None:
        """Initialize without entries; *view* is that of the store."""
        self._connection = connection
        self._view = view
        self._asked: Collection[bytes] = ()
        self._places: dict[bytes, Place] = {}
        self._kept: dict[bytes, str] = {}

    async def check(self, messages: Iterable[Entry]) -> None:
        """Ask the server about the entries that seem to be renamed; *messages* come next."""
        self._asked = {uuid for message in messages for uuid in self._lineage(message)}
        self._places = await ask(BlockingCall(places, self._connection, self._asked))

    def _lineage(self, message: Entry) -> list[bytes]:
        """Return the UUIDs of the stored entry and of those above it, parents last.

        Empty if *message* has the DN of that entry, or if its parent is not stored.
        """
        old = self._view.get(message.uuid) if message.state in _EXISTS else None
        if old is None or not dn.is_live(old.key):
            return []
        try:
            if self._view.key(message.dn) == old.key:
                return []
        except ValueError:
            return []
        lineage = [message.uuid, *above(old, self._view)]
        return lineage if len(lineage) > 1 else []

    async def corrected(self, message: Entry, *, refreshing: bool) -> Entry:
        """Return *message* with the DN that its entry has; in the refresh stage if *refreshing*."""
        lineage = self._lineage(message)
        if not lineage:
            return message
        if not set(lineage).issubset(self._asked):  # a message before it moved it
            await self.check([message])
        parent = self._parent(lineage, refreshing=refreshing)
        if parent is None:
            return message
        if len(self._kept) < _MOST_KEPT:
            self._kept[message.uuid] = message.dn
        return message._replace(dn=f"{dn.split(message.dn)[0]},{parent}")

    def _parent(self, lineage: Sequence[bytes], *, refreshing: bool) -> Optional[str]:
        """Return the DN of the parent of the first of *lineage*; None if that is named well."""
        shown = self._places.get(lineage[0], UNKNOWN).dn
        name = true_name(lineage, self._places)
        if self._view.key(name) == self._view.key(shown):
            return None
        stored = None if refreshing else self._view.get(lineage[1])
        return dn.above(name) if stored is None else stored.dn

    def report(self) -> None:
        """Log, at the end of the refresh, what the server misnames: once."""
        wrong = [(uuid, name) for uuid, name in self._kept.items() if self._is_wrong(uuid, name)]
        self._kept.clear()
        if not wrong:
            return
        record = self._view.get(wrong[0][0])
        where = self._connection.url.server
        warn(where, len(wrong), wrong[0][1], "" if record is None else record.dn)

    def _is_wrong(self, uuid: bytes, name: str) -> bool:
        record = self._view.get(uuid)
        return record is not None and self._view.key(name) != record.key
