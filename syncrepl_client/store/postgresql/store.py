# SPDX-License-Identifier: BSD-3-Clause
"""A store in a PostgreSQL database: a schema of its own, and one connection.

The connection holds an advisory lock, and everything is committed on it: entries, cookie, log, and
the rows of callbacks.
"""

import hashlib
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Optional, Union

from ...entries import dn
from ...exceptions import StoreError, StoreLocked, StoreLost
from ...protocol.view import Record
from ..base import FORMAT_VERSION, Origin, pack_names, unpack_names
from ..cache import EntryCache
from ..cached import CachedStore
from ..location import PostgreSQL
from . import schema
from .database import ABORTED, Database
from .entries import PostgreSQLEntries
from .log import PostgreSQLLog
from .seen import PostgreSQLSeenUUIDs
from .session import Session

_NOW = "extract(epoch FROM clock_timestamp())"
_PATIENCE = 1.0
"""How many seconds a client that was killed may need to leave the server."""
_RETRY = 0.05


class PostgreSQLStore(CachedStore):
    """Entries and cookie in a schema of a PostgreSQL database."""

    waits = True

    def __init__(self, place: Union[PostgreSQL, str]) -> None:
        """Connect if there is a store at *place*; otherwise check that there is nothing else.

        Args:
            place: the database and the schema, or a URL.

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
        self._cache = EntryCache(self._entries)
        self._cache.few, self._cache.many, self._cache.misses = 1, 2048, 3
        self._seen = self.seen = PostgreSQLSeenUUIDs(self._entries, self._cache)
        self._log = PostgreSQLLog(self._database, lambda: self.in_callback)
        self._term = 0
        self._locked = False
        self._open(create=False)

    @property
    def place(self) -> PostgreSQL:
        """The database and the schema."""
        return self._database.place

    def _open(self, *, create: bool) -> None:
        try:
            self._database.open()
            if create or schema.store_exists(self._database, schema.look(self._database)):
                lock(self._database, "store", _PATIENCE)
                self._locked = True
                self._prepare()
            else:
                self._database.close()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        found = schema.look(self._database)
        if not schema.store_exists(self._database, found):
            with self._database.transaction():
                schema.create(self._database)
            found = schema.look(self._database)
        version = schema.check_database(self._database, found)
        if version < FORMAT_VERSION:
            schema.migrate(self._database, version)
        self._term = self._database.number(
            f"UPDATE {self._origin} SET term = term + 1 RETURNING term"
        )
        self._read_namesakes()
        self._cache.note_if_empty()

    @property
    def connection(self) -> Session:
        """The psycopg connection in whose open transaction callbacks run.

        Rows that they write there are committed with the change and the cookie, or not at all.
        Don't commit, roll back or close it.  The schema of the store is reserved for it.
        """
        return self._database.connection

    @property
    def exists(self) -> bool:
        return self._database.is_open

    def create(self) -> None:
        if not self.exists:
            self._open(create=True)

    def close(self) -> None:
        self._forget()
        self._seen.close()
        if self._locked and self._database.is_usable:
            with suppress(StoreError):  # the server unlocks it anyway, a moment later
                self._database.rollback()
                unlock(self._database, "store")
        self._locked = False
        self._database.close()

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
                self._cache.replace(portion or ())

    def has_displaced(self) -> bool:
        self._write_out()
        return self._entries.has_displaced()

    def __len__(self) -> int:
        self._write_out()
        return self._entries.count()

    def count(self) -> int:
        if not self.exists:
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

    @property
    def in_transaction(self) -> bool:
        return self._database.in_transaction

    def begin(self) -> None:
        if self.in_transaction:
            raise StoreError("a transaction is open already")
        self._seen.flush()
        self._database.begin()

    def commit(self, origin: Optional[Origin] = None) -> None:
        self._require_transaction()
        self._cache.flush()
        self._entries.settle()
        self._log.flush()
        names = ("changed", *(Origin._fields if origin is not None else ()))
        cells = schema.origin_cells(origin) if origin is not None else []
        values = ", ".join((_NOW, *"?" * len(cells)))
        sql = f"UPDATE {self._origin} SET ({', '.join(names)}) = ROW({values}) WHERE term = ?"
        if self._database.execute(sql, (*cells, self._term)).rowcount != 1:
            raise StoreLost(f"another client has taken over the data store at {self.place}")
        self._database.commit()

    def rollback(self) -> None:
        self._forget()
        if self.exists and not self._database.is_lost:
            self._database.rollback()
            self._read_namesakes()

    def _forget(self) -> None:
        """Discard what is not written yet."""
        self._cache.forget()
        self._entries.forget()
        self._log.forget()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self._require_transaction()
        self._cache.flush()
        self._entries.settle()
        self._log.flush()
        self._database.execute("SAVEPOINT syncrepl_savepoint")
        try:
            with self._seen.savepoint():
                yield
        except BaseException:
            self._forget()
            if self.in_transaction:
                self._database.execute("ROLLBACK TO SAVEPOINT syncrepl_savepoint")
                self._database.execute("RELEASE SAVEPOINT syncrepl_savepoint")
            if not self._database.is_lost:
                self._read_namesakes()
            raise
        self._require_transaction()
        self._database.execute("RELEASE SAVEPOINT syncrepl_savepoint")

    def _require_transaction(self) -> None:
        if self._database.is_aborted:
            raise StoreError(ABORTED)
        if self._database.is_lost:
            raise StoreLost(f"the connection to {self.place} was lost")
        if not self.in_transaction:
            raise StoreError(
                "no transaction is open; if a callback ended it: don't commit or roll back on "
                "client.store.connection, nor use it as a context manager"
            )

    def tell_apart(self, name: bytes) -> None:
        self._require_transaction()
        self.namesakes = {*self.namesakes, name}
        packed = pack_names(self.namesakes)
        self._database.execute(f"UPDATE {self._origin} SET namesakes = ?", (packed,))

    def _read_namesakes(self) -> None:
        row = self._database.row(f"SELECT namesakes FROM {self._origin}")
        self.namesakes = unpack_names(row[0] if row else None)


# --- locks


def lock(database: Database, what: str, patience: float = 0.0) -> None:
    """Lock something of the store until the connection of *database* ends.

    Args:
        database: an open connection.
        what: the name of the lock.
        patience: how many seconds to try.

    Raises:
        StoreLocked: another connection has locked it.
    """
    deadline = time.monotonic() + patience
    # To wait in the server would keep it from removing old versions of rows.
    sql, key = "SELECT pg_try_advisory_lock(?)::integer", _key(database, what)
    while not (locked := database.number(sql, (key,))) and time.monotonic() < deadline:
        database.pause(_RETRY)
    if not locked:
        raise StoreLocked(
            f"the data store at {database.place} is in use by another client: stop that one, or "
            "use another schema"
        )


def unlock(database: Database, what: str) -> None:
    """Undo :func:`lock`."""
    database.execute("SELECT pg_advisory_unlock(?)", (_key(database, what),))


def is_locked(database: Database, what: str) -> bool:
    """Return whether something of the store is locked."""
    sql = (
        "SELECT 1 FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
        " AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = "
        "current_database()) AND (classid::bigint << 32) | objid::bigint = ?"
    )
    return database.row(sql, (_key(database, what),)) is not None


def _key(database: Database, what: str) -> int:
    name = f"syncrepl_client {database.place.schema} {what}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
