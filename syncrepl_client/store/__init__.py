# SPDX-License-Identifier: BSD-3-Clause
"""Data stores: SQLite (the default), shelve/dbm, memory."""

from typing import Union

from ..exceptions import ConfigurationError
from .base import Origin, Store
from .memory import MemoryStore
from .shelf import ShelfStore
from .sqlite import SQLiteStore

__all__ = ["MemoryStore", "Origin", "SQLiteStore", "ShelfStore", "Store", "open_store"]


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
    if kind == "memory":
        return MemoryStore()
    if kind == "sqlite":
        return SQLiteStore(f"{data_path}syncrepl.sqlite3")
    if kind == "shelve":
        return ShelfStore(f"{data_path}syncrepl.shelve")
    raise ConfigurationError(f"store is 'sqlite', 'shelve', 'memory' or a Store, not {kind!r}")
