# SPDX-License-Identifier: BSD-3-Clause
"""Data stores: SQLite (the default), shelve/dbm, memory."""

import importlib
from typing import TYPE_CHECKING, Any, Union

from ..exceptions import ConfigurationError
from .base import Origin, Store
from .sqlite import SQLiteStore

if TYPE_CHECKING:
    from .memory import MemoryStore
    from .shelf import ShelfStore

_LATER = {"MemoryStore": ".memory", "ShelfStore": ".shelf"}
"""Stores that few programs want: they, and dbm, are imported when they are asked for."""

__all__ = ["MemoryStore", "Origin", "SQLiteStore", "ShelfStore", "Store", "open_store"]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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
        return SQLiteStore(f"{data_path}syncrepl.sqlite3")
    if kind == "memory":
        from .memory import MemoryStore

        return MemoryStore()
    if kind == "shelve":
        from .shelf import ShelfStore

        return ShelfStore(f"{data_path}syncrepl.shelve")
    raise ConfigurationError(f"store is 'sqlite', 'shelve', 'memory' or a Store, not {kind!r}")
