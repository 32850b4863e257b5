# SPDX-License-Identifier: BSD-3-Clause
"""The interface of data stores, and what their implementations share.

A store keeps, for one search, the entries by UUID, and their origin: the cookie, the server that
made it, and the URL without its password.  Changes and the cookie that covers them are committed
together or not at all.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from ..entries import dn
from ..entries.attributes import Attributes
from ..exceptions import (
    ConfigurationError,
    StoreError,
    StoreInvalid,
    StorePathError,
    StoreVersionError,
    UsageError,
)
from ..protocol.view import Record, SeenUUIDs
from ..waiting.coroutines import Ask
from .items import Items

if TYPE_CHECKING:  # not every store needs them, and import takes its time
    from ..changelog.log import Log
    from ..changelog.states import Entries
    from ..changelog.tables import Tables
    from .holder import Holder

FORMAT_VERSION = 5
"""Format 1 lacks the origin's identity, epoch and reconciled.  Format 3 has entries in both forms
of :func:`.attributes.encode`; formats 1 and 2 have only the one with lengths.  Format 4
adds known and tally to the origin.  Format 5 adds namesakes, and its keys fold less."""

KEYS_VERSION = 5
"""Entries of older formats need new keys before they can be found by key."""


class Origin(NamedTuple):
    """Where the entries of a store come from.

    Attributes:
        cookie: the committed cookie; None before the first refresh is done.
        dialect: name of the dialect of the server that made the cookie.
        url: the search's LDAP URL, without its password.
        identity: the client's authorization identity when the cookie was made.
        epoch: when that server was started, where its dialect needs that.
        reconciled: when the last refresh without a cookie was done, in seconds of Unix time.
        known: which changes the entries hold, as :mod:`~syncrepl_client.protocol.knowledge`
            writes it; it outlives the cookie.
        tally: of a refresh that is not done yet, as :mod:`~syncrepl_client.protocol.guard` has it.
    """

    cookie: Optional[bytes] = None
    dialect: Optional[str] = None
    url: Optional[str] = None
    identity: Optional[str] = None
    epoch: Optional[str] = None
    reconciled: Optional[float] = None
    known: Optional[str] = None
    tally: Optional[str] = None


def never() -> bool:
    """Return False: no stop was requested."""
    return False


def nobody() -> Optional[Ask]:
    """Return None: the store waits in its thread."""
    return None


class Store(ABC):
    """An open data store.

    Opening one reads no entries, unless its format is older, and creates nothing: a store that
    does not exist yet is created by :meth:`create`.  Reading and writing before that is an error.
    """

    seen: SeenUUIDs
    """The marks of a refresh; never committed."""

    namesakes: Collection[bytes] = frozenset()
    """Keys of the names that the server distinguishes by their spelling alone."""

    qualifier = ""
    """What comes before the names of the store's tables in SQL: a PostgreSQL schema, and a dot."""

    in_callback = False
    """Whether a callback is running, which may use the store and its database."""

    stopping: Callable[[], bool] = staticmethod(never)
    """Returns True once a stop was requested, which ends a wait for a database."""

    waits = False
    """Whether it waits for a server, and so makes requests of its :attr:`asker`."""

    asker: Callable[[], Optional[Ask]] = staticmethod(nobody)
    """Returns what waits in the store's place, where the calling code allows that; or None."""

    # --- whose it is

    @property
    def lease(self) -> Optional[float]:
        """After how many seconds of silence another client may take it; None: it is not shared."""
        return None

    @property
    def held(self) -> bool:
        """Whether this client has it, and may write."""
        return True

    @property
    def holder(self) -> "Optional[Holder]":
        """This client, if it has a store that can be shared; None otherwise."""
        return None

    @property
    def next_keep(self) -> Optional[float]:
        """When :meth:`keep` is due, by ``time.monotonic()``; None: never."""
        return None

    @property
    def lost(self) -> bool:
        """Whether the connection to its database was lost."""
        return False

    @property
    def overdue(self) -> Optional[float]:
        """For how many seconds nothing was executed, if that ended the transaction; or None."""
        return None

    def share(self, lease: float) -> None:
        """Share the store with other clients: one has it, and the others wait for it.

        Args:
            lease: after how many seconds of silence another client may take it over.

        Raises:
            ConfigurationError: this kind of store can't be shared.
        """
        raise ConfigurationError(unshared(type(self).__name__))

    def take(self) -> bool:
        """Try to get the store, over a new connection if that was lost; return whether it is held.

        Raises:
            StoreLocked: another client has it, and it is not shared.
            StoreError: there is no connection.
        """
        return True

    def keep(self) -> None:  # noqa: B027 - nothing will do
        """Let the database know that this client is alive, if that is due.

        Raises:
            StoreLost: the connection was lost.
        """

    def release(self) -> None:  # noqa: B027 - nothing will do
        """Let another client have the store; it can still be read, and be taken again."""

    def drop(self) -> None:  # noqa: B027 - nothing will do
        """Close a connection that is not usable any more, without an error."""

    @property
    @abstractmethod
    def exists(self) -> bool:
        """Whether the store exists, so that it can be read."""

    @abstractmethod
    def create(self) -> None:
        """Create the store if it does not exist."""

    @abstractmethod
    def close(self) -> None:
        """Roll back, unlock and close; a second call does nothing."""

    @property
    def connection(self) -> Any:
        """The database connection in whose open transaction callbacks run.

        Its class depends on that of the store.

        Raises:
            StoreError: this kind of store is not a database, or is not open.
        """
        raise StoreError(f"a {type(self).__name__} has no database connection")

    @property
    def log(self) -> "Optional[Tables]":
        """The tables for a log of changes; None if this kind of store can't keep one."""
        return None

    @property
    def has_log(self) -> bool:
        """Whether there is a log of changes."""
        return self.log is not None and self.log.exist

    @property
    def changelog(self) -> "Log":
        """The log of changes.

        Raises:
            ConfigurationError: this kind of store can't keep one.
            UsageError: the store has none.
        """
        if self.log is None:
            raise ConfigurationError(
                f"a {type(self).__name__} can't keep a log of changes: use SQLite or PostgreSQL"
            )
        return log_of(self.log, self)

    # --- reading

    @property
    @abstractmethod
    def origin(self) -> Origin:
        """The origin of the entries, as last committed."""

    @property
    def trusted(self) -> bool:
        """Whether the entries are those of the cookie; if not, a refresh must start over."""
        return True

    def key(self, name: str) -> bytes:
        """Return the key of the DN *name* in this store.

        Raises:
            ValueError: *name* is not a valid DN.
        """
        return dn.key_among(name, self.namesakes)

    @abstractmethod
    def get(self, uuid: bytes) -> Optional[Record]:
        """Return the entry with that UUID; None if there is none."""

    @abstractmethod
    def at(self, key: bytes) -> Optional[Record]:
        """Return the entry with that key; None if there is none."""

    @abstractmethod
    def below(self, key: bytes, *, reverse: bool = False) -> Iterator[Record]:
        """Yield the entries whose keys start with *key*, except *key* itself, in order of key."""

    def prefetch(self, places: Mapping[bytes, bytes]) -> None:  # noqa: B027 - nothing will do
        """Prepare for calls of :meth:`get` and :meth:`at` with these UUIDs and keys (keys by UUID).

        A store may read the entries at once.  Changes made meanwhile must be visible nevertheless.
        """

    @abstractmethod
    def has_displaced(self) -> bool:
        """Return True if there is a displaced entry."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of live entries."""

    def count(self) -> int:
        """Return the number of live entries as last committed; from any thread."""
        return len(self)

    @abstractmethod
    def live(self) -> Iterator[Record]:
        """Yield the live entries, in order of key."""

    def items(self) -> Mapping[str, Attributes]:
        """Return a read-only mapping of DNs to attributes over the live entries.

        It reads lazily.  A DN is found in every spelling that has the same :meth:`key`.
        """
        return Items(self)

    # --- writing

    @property
    @abstractmethod
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""

    @abstractmethod
    def begin(self) -> None:
        """Open a transaction."""

    @abstractmethod
    def commit(self, origin: Optional[Origin] = None) -> None:
        """Commit what was written since :meth:`begin`, and *origin* with it."""

    @abstractmethod
    def rollback(self) -> None:
        """Discard what was written since :meth:`begin`; without a transaction, do nothing."""

    @abstractmethod
    def savepoint(self) -> AbstractContextManager[None]:
        """Return a context manager that undoes what was written inside it if it raises.

        That includes the marks in :attr:`seen`, and for SQLite what other code wrote on
        :attr:`connection`.  The exception propagates; the transaction stays open, with what was
        written before.  Savepoints may be nested.

        Raises:
            StoreError: no transaction is open, or it was ended inside.
        """

    @abstractmethod
    def put(self, record: Record) -> None:
        """Write an entry, in the open transaction."""

    @abstractmethod
    def remove(self, uuid: bytes) -> None:
        """Remove an entry, in the open transaction."""

    @abstractmethod
    def tell_apart(self, name: bytes) -> None:
        """Add the key *name* to the :attr:`namesakes`, in the open transaction."""


# --- what stores share


def unshared(kind: str) -> str:
    """Return why a store of that kind can't be shared."""
    return f"{kind} can't be shared by several clients: standby and lease are for PostgreSQL"


def pack_names(names: Iterable[bytes]) -> bytes:
    """Return :attr:`Store.namesakes` in the form in which they are stored."""
    return b"\0".join(sorted(names))


def unpack_names(packed: Optional[bytes]) -> frozenset[bytes]:
    """Return the keys in *packed*: each ends with NUL, and has no empty part."""
    return frozenset(name + b"\0" for name in packed[:-1].split(b"\0\0")) if packed else frozenset()


def with_new_key(record: Record) -> Record:
    """Return *record*, from a store of an older format, with its key in the current format."""
    if dn.is_reference(record.key):
        return record
    try:
        key = dn.key(record.dn)
    except ValueError:
        return record
    if dn.is_displaced(record.key):
        levels = dn.relative_to_owner(record.key).count(b"\0")
        relative = b"".join(level + b"\0" for level in key.split(b"\0")[:-1][-levels:])
        key = dn.displaced(record.key[1:17], relative, record.uuid)
    return record._replace(key=key)


def log_of(tables: "Tables", entries: "Entries") -> "Log":
    """Return the log of changes in *tables*, which belong to *entries*.

    Raises:
        UsageError: there is none.
    """
    from ..changelog.log import Log

    if not tables.exist:
        raise UsageError(
            "the data store has no log of changes: run its client with changelog=Changelog()"
        )
    return Log(tables, entries)


# --- what stores in files share


def check_path(path: str) -> None:
    """Check that a store can be created at *path*.

    Raises:
        StorePathError: its directory does not exist, or is not writable.
    """
    directory = os.path.dirname(path) or "."
    if not os.path.isdir(directory):
        raise StorePathError(
            f"there is no directory {directory!r} for the data store: make it, or change data_path"
        )
    if not os.path.exists(path) and not os.access(directory, os.W_OK | os.X_OK):
        raise StorePathError(f"the directory {directory!r} of the data store can't be written")


def check_version(version: Any, path: str) -> int:
    """Return *version*, the format of a store, if this library can read it.

    Raises:
        StoreInvalid: it is not a version.
        StoreVersionError: it is newer than this library.
    """
    if not isinstance(version, int) or version < 1:
        raise StoreInvalid(f"the data store {path!r} has no format version: it is damaged")
    if version > FORMAT_VERSION:
        raise StoreVersionError(
            f"the data store {path!r} has format {version}, this version of syncrepl_client reads "
            f"formats up to {FORMAT_VERSION}: upgrade syncrepl_client; the file was left as it is"
        )
    return version
