# SPDX-License-Identifier: BSD-3-Clause
"""What a program reads of a store that a client may have open, in another process too."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Callable, NamedTuple, Optional, Protocol

from ..changelog import snapshots
from ..changelog.log import Event, Log
from ..changelog.sinks import SinkState
from ..changelog.snapshots import Page, Records
from ..changelog.states import Entries
from ..changelog.tables import Tables
from ..entries.attributes import Attributes
from ..protocol.view import Record
from .base import Origin
from .closing import Closing
from .holder import Holder
from .items import Items


class Standby(NamedTuple):
    """A client that waits for a shared store.

    Attributes:
        name: its host and process ID, unless its connection has another application name.
        since: when it connected, in seconds of Unix time, by the database's clock.
    """

    name: str
    since: float


class StoreReader(Closing):
    """A store as it was last committed when this was opened; a context manager.

    Attributes:
        path: the file, or where the database is, without a password.
        changed: when the store was last written, in seconds of Unix time.
        in_use: whether a client has it open.
        origin: where the entries come from.
        holder: the client that has it, or had it last, if it can be shared.
        standbys: the clients that wait for it.
    """

    path: str
    changed: float
    in_use: bool
    origin: Origin
    holder: Optional[Holder] = None
    standbys: Sequence[Standby] = ()

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of live entries."""

    @abstractmethod
    def key(self, name: str) -> bytes:
        """Return the key of the DN *name* here; raise ValueError if it is not a valid DN."""

    @abstractmethod
    def get(self, uuid: bytes) -> Optional[Record]:
        """Return the entry *uuid*; None if there is none.

        Raises:
            StoreError: the store can't be read, or is damaged; likewise for the methods below.
        """

    @abstractmethod
    def at(self, key: bytes) -> Optional[Record]:
        """Return the entry with that key; None if there is none."""

    @abstractmethod
    def below(self, key: bytes) -> Iterator[Record]:
        """Yield the entries below *key*, in order of key."""

    @abstractmethod
    def live(self) -> Iterator[Record]:
        """Yield the live entries lazily, parents before children."""

    def items(self) -> Mapping[str, Attributes]:
        """Return a read-only mapping of DNs to attributes, which reads lazily."""
        return Items(self)

    @property
    @abstractmethod
    def changelog(self) -> Log:
        """The log of changes.

        Raises:
            UsageError: the store has none.
        """

    @property
    def sinks(self) -> list[SinkState]:
        """The sinks of the log of changes; none if there is no log."""
        return list(self.changelog.sinks) if self.has_log else []

    @property
    @abstractmethod
    def has_log(self) -> bool:
        """Whether the store has a log of changes."""

    @abstractmethod
    def copy(self, path: str) -> None:
        """Copy it to a new file at *path*, an SQLite store.

        Raises:
            StoreError: the file exists, it can't be written, or this store can't be read.
        """


class Committed(Entries, Records, Protocol):
    """The committed entries of a store, as a log and its snapshots read them."""


class SharedLog(Log, Closing):
    """The log of changes of a store that may be open elsewhere; a context manager.

    It shows committed changes.  One thread at a time may use it.
    """

    def __init__(self, tables: Tables, entries: Committed) -> None:
        """Initialize from the tables and the entries of a store."""
        super().__init__(tables, entries)
        self._committed = entries

    def snapshot_page(self, snapshot: bytes, cursor: bytes, seq: int, limit: int) -> Page:
        """Return a part of a snapshot: the entries after *cursor*, as they were after event *seq*.

        Args:
            snapshot: the identifier of the snapshot.
            cursor: the UUID of the last entry of the part before; empty at the beginning.
            seq: the sequence number.
            limit: the maximum number of entries.

        Raises:
            StoreError: the store can't be read, or is damaged.
        """
        with self._tables.snapshot():
            return snapshots.read(self._states(), self._committed, snapshot, cursor, seq, limit)

    def snapshot_event(self, snapshot: bytes, uuid: bytes, seq: int) -> Optional[Event]:
        """Return the event of one entry in a snapshot; None if there was none after event *seq*.

        Raises:
            StoreError: the store can't be read, or is damaged.
        """
        with self._tables.snapshot():
            return snapshots.event_of(self._states(), snapshot, uuid, seq)

    @abstractmethod
    def lock(self, name: str) -> Callable[[], None]:
        """Lock the sink *name*; return what unlocks it.

        Raises:
            StoreLocked: it is locked.
            StoreError: it can't be locked.
        """
