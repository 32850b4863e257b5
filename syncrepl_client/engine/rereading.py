# SPDX-License-Identifier: BSD-3-Clause
"""Entries of the persist stage, read again before they are delivered (389-ds).

389-ds applies no access control in its persist stage: it sends whole entries, also those that the
user may not see.  So each entry is read again with an ordinary search of the same user, with the
same filter and attributes.  The reads of a group of messages are sent together.

A read may find nothing because the entry was renamed or deleted after the message was sent.  So
the entry is searched for by its nsUniqueId.  If that finds nothing, a later message may say why,
and the group is held until that has come.  If none comes, the user may not see the entry any more,
or an entry above it was renamed: a search without a cookie shows which.
A read that finds nothing never deletes an entry.

A new entry that is not found is mostly one that the user may not see.  The result says no more:
389-ds answers a search for an entry that does not exist with success, as it does for a hidden one.
So such entries are remembered, in case one above them is found by another name.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional, Union

import ldap
from ldap.controls import RequestControl

from ..entries import dn
from ..entries.attributes import Attributes
from ..modes import SyncreplMode
from ..network import transport
from ..network.connection import Connection
from ..protocol import uniqueid, wire
from ..protocol.extent import UNSEEN, Extent
from ..protocol.facts import NotTaken, StartOver
from ..protocol.messages import Entry, IdSet, Message, NewCookie, State
from ..protocol.view import View

GROUP_MESSAGES = 64
"""The maximum number of messages whose entries are read together."""
MOST_HELD = 10_000
"""The maximum number of messages that are held while a later message is expected ..."""
HOLD_SECONDS = 0.5
"""... and the maximum time."""
MOST_REMEMBERED = 10_000
"""The maximum number of entries that are remembered because they were not found."""

_NOT_SHOWN = (ldap.NO_SUCH_OBJECT, ldap.INSUFFICIENT_ACCESS, ldap.REFERRAL)

Outcome = Union[Message, NotTaken, StartOver]


class _Read:
    """A read of one entry; *attrs* stays None if the entry is not found."""

    __slots__ = ("attrs", "dn", "key", "sought", "uuid")

    def __init__(self, uuid: bytes, name: str, key: bytes) -> None:
        self.uuid = uuid
        self.dn = name
        self.key = key
        self.sought = False
        self.attrs: Optional[Attributes] = None


class _Asked(NamedTuple):
    """A read that was sent, and is not answered yet."""

    number: int
    read: _Read
    by_control: bool


class _Told(NamedTuple):
    """A message, and the read of its entry; None if nothing has to be read."""

    message: Message
    read: Optional[_Read] = None


class Rereading:
    """Messages of the persist stage whose entries are being read again.

    Attributes:
        progress: a counter of messages and answers.
    """

    def __init__(self, connection: Connection, view: View, extent: Extent) -> None:
        """Initialize without messages.

        Args:
            connection: the connection of the search; the reads are sent on it too.
            view: of the store.
            extent: which entries the search can find; others are not read.
        """
        self.progress = 0
        self._connection = connection
        self._view = view
        self._extent = extent
        url = connection.url
        names = url.attributes or ("*",)
        self._strips = uniqueid.NAME.lower() not in map(str.lower, names) and "+" not in names
        self._names = (*names, uniqueid.NAME) if self._strips else names
        self._controls: Sequence[RequestControl] = ()
        self._missed: dict[bytes, bytes] = {}  # UUIDs and keys, the oldest first
        self._begin()

    def _begin(self) -> None:
        self._told: list[_Told] = []
        self._unread = 0
        self._pending: deque[_Asked] = deque()
        self._parents: dict[bytes, _Read] = {}
        self._most = GROUP_MESSAGES
        self._answer_by = 0.0
        self._held_until: Optional[float] = None

    # --- for the search

    @property
    def busy(self) -> bool:
        """Whether there are messages without an outcome."""
        return bool(self._told)

    @property
    def until(self) -> Optional[float]:
        """When to call :meth:`outcome` again even if nothing arrives, by ``time.monotonic()``."""
        return self._answer_by if self._pending else self._held_until

    @property
    def has_room(self) -> bool:
        """Whether the next message may be added now."""
        return not self._pending and len(self._told) < self._most

    def add(self, message: Message) -> None:
        """Add a message."""
        self.progress += 1
        self._told.append(_Told(message, self._reading(message)))

    def outcome(self) -> Optional[list[Outcome]]:
        """Return what to apply for the messages that were added; None if that is not known yet.

        Raises:
            ProtocolError: an answer is malformed.
            ldap.LDAPError: the connection is lost, there was no answer in time, or it was an error.
        """
        self._send_reads()
        if not self._collect():
            return None
        self._seek()
        if not self._collect():
            return None
        self._send_parents()
        if not self._collect():
            return None
        if self._waits():
            return None
        if self._unseen_moved():
            found: list[Outcome] = [StartOver("an entry was renamed while one below it changed")]
        else:
            found = list(self._judged())[::-1]
        self._begin()
        return found

    def abandon(self) -> None:
        """Abandon the reads, and drop the messages."""
        for asked in self._pending:
            self._connection.ldap.abandon(asked.number)
        self._begin()

    # --- reading

    def _reading(self, message: Message) -> Optional[_Read]:
        if not isinstance(message, Entry) or message.state is State.DELETE:
            return None
        key = _key(message.dn)
        if key is None or self._extent.excludes(message.attrs, key) is not None:
            return None
        return _Read(message.uuid, message.dn, key)

    def _send_reads(self) -> None:
        """Send the reads of the messages added since the last call, one for each UUID and DN.

        Not earlier: a message that came after its read was sent may be newer than the answer.
        """
        if self._pending or self._unread == len(self._told):
            return
        fresh: dict[tuple[bytes, str], _Read] = {}
        for number in range(self._unread, len(self._told)):
            message, read = self._told[number]
            if read is not None:
                read = fresh.setdefault((read.uuid, read.dn), read)
                self._told[number] = _Told(message, read)
        self._unread = len(self._told)
        self._parents = {}
        for read in fresh.values():
            self._send(read)

    def _seek(self) -> None:
        """Search for what was not found at its DN by its nsUniqueId.

        It, or what is above it, was renamed meanwhile; or searches show it with an old DN, and find
        it by no other (see :mod:`.misnaming`).
        """
        url = self._connection.url
        for read in self._unexplained():
            if not read.sought:
                read.sought = True
                self._ask(read, url.base, url.scope, f"(&{uniqueid.equals(read.uuid)}{url.filter})")

    def _send(self, read: _Read) -> None:
        self._ask(read, read.dn, ldap.SCOPE_BASE, self._connection.url.filter)

    def _ask(self, read: _Read, base: str, scope: int, filter: str) -> None:
        controls = self._controls
        number = self._connection.send(base, scope, filter, self._names, controls)
        self._pending.append(_Asked(number, read, bool(controls)))
        self._answer_by = time.monotonic() + transport.ANSWER_SECONDS

    def _collect(self) -> bool:
        """Receive the answers that have arrived; return True if none is missing.

        They are received in the order of the reads; libldap keeps those that come earlier.
        """
        while self._pending:
            asked = self._pending[0]
            try:
                raw = self._connection.next(asked.number)
            except _NOT_SHOWN:
                self._answered()
                continue
            except (UnicodeDecodeError, MemoryError, ldap.DECODING_ERROR) as error:
                raise transport.explained(error, self._connection.url) from error
            if raw is None:
                if time.monotonic() >= self._answer_by:
                    raise self._connection.timed_out(f"the reading of {asked.read.dn!r}")
                return False
            if raw.type == ldap.RES_SEARCH_ENTRY:
                self._found(asked, raw)
            elif raw.type == ldap.RES_SEARCH_RESULT:
                self._answered()
        return True

    def _answered(self) -> None:
        self.progress += 1
        self._pending.popleft()

    def _found(self, asked: _Asked, raw: wire.RawResult) -> None:
        """Keep the attributes, if it is the same entry: another may have its DN by now."""
        read = asked.read
        if asked.by_control:
            entry = wire.decode(raw)
            if isinstance(entry, Entry) and entry.uuid == read.uuid:
                read.attrs = self._stripped(entry.attrs)
            return
        attrs = wire.search_entry(raw).attrs
        uuid = uniqueid.of_entry(attrs)
        if uuid is None:
            # Not visible.  The control costs the server more than ten times as much.
            control = wire.sync_request(SyncreplMode.REFRESH_ONLY, None)
            self._controls = (RequestControl(wire.SYNC_REQUEST, True, control),)
            self._send(read)
        elif uuid == read.uuid:
            read.attrs = self._stripped(attrs)

    def _stripped(self, attrs: Attributes) -> Attributes:
        if not self._strips:
            return attrs
        return {name: each for name, each in attrs.items() if name.lower() != uniqueid.NAME.lower()}

    # --- the outcome

    def _later(self) -> Iterator[tuple[_Told, Optional[_Told]]]:
        """Yield each message, in reverse order, with the next one about the same entry."""
        later: dict[bytes, _Told] = {}
        for told in reversed(self._told):
            message = told.message
            yield told, later.get(message.uuid) if isinstance(message, Entry) else None
            if isinstance(message, Entry):
                later[message.uuid] = told
            elif isinstance(message, IdSet):
                later.update(dict.fromkeys(message.uuids, told))

    def _unexplained(self) -> Iterator[_Read]:
        """Yield the reads that found nothing, and that no later message explains."""
        for told, later in self._later():
            if told.read is not None and told.read.attrs is None and later is None:
                yield told.read

    def _send_parents(self) -> None:
        """Read the stored parents of entries that are neither found nor in the store.

        If the parent was renamed, the entry is below its new DN, and no message will say so.
        """
        for read in self._unexplained():
            parent = None if self._view.get(read.uuid) else self._view.at(dn.parent(read.key))
            if parent is not None and parent.key not in self._parents:
                self._parents[parent.key] = _Read(parent.uuid, parent.dn, parent.key)
                self._send(self._parents[parent.key])

    def _waits(self) -> bool:
        """Return True if a message may still come that explains why a stored entry is not found."""
        if not any(self._view.get(read.uuid) for read in self._unexplained()):
            return False
        now = time.monotonic()
        if self._held_until is None:
            self._held_until = now + HOLD_SECONDS
        self._most = len(self._told) + GROUP_MESSAGES
        return now < self._held_until and len(self._told) < MOST_HELD

    def _unseen_moved(self) -> bool:
        """Remember what is not found; return True if such an entry was renamed with one above it.

        The one above was not found by its old DN, and is found by a new one.  So what was not found
        below the old DN may be there below the new one, and no message will say so.
        """
        missed = self._missed
        for read in (told.read for told in self._told if told.read is not None):
            old, below = missed.pop(read.uuid, read.key), []
            if old != read.key:
                below = [each for each, key in missed.items() if dn.parent(key).startswith(old)]
            if read.attrs is None:
                missed[read.uuid] = read.key
                missed.update({each: read.key + missed[each][len(old) :] for each in below})
            elif below:
                return True
        while len(missed) > MOST_REMEMBERED:
            del missed[next(iter(missed))]
        return False

    def _judged(self) -> Iterator[Outcome]:
        """Yield what to apply for each message, in reverse order."""
        found: dict[bytes, Attributes] = {}
        for (message, read), later in self._later():
            if not isinstance(message, Entry) or read is None:
                if isinstance(message, Entry) and message.state is State.DELETE:
                    found.pop(message.uuid, None)
                yield message
                continue
            if read.attrs is not None:
                found[message.uuid] = read.attrs
            if message.uuid in found:  # at this DN, or at the DN of a later message
                yield message._replace(attrs=found[message.uuid])
            elif later is not None:
                yield from _cookie_alone(message)
            else:
                yield from self._unseen(message, self._parents.get(dn.parent(read.key)))

    def _unseen(self, message: Entry, parent: Optional[_Read]) -> Iterator[Outcome]:
        """Yield what to apply for an entry that is not found; its DN must not be logged."""
        old = self._view.get(message.uuid)
        if old is not None:
            yield StartOver(f"{old.dn!r} changed, and is {UNSEEN}")
        elif parent is not None and parent.attrs is None:
            yield StartOver("an entry was renamed or deleted while one below it changed")
        else:
            yield from _cookie_alone(message)
            yield NotTaken("", UNSEEN)


def _cookie_alone(message: Entry) -> Iterator[Message]:
    if message.cookie is not None:
        yield NewCookie(message.cookie)


def _key(name: str) -> Optional[bytes]:
    try:
        return dn.key(name) or None
    except ValueError:
        return None
