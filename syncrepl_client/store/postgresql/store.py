# SPDX-License-Identifier: BSD-3-Clause
"""A store in a PostgreSQL database: a schema of its own, and one connection.

The connection holds an advisory lock, and everything is committed on it: entries, cookie, log, and
the rows of callbacks.
"""

from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Optional, Union

from ...entries import dn
from ...exceptions import StoreError, StoreLost
from ...protocol.view import Record
from ..base import FORMAT_VERSION, Origin, unpack_names
from ..cache import EntryCache
from ..cached import CachedStore
from ..fresh import FreshSeenUUIDs
from ..holder import Holder
from ..location import PostgreSQL
from . import schema
from .database import ABORTED, Database
from .entries import PostgreSQLEntries
from .log import PostgreSQLLog
from .seen import PostgreSQLSeenUUIDs
from .session import Session
from .tenancy import NOW, Tenancy


class PostgreSQLStore(CachedStore):
    """Entries and cookie in a schema of a PostgreSQL database."""

    _database: Database
    _seen: PostgreSQLSeenUUIDs

    waits = True

    def __init__(self, place: Union[PostgreSQL, str], *, lease: Optional[float] = None) -> None:
        """Connect if there is a store at *place*; otherwise check that there is nothing else.

        Args:
            place: the database and the schema, or a URL.
            lease: share it with other clients: one has it, and after so many seconds of silence
                another one may take it over.  None: one client at a time may open it.

        Raises:
            ConfigurationError: libpq can't read the URL.
            StoreError: there is no connection, the store is in use, or there is something else.
        """
        where = PostgreSQL(place) if isinstance(place, str) else place
        self._database = Database(where, lambda: self.asker())
        self._database.stopping = lambda: self.stopping()
        self.qualifier = self._database.qualifier
        self._origin = f"{self.qualifier}syncrepl_origin"
        self._entries = PostgreSQLEntries(self._database, lambda: self.in_callback)
        self._cache = EntryCache(self._entries, self._require_transaction)
        self._cache.few, self._cache.many, self._cache.misses = 1, 2048, 3
        self._seen = PostgreSQLSeenUUIDs(self._entries, self._cache)
        self.seen = FreshSeenUUIDs(self._seen, self.get, self._is_empty)
        self._log = PostgreSQLLog(self._database, lambda: self.in_callback)
        self._tenancy = Tenancy(self._database, lease)
        self._there = False
        self.take()

    @property
    def place(self) -> PostgreSQL:
        """The database and the schema."""
        return self._database.place

    def _prepare(self, found: schema.Found) -> None:
        """Make the store if it does not exist, migrate it, and become its holder."""
        if not schema.store_exists(self._database, found):
            with self._database.transaction():
                schema.create(self._database)
            found = schema.look(self._database)
        version = schema.check_database(self._database, found)
        if version < FORMAT_VERSION:
            schema.migrate(self._database, version)
        self._tenancy.begin()
        self._read_namesakes()
        self._cache.note_if_empty()
        self._there = True

    @property
    def connection(self) -> Session:
        """The psycopg connection in whose open transaction callbacks run.

        Rows that they write there are committed with the change and the cookie, or not at all.
        Don't commit, roll back or close it.  The schema of the store is reserved for it.
        """
        return self._database.connection

    @property
    def exists(self) -> bool:
        return self._there and self._database.is_open

    def create(self) -> None:
        if self.exists:
            return
        try:
            self._tenancy.require()
            self._prepare(schema.look(self._database))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.release()
        self._seen.close()
        self.drop()

    # --- whose it is

    @property
    def lease(self) -> Optional[float]:
        return self._tenancy.lease

    @property
    def held(self) -> bool:
        return self._tenancy.held or (self.lease is None and not self.exists)

    @property
    def holder(self) -> Optional[Holder]:
        return self._tenancy.holder

    @property
    def next_keep(self) -> Optional[float]:
        return self._tenancy.next_keep

    @property
    def lost(self) -> bool:
        return self._database.is_lost

    @property
    def overdue(self) -> Optional[float]:
        return self._tenancy.overdue

    def share(self, lease: float) -> None:
        if lease != self.lease:
            self.release()
            self.drop()
            self._tenancy = Tenancy(self._database, lease)
            self.take()

    def take(self) -> bool:
        try:
            return self._take()
        except BaseException:
            self.drop()
            raise

    def _take(self) -> bool:
        self._tenancy.connect()
        found = schema.look(self._database)
        self._there = schema.store_exists(self._database, found)
        if self.lease is None and not self._there:
            self.drop()
            return True
        if not self._tenancy.held:
            if not self._tenancy.take():
                return False
            if not self._there:  # another client may have made it just now
                found = schema.look(self._database)
            if schema.store_exists(self._database, found):
                self._prepare(found)
        return True

    def keep(self) -> None:
        self._tenancy.keep()

    def release(self) -> None:
        self._forget()
        self._tenancy.release()

    def drop(self) -> None:
        self._forget()
        self._tenancy.drop()

    # --- reading

    @property
    def origin(self) -> Origin:
        return schema.read_origin(self._database)

    def below(self, key: bytes, *, reverse: bool = False) -> Iterator[Record]:
        self._write_out()
        return self._below(self._entries.portions(key, key + dn.KEY_END, reverse=reverse))

    def _below(self, portions: Iterator[list[Record]]) -> Iterator[Record]:
        """Yield the entries of *portions*, which nearly all are changed next: cache them."""
        portion: Optional[list[Record]] = []
        while portion is not None:
            yield from portion
            if self.in_callback:
                portion = next(portions, None)
            else:
                self._cache.flush()
                portion = next(portions, None)
                self._cache.add(portion or ())

    def has_displaced(self) -> bool:
        self._write_out()
        return self._entries.has_displaced()

    def __len__(self) -> int:
        self._write_out()
        return self._entries.count()

    def count(self) -> int:
        if not self._there:
            return 0
        with closing(Database(self.place, self.asker)) as reader:
            reader.open()
            return PostgreSQLEntries(reader).count()

    def live(self) -> Iterator[Record]:
        self._write_out()
        return self._entries.live()

    # --- writing

    @property
    def log(self) -> PostgreSQLLog:
        return self._log

    def begin(self) -> None:
        if self.in_transaction:
            raise StoreError("a transaction is open already")
        self._seen.flush()
        self._database.begin()

    def commit(self, origin: Optional[Origin] = None) -> None:
        self._require_transaction()
        self._flush()
        names = ("changed", *(Origin._fields if origin is not None else ()))
        cells = schema.origin_cells(origin) if origin is not None else []
        values = ", ".join((NOW, *"?" * len(cells)))
        sql = f"UPDATE {self._origin} SET ({', '.join(names)}) = ROW({values}) WHERE term = ?"
        if self._database.execute(sql, (*cells, self._tenancy.term)).rowcount != 1:
            raise StoreLost(f"another client has taken over the data store at {self.place}")
        self._database.commit()

    def rollback(self) -> None:
        self._forget()
        if self.exists and self._database.is_usable:
            with suppress(StoreLost):  # which has rolled it back
                self._database.rollback()
                self._read_namesakes()

    def _flush(self) -> None:
        self._cache.flush()
        self._entries.settle()
        self._log.flush()

    def _forget(self) -> None:
        self._cache.forget()
        self._entries.forget()
        self._log.forget()

    def _require_transaction(self) -> None:
        if self._database.is_aborted:
            raise StoreError(ABORTED)
        if self._database.is_lost:
            raise StoreLost(f"the connection to {self.place} was lost")
        super()._require_transaction()

    def _read_namesakes(self) -> None:
        if not self._database.is_lost:
            row = self._database.row(f"SELECT namesakes FROM {self._origin}")
            self.namesakes = unpack_names(row[0] if row else None)
