# SPDX-License-Identifier: BSD-3-Clause
"""Data stores: SQLite (the default), shelve/dbm, memory."""

import importlib
import os
from typing import TYPE_CHECKING, Any, Union

from ..exceptions import ConfigurationError, StorePathError
from .base import Origin, Store

if TYPE_CHECKING:
    from ..changelog.sinks import SinkState
    from .memory import MemoryStore
    from .shelve.store import ShelfStore
    from .sqlite.reading import StoreReader
    from .sqlite.sharing import SharedLog
    from .sqlite.store import SQLiteStore

_LATER = {
    "MemoryStore": ".memory",
    "SQLiteStore": ".sqlite.store",
    "SharedLog": ".sqlite.sharing",
    "ShelfStore": ".shelve.store",
    "StoreReader": ".sqlite.reading",
}
"""A program uses one kind of store: it, and the database that it needs, is imported on demand."""

__all__ = [
    "MemoryStore",
    "Origin",
    "SQLiteStore",
    "SharedLog",
    "ShelfStore",
    "Store",
    "StoreReader",
    "open_changelog",
    "open_store",
    "read_store",
    "sinks_of",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


DataPath = Union[str, "os.PathLike[str]"]
"""The directory of a store's files, or the prefix of their names."""


def prefix(data_path: DataPath) -> str:
    """Return the prefix of the file names of the store at *data_path*.

    Raises:
        ConfigurationError: it is not a path.
    """
    if not isinstance(data_path, (str, os.PathLike)):
        raise ConfigurationError(f"data_path is a str or a path, not {data_path!r}")
    path = os.fspath(data_path)
    return os.path.join(path, "") if os.path.isdir(path) else path


def file_name(data_path: DataPath) -> str:
    """Return the file name of the SQLite store at *data_path*."""
    return f"{prefix(data_path)}syncrepl.sqlite3"


def read_store(data_path: DataPath) -> "StoreReader":
    """Open the SQLite store at *data_path* for reading.

    It may be in use by a client; nothing is created or changed.

    Raises:
        StoreError: there is none, or it can't be read.
    """
    from .sqlite.reading import StoreReader

    path = _looked_for(data_path)
    return StoreReader(path)


def sinks_of(data_path: DataPath) -> "list[SinkState]":
    """Return the sinks of the SQLite store at *data_path*; none if there is no store, or no log.

    Raises:
        StoreError: the store can't be read.
    """
    if not os.path.lexists(file_name(data_path)):
        return []
    with read_store(data_path) as reader:
        return reader.sinks


def open_changelog(data_path: DataPath, *, patience: float = 60.0) -> "SharedLog":
    """Open the log of changes of an SQLite store that may be open elsewhere.

    Use it in other threads and processes than the client's.

    Args:
        data_path: the *data_path* of the client.
        patience: the maximum number of seconds to wait, when a sink is written, for the end of the
            client's transaction.

    Raises:
        StoreError: there is no store, or it can't be read.
        UsageError: it has no log.
    """
    from .sqlite.sharing import SharedLog

    return SharedLog(_looked_for(data_path), patience)


def _looked_for(data_path: DataPath) -> str:
    path = file_name(data_path)
    if not os.path.lexists(path) and os.path.exists(f"{prefix(data_path)}syncrepl.shelve.lock"):
        raise StorePathError(
            f"there is a shelve store at {data_path!r}: only SQLite stores can be looked into"
        )
    return path


def open_store(kind: Union[str, Store], data_path: DataPath) -> Store:
    """Open a store.

    Args:
        kind: ``"sqlite"``, ``"shelve"``, ``"memory"``, or an open store, which is returned.
        data_path: a directory, or the prefix of file names; not used for a store in memory.

    Raises:
        ConfigurationError: there is no such kind, or *data_path* is not a path.
        StoreError: the store can't be opened; nothing was created or changed.
    """
    if isinstance(kind, Store):
        return kind
    if kind == "sqlite":
        from .sqlite.store import SQLiteStore

        return SQLiteStore(file_name(data_path))
    if kind == "memory":
        from .memory import MemoryStore

        return MemoryStore()
    if kind == "shelve":
        from .shelve.store import ShelfStore

        return ShelfStore(f"{prefix(data_path)}syncrepl.shelve")
    raise ConfigurationError(f"store is 'sqlite', 'shelve', 'memory' or a Store, not {kind!r}")
