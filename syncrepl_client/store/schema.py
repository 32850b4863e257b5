# SPDX-License-Identifier: BSD-3-Clause
"""The SQLite store's tables: how they are made and migrated, and whether a file has them so.

A file is not believed because of where it lies.  Whoever could write to it once may have left
a view or a trigger under the store's names, or a cell of another type: SQLite lets any type
into any column.
"""

import math
from collections.abc import Iterable
from typing import Any, Callable

from ..exceptions import StoreInvalid
from ..view import Record
from .base import FORMAT_VERSION, Origin, check_version

APPLICATION_ID = 0x53524C43

SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE syncrepl_entry (
    id INTEGER PRIMARY KEY,
    uuid BLOB NOT NULL UNIQUE,
    key BLOB NOT NULL UNIQUE,
    dn TEXT NOT NULL,
    attrs BLOB NOT NULL
);
CREATE TABLE syncrepl_origin (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    cookie BLOB,
    dialect TEXT,
    url TEXT,
    identity TEXT,
    epoch TEXT,
    reconciled REAL
);
INSERT INTO syncrepl_origin (only) VALUES (1);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT_VERSION};
COMMIT;
"""

MIGRATION = {
    1: (
        "ALTER TABLE syncrepl_origin ADD COLUMN identity TEXT",
        "ALTER TABLE syncrepl_origin ADD COLUMN epoch TEXT",
        "ALTER TABLE syncrepl_origin ADD COLUMN reconciled REAL",
        "PRAGMA user_version = 2",
    ),
    2: ("PRAGMA user_version = 3",),
}
"""What leads from each format to the next.  All share a transaction; no row is rewritten."""

DEFENCES = ("PRAGMA trusted_schema = OFF", "PRAGMA cell_size_check = ON")
"""The schema runs no function with side effects; damaged pages are noticed sooner."""

_ENTRY_COLUMNS = ["id INTEGER", "uuid BLOB", "key BLOB", "dn TEXT", "attrs BLOB"]
_ORIGIN_COLUMNS = ["only INTEGER", "cookie BLOB", "dialect TEXT", "url TEXT", "identity TEXT",
                   "epoch TEXT", "reconciled REAL"]  # fmt: skip
_COLUMNS = {
    1: {"syncrepl_entry": _ENTRY_COLUMNS, "syncrepl_origin": _ORIGIN_COLUMNS[:4]},
    2: {"syncrepl_entry": _ENTRY_COLUMNS, "syncrepl_origin": _ORIGIN_COLUMNS},
}
_COLUMNS[3] = _COLUMNS[2]

Execute = Callable[[str], Iterable[tuple[Any, ...]]]


def check_database(execute: Execute, path: str) -> int:
    """See that the database at *path* is a store; return the version of its format.

    Raises:
        StoreInvalid: it isn't.
        StoreVersionError: it is newer than this library.
    """
    ((application,),), ((version,),) = map(
        execute, ("PRAGMA application_id", "PRAGMA user_version")
    )
    if application != APPLICATION_ID:
        raise StoreInvalid(
            f"{path!r} is a database, but not a data store; it was left as it is: change data_path"
        )
    check_version(version, path)
    check_tables(execute, version, path)
    return int(version)


def check_tables(execute: Execute, version: int, path: str) -> None:
    """See that the file has the tables of that format *version*, and no more on them than indexes.

    Raises:
        StoreInvalid: it hasn't.
    """
    rows = execute(
        "SELECT type, name, rootpage FROM sqlite_master "
        "WHERE lower(tbl_name) IN ('syncrepl_entry', 'syncrepl_origin') AND type <> 'index'"
    )
    tables = {name for kind, name, rootpage in rows if kind == "table" and rootpage}
    strange = [name for kind, name, rootpage in rows if kind != "table" or not rootpage]
    if tables != set(_COLUMNS[version]) or strange:
        raise _strange(path, f"tables {sorted(tables)}, and besides {strange}")
    for table, columns in _COLUMNS[version].items():
        found = execute(f"PRAGMA table_xinfo({table})")
        # position, name, type, not null, default, place in the primary key, hidden
        written = [f"{row[1]} {row[2]}" for row in found]
        if written != columns or any(row[4] is not None or row[6] for row in found):
            raise _strange(path, f"{table} ({', '.join(written)})")


def _strange(path: str, what: str) -> StoreInvalid:
    return StoreInvalid(
        f"the data store {path!r} is not as this library makes one, but has {what!r}; it was left "
        "as it is: put a backup in its place, or use another data_path"
    )


def record_of(row: tuple[Any, ...]) -> Record:
    """Return the entry in a *row* of syncrepl_entry: UUID, key, DN and attributes.

    Raises:
        StoreInvalid: a cell has the wrong type.
    """
    uuid, key, name, attrs = row
    if (
        type(uuid) is bytes
        and len(uuid) == 16
        and type(key) is bytes
        and type(name) is str
        and type(attrs) is bytes
    ):
        return Record(uuid, key, name, attrs)
    raise StoreInvalid("an entry in the store is damaged: a cell is not of its type")


def origin_columns(version: int) -> "list[str]":
    """Return the names of what a format *version* knows of the origin, in its order."""
    return [column.split()[0] for column in _COLUMNS[version]["syncrepl_origin"][1:]]


def origin_of(row: tuple[Any, ...]) -> Origin:
    """Return the origin in the *row* of syncrepl_origin, which an older format may have shorter.

    Raises:
        StoreInvalid: a cell has the wrong type.
    """
    kinds = (bytes, str, str, str, str, float)
    for value, kind in zip(row, kinds):
        infinite = kind is float and type(value) is float and not math.isfinite(value)
        if value is not None and (type(value) is not kind or infinite):
            raise StoreInvalid("the origin of the store is damaged: a cell is not of its type")
    return Origin(*row)
