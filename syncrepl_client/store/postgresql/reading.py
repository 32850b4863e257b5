# SPDX-License-Identifier: BSD-3-Clause
"""Reads a PostgreSQL store, also while a client has it open; nothing is created or changed."""

import os
from collections.abc import Iterator
from contextlib import closing
from typing import Optional

from ...changelog.log import Log
from ...entries import dn
from ...exceptions import StoreError, StorePathError
from ...protocol.view import Record
from ..base import Origin, log_of, unpack_names
from ..location import PostgreSQL
from ..reading import Standby, StoreReader
from . import leases, schema
from .database import Database
from .entries import PostgreSQLEntries
from .locks import lockers
from .log import PostgreSQLLog
from .tenancy import CLIENTS, STORE


class CommittedEntries:
    """The entries in the database of a store."""

    def __init__(self, database: Database) -> None:
        """Initialize from the database."""
        self._entries = PostgreSQLEntries(database)

    def __len__(self) -> int:
        """Return the number of live entries."""
        return self._entries.count()

    def get(self, uuid: bytes) -> Optional[Record]:
        """Return the entry *uuid*; None if there is none."""
        return next(iter(self._entries.with_uuids((uuid,))), None)

    def at(self, key: bytes) -> Optional[Record]:
        """Return the entry with that key; None if there is none."""
        return next(iter(self._entries.with_keys((key,))), None)

    def below(self, key: bytes) -> Iterator[Record]:
        """Yield the entries below *key*, in order of key."""
        return self._entries.below(key)

    def following(self, uuid: bytes, limit: int) -> list[Record]:
        """Return up to *limit* records of any kind after *uuid*, in order of UUID."""
        return self._entries.following(uuid, limit)

    def live(self) -> Iterator[Record]:
        """Yield the live entries lazily, parents before children."""
        return self._entries.live()


class PostgreSQLReader(CommittedEntries, StoreReader):
    """The store as it was last committed when this was opened.

    While it is open, PostgreSQL keeps old versions of rows for it.

    Attributes:
        path: where the store is, without a password.
        changed: when the store was last written, in seconds of Unix time.
        in_use: whether a client has it now.
        origin: where the entries come from.
        holder: the client that has it, or had it last.
        standbys: the clients that wait for it.
    """

    def __init__(self, place: PostgreSQL) -> None:
        """Open the store at *place*.

        Raises:
            StorePathError: there is none.
            StoreInvalid, StoreVersionError: it is not a store of this version.
            StoreError: there is no connection.
        """
        self.path = str(place)
        self._database = Database(place)
        super().__init__(self._database)
        try:
            self._database.open()
            self._database.begin("REPEATABLE READ READ ONLY")
            require_store(self._database)
            active = {each.pid for each in lockers(self._database, STORE)}
            self.in_use = bool(active)
            self.standbys = [
                Standby(leases.client_name(each.name), each.since)
                for each in lockers(self._database, CLIENTS)
                if each.pid not in active
            ]
            self.origin: Origin = schema.read_origin(self._database)
            self.holder = schema.read_holder(self._database)
            sql = f"SELECT changed, namesakes FROM {self._database.qualifier}syncrepl_origin"
            self.changed, namesakes = self._database.row(sql) or (0.0, None)
            self._namesakes = unpack_names(namesakes)
        except BaseException:
            self.close()
            raise

    def key(self, name: str) -> bytes:
        """Return the key of the DN *name* here; raise ValueError if it is not a valid DN."""
        return dn.key_among(name, self._namesakes)

    @property
    def changelog(self) -> Log:
        """The log of changes.

        Raises:
            UsageError: the store has none.
        """
        return log_of(PostgreSQLLog(self._database), self)

    @property
    def has_log(self) -> bool:
        return PostgreSQLLog(self._database).exist

    def copy(self, path: str) -> None:
        """Copy origin and entries to a new SQLite store at *path*.

        Raises:
            StoreError: the file exists, it can't be written, or this store can't be read.
        """
        from ..sqlite.store import SQLiteStore

        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StoreError(f"{self.path} can't be copied to {path!r}: {error}") from error
        with closing(SQLiteStore(path)) as copy:
            copy.begin()
            for name in self._namesakes:
                copy.tell_apart(name)
            for record in self._entries.all():
                copy.put(record)
            copy.commit(self.origin)

    def close(self) -> None:
        """Close it; a second call does nothing."""
        self._database.close()


def require_store(database: Database) -> None:
    """Check that there is a store of this version.

    Raises:
        StorePathError: there is none.
        StoreInvalid, StoreVersionError: there is something else.
    """
    found = schema.look(database)
    if not schema.store_exists(database, found):
        raise StorePathError(f"there is no data store at {database.place}")
    schema.check_database(database, found)
