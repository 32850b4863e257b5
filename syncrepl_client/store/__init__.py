# SPDX-License-Identifier: BSD-3-Clause
"""Data stores: SQLite (the default), PostgreSQL, shelve/dbm, memory."""

import importlib
import os
from typing import TYPE_CHECKING, Any, Optional, Union

from ..exceptions import ConfigurationError, StorePathError
from .base import Origin, Store, unshared
from .location import DataPath, PostgreSQL, database_of, describe, file_name, prefix

if TYPE_CHECKING:
    from ..changelog.sinks import SinkState
    from .holder import Holder
    from .memory import MemoryStore
    from .postgresql.store import PostgreSQLStore
    from .reading import SharedLog, Standby, StoreReader
    from .shelve.store import ShelfStore
    from .sqlite.store import SQLiteStore

_LATER = {
    "Holder": ".holder",
    "MemoryStore": ".memory",
    "PostgreSQLStore": ".postgresql.store",
    "SQLiteStore": ".sqlite.store",
    "SharedLog": ".reading",
    "Standby": ".reading",
    "ShelfStore": ".shelve.store",
    "StoreReader": ".reading",
}
"""A program uses one kind of store: it, and the database that it needs, is imported on demand."""

_UNSHARED = ("sqlite", "shelve", "memory")

__all__ = [
    "DataPath",
    "Holder",
    "MemoryStore",
    "Origin",
    "PostgreSQL",
    "PostgreSQLStore",
    "SQLiteStore",
    "SharedLog",
    "ShelfStore",
    "Standby",
    "Store",
    "StoreReader",
    "describe",
    "file_name",
    "open_changelog",
    "open_store",
    "prefix",
    "read_store",
    "sinks_of",
    "store_exists",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _load(name, _LATER[name])


def _load(name: str, module: str) -> Any:
    """Return *name* in *module*.

    Raises:
        ImportError: a package that it needs is missing; the message says which extra has it.
    """
    try:
        return getattr(importlib.import_module(module, __name__), name)
    except ImportError as error:
        if not (error.name or "").startswith("psycopg") and "libpq" not in str(error):
            raise
        raise ImportError(
            f"{name} needs psycopg and libpq, and one of them is not installed: "
            f"pip install 'syncrepl_client[postgresql]' ({' '.join(str(error).split())})",
            name="psycopg",
        ) from error


def store_exists(data_path: DataPath) -> bool:
    """Return whether there is an SQLite store, or a PostgreSQL store, at *data_path*.

    Raises:
        StoreError: the database can't be looked into.
    """
    if database_of(data_path) is None:
        return os.path.lexists(file_name(data_path))
    try:
        read_store(data_path).close()
    except StorePathError:
        return False
    return True


def read_store(data_path: DataPath) -> "StoreReader":
    """Open the SQLite or PostgreSQL store at *data_path* for reading.

    It may be in use by a client; nothing is created or changed.

    Raises:
        StoreError: there is none, or it can't be read.
    """
    database = database_of(data_path)
    reader: StoreReader
    if database is not None:
        reader = _load("PostgreSQLReader", ".postgresql.reading")(database)
    else:
        reader = _load("SQLiteReader", ".sqlite.reading")(_looked_for(data_path))
    return reader


def sinks_of(data_path: DataPath) -> "list[SinkState]":
    """Return the sinks of the store at *data_path*; none if there is no store, or no log.

    Raises:
        StoreError: the store can't be read.
    """
    if not store_exists(data_path):
        return []
    with read_store(data_path) as reader:
        return reader.sinks


def open_changelog(
    data_path: DataPath, *, patience: float = 60.0, lease: Optional[float] = None
) -> "SharedLog":
    """Open the log of changes of a store that may be open elsewhere.

    Use it in other threads and processes than the client's.

    Args:
        data_path: the *data_path* of the client.
        patience: the maximum number of seconds to wait, when a sink is written, for the end of
            another transaction: of the client (SQLite), or of whoever writes a sink (PostgreSQL).
        lease: after how many seconds of silence PostgreSQL ends the connection, and the lock of a
            sink with it; None: never.

    Raises:
        ConfigurationError: *lease* is for PostgreSQL.
        StoreError: there is no store, or it can't be read.
        UsageError: it has no log.
    """
    database = database_of(data_path)
    check_lease(data_path, lease)
    log: SharedLog
    if database is not None:
        log = _load("PostgreSQLSharedLog", ".postgresql.sharing")(database, patience, lease)
    else:
        log = _load("SQLiteSharedLog", ".sqlite.sharing")(_looked_for(data_path), patience)
    return log


def check_lease(data_path: DataPath, lease: Optional[float]) -> None:
    """Check that the store at *data_path* can be shared, if there is to be a lease.

    Raises:
        ConfigurationError: it can't.
    """
    if lease is not None and database_of(data_path) is None:
        raise ConfigurationError(unshared(f"the data store {describe(data_path)!r}"))


def _looked_for(data_path: DataPath) -> str:
    path = file_name(data_path)
    if not os.path.lexists(path) and os.path.exists(f"{prefix(data_path)}syncrepl.shelve.lock"):
        raise StorePathError(
            f"there is a shelve store at {data_path!r}: only SQLite stores can be looked into"
        )
    return path


def open_store(
    kind: Union[str, Store], data_path: DataPath, *, lease: Optional[float] = None
) -> Store:
    """Open a store.

    Args:
        kind: ``"sqlite"``, ``"postgresql"``, ``"shelve"``, ``"memory"``, or an open store, which is
            returned.  A PostgreSQL database as *data_path* makes it one for ``"sqlite"``, too.
        data_path: a directory, the prefix of file names, or a PostgreSQL database; not used for a
            store in memory.
        lease: share it with other clients: see :class:`.PostgreSQLStore`.

    Raises:
        ConfigurationError: there is no such kind, *data_path* is not a place for it, or this kind
            can't be shared.
        StoreError: the store can't be opened; nothing was created or changed.
    """
    if isinstance(kind, Store):
        if lease is not None:
            kind.share(lease)
        return kind
    database = database_of(data_path)
    if lease is not None and kind in _UNSHARED and (database is None or kind != "sqlite"):
        raise ConfigurationError(unshared(f"a store of the kind {kind!r}"))
    store: Store
    if kind in ("sqlite", "postgresql") and database is not None:
        store = _load("PostgreSQLStore", _LATER["PostgreSQLStore"])(database, lease=lease)
    elif kind == "sqlite":
        store = _load("SQLiteStore", _LATER["SQLiteStore"])(file_name(data_path))
    elif kind == "shelve":
        store = _load("ShelfStore", _LATER["ShelfStore"])(f"{prefix(data_path)}syncrepl.shelve")
    elif kind == "memory":
        store = _load("MemoryStore", _LATER["MemoryStore"])()
    elif kind == "postgresql":
        raise ConfigurationError("data_path is not the URL of a PostgreSQL database")
    else:
        raise ConfigurationError(
            f"store is 'sqlite', 'postgresql', 'shelve', 'memory' or a Store, not {kind!r}"
        )
    return store
