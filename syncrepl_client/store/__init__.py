# SPDX-License-Identifier: BSD-3-Clause
"""Data stores: SQLite (the default), shelve/dbm, memory."""

import importlib
import os
from typing import TYPE_CHECKING, Any, Union

from ..exceptions import ConfigurationError, StorePathError
from .base import Origin, Store
from .sqlite import SQLiteStore

if TYPE_CHECKING:
    from .memory import MemoryStore
    from .reading import StoreReader
    from .shelf import ShelfStore

_LATER = {"MemoryStore": ".memory", "ShelfStore": ".shelf", "StoreReader": ".reading"}
"""Stores that few programs want: they, and dbm, are imported when they are asked for."""

__all__ = [
    "MemoryStore",
    "Origin",
    "SQLiteStore",
    "ShelfStore",
    "Store",
    "StoreReader",
    "open_store",
    "read_store",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def file_name(data_path: str) -> str:
    """Return the file of the SQLite store whose name begins with *data_path*."""
    return f"{data_path}syncrepl.sqlite3"


def read_store(data_path: str) -> "StoreReader":
    """Open the SQLite store whose file begins with *data_path* to look into it.

    It may be in use; nothing is created or changed.

    Raises:
        StoreError: there is none, or it can't be read.
    """
    from .reading import StoreReader

    path = file_name(data_path)
    if not os.path.lexists(path) and os.path.exists(f"{data_path}syncrepl.shelve.lock"):
        raise StorePathError(
            f"there is a shelve store at {data_path!r}: only SQLite stores can be looked into"
        )
    return StoreReader(path)


def open_store(kind: Union[str, Store], data_path: str) -> Store:
    """Open the store of that *kind* whose files begin with *data_path*.

    Args:
        kind: ``"sqlite"``, ``"shelve"``, ``"memory"``, or an open store.
        data_path: prefix of file names; not used for a store in memory.

    Raises:
        ConfigurationError: there is no such kind.
        StoreError: the store can't be opened; nothing was created or changed.
    """
    if isinstance(kind, Store):
        return kind
    if kind == "sqlite":
        return SQLiteStore(file_name(data_path))
    if kind == "memory":
        from .memory import MemoryStore

        return MemoryStore()
    if kind == "shelve":
        from .shelf import ShelfStore

        return ShelfStore(f"{data_path}syncrepl.shelve")
    raise ConfigurationError(f"store is 'sqlite', 'shelve', 'memory' or a Store, not {kind!r}")
