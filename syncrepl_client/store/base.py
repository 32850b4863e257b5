# SPDX-License-Identifier: BSD-3-Clause
"""What a data store is: the one interface that all of them have, and what they share.

A store keeps, for one search, the entries by UUID, and whose answer they are: the cookie, the
server that made it, the URL without its password.  Changes and the cookie that covers them are
committed together or not at all.
"""

import os
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from contextlib import AbstractContextManager
from typing import (
    Any,
    NamedTuple,
    Optional,
)

from .. import attributes, dn
from ..exceptions import StoreError, StoreInvalid, StorePathError, StoreVersionError
from ..messages import Attributes
from ..view import Named, Record

FORMAT_VERSION = 3
"""Format 1 lacks the origin's identity, epoch and time of reconciling.  Format 3 has entries in
both forms of :func:`.attributes.encode`; formats 1 and 2 know only the one with lengths."""


class Origin(NamedTuple):
    """Whose answer the store holds.

    Attributes:
        cookie: the committed cookie; None before the first refresh is done.
        dialect: name of the dialect of the server that made the cookie.
        url: the search's LDAP URL, without its password.
        identity: who the server said the client was bound as, when the cookie was made.
        epoch: which run of the server made the cookie, where its dialect needs that.
        reconciled: when the last refresh without a cookie was done, in seconds of Unix time.
    """

    cookie: Optional[bytes] = None
    dialect: Optional[str] = None
    url: Optional[str] = None
    identity: Optional[str] = None
    epoch: Optional[str] = None
    reconciled: Optional[float] = None


class Store(ABC):
    """An open data store.

    Opening one reads no entries and creates nothing: what does not exist yet is made by
    :meth:`create`.  Reading and writing before that is an error.
    """

    named: Named
    """The scratch pad of a refresh; never committed."""

    lent = False
    """Whether a callback is at work, which may use the store, and its database."""

    @property
    @abstractmethod
    def exists(self) -> bool:
        """Whether there is something to read."""

    @abstractmethod
    def create(self) -> None:
        """Make the store where it does not exist; nothing happens where it does."""

    @abstractmethod
    def close(self) -> None:
        """Roll back, unlock and close; a second call does nothing."""

    @property
    def connection(self) -> sqlite3.Connection:
        """The database connection whose open transaction callbacks run in.

        Raises:
            StoreError: this kind of store is no database, or is not open.
        """
        raise StoreError(f"a {type(self).__name__} has no database connection")

    # what it holds

    @property
    @abstractmethod
    def origin(self) -> Origin:
        """Whose answer this is."""

    @property
    def trusted(self) -> bool:
        """Whether the entries are those of the cookie; if not, a refresh must start over."""
        return True

    @abstractmethod
    def get(self, uuid: bytes) -> Optional[Record]:
        """Return the entry *uuid*."""

    @abstractmethod
    def at(self, key: bytes) -> Optional[Record]:
        """Return the entry with that key."""

    @abstractmethod
    def below(self, key: bytes, *, reverse: bool = False) -> Iterator[Record]:
        """Yield the entries whose key begins with *key*, itself excluded, in order of key."""

    def expect(self, places: Mapping[bytes, bytes]) -> None:  # noqa: B027 - nothing will do
        """Hear which entries :meth:`get` and :meth:`at` are asked for next: keys by UUID.

        A store may read them at once.  What changes meanwhile it must heed as ever.
        """

    @abstractmethod
    def has_displaced(self) -> bool:
        """Say whether any entry is displaced."""

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
        """Return a read-only mapping of DN to attributes over the live entries.

        It reads as it goes.  A DN is found in whatever way it is written.
        """
        return Items(self)

    # changing it

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
        """Forget what was written since :meth:`begin`; without a transaction, do nothing."""

    @abstractmethod
    def savepoint(self) -> AbstractContextManager[None]:
        """Return a context manager that undoes what was written inside it, if it raises.

        That is what the store wrote, what :attr:`named` noted, and for SQLite what other code
        wrote on :attr:`connection`.  The exception goes on; the transaction stays open, with
        what it had before.  Savepoints may be nested.

        Raises:
            StoreError: no transaction is open, or somebody ended it inside.
        """

    @abstractmethod
    def put(self, record: Record) -> None:
        """Write an entry, in the open transaction."""

    @abstractmethod
    def remove(self, uuid: bytes) -> None:
        """Remove an entry, in the open transaction."""


class Items(Mapping[str, Attributes]):
    """The live entries of a store by DN."""

    def __init__(self, store: Store) -> None:
        """Show *store*."""
        self._store = store

    def __getitem__(self, name: str) -> Attributes:
        try:
            key = dn.key(name)
        except (ValueError, TypeError, AttributeError):
            raise KeyError(name) from None
        record = self._store.at(key)
        if record is None:
            raise KeyError(name)
        return attributes.decode(record.attrs)

    def __iter__(self) -> Iterator[str]:
        return (record.dn for record in self._store.live())

    def __len__(self) -> int:
        return len(self._store)

    def items(self) -> ItemsView[str, Attributes]:
        """Return a view of the (DN, attributes) pairs that reads each entry once."""
        return _Pairs(self)

    def values(self) -> ValuesView[Attributes]:
        """Return a view of the attributes that reads each entry once."""
        return _Values(self)

    def pairs(self) -> Iterator[tuple[str, Attributes]]:
        """Yield DN and attributes of each entry, parents before children."""
        decode = attributes.decode
        return ((record.dn, decode(record.attrs)) for record in self._store.live())

    def __repr__(self) -> str:
        return f"<{len(self)} entries>"


class _Pairs(ItemsView[str, Attributes]):
    _mapping: Items

    def __iter__(self) -> Iterator[tuple[str, Attributes]]:
        return self._mapping.pairs()


class _Values(ValuesView[Attributes]):
    _mapping: Items

    def __iter__(self) -> Iterator[Attributes]:
        return (attrs for _, attrs in self._mapping.pairs())

    def __contains__(self, value: object) -> bool:
        return any(value == attrs for attrs in self)


# --- what stores in files share


def check_path(path: str) -> None:
    """See that a store can be made at *path*.

    Raises:
        StorePathError: there is no such directory, or it can't be written.
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
        StoreInvalid: there is none.
        StoreVersionError: it is newer.
    """
    if not isinstance(version, int) or version < 1:
        raise StoreInvalid(f"the data store {path!r} has no format version: it is damaged")
    if version > FORMAT_VERSION:
        raise StoreVersionError(
            f"the data store {path!r} has format {version}, this version of syncrepl_client reads "
            f"formats up to {FORMAT_VERSION}: upgrade syncrepl_client; the file was left as it is"
        )
    return version
