# SPDX-License-Identifier: BSD-3-Clause
"""The tables of the SQLite store: creation, migration, and validation.

A file is not trusted because of its location.  Anybody who could write to it may have left a view
or a trigger with the names of the store, or values of other types: SQLite allows any type in any
column.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable, Optional

from ...exceptions import StoreInvalid
from ...protocol.view import Record
from ..base import FORMAT_VERSION, Origin, check_version, unpack_names, with_new_key

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
    reconciled REAL,
    known TEXT,
    tally TEXT,
    namesakes BLOB
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
    3: (
        "ALTER TABLE syncrepl_origin ADD COLUMN known TEXT",
        "ALTER TABLE syncrepl_origin ADD COLUMN tally TEXT",
        "PRAGMA user_version = 4",
    ),
    4: (
        "ALTER TABLE syncrepl_origin ADD COLUMN namesakes BLOB",
        # LDIFCallback holds entries back by key; from now on it knows their UUIDs, too.
        """CREATE TABLE IF NOT EXISTS syncrepl_held_back (key BLOB NOT NULL PRIMARY KEY)
        WITHOUT ROWID""",
        "ALTER TABLE syncrepl_held_back ADD COLUMN uuid BLOB",
        """UPDATE syncrepl_held_back SET uuid =
        (SELECT uuid FROM syncrepl_entry WHERE syncrepl_entry.key = syncrepl_held_back.key)""",
        # In two steps: the new key of an entry may be the old key of another one.
        """CREATE TEMP TABLE renewed AS SELECT id, new_key(uuid, key, dn) AS key
        FROM syncrepl_entry WHERE new_key(uuid, key, dn) IS NOT NULL""",
        "UPDATE syncrepl_entry SET key = x'fd' || uuid WHERE id IN (SELECT id FROM renewed)",
        """UPDATE syncrepl_entry SET key =
        (SELECT key FROM renewed WHERE renewed.id = syncrepl_entry.id)
        WHERE id IN (SELECT id FROM renewed)""",
        "DROP TABLE renewed",
        "PRAGMA user_version = 5",
    ),
}
"""The statements that migrate each format to the next, in one transaction; they may call
:func:`new_key`."""

DEFENCES = ("PRAGMA trusted_schema = OFF", "PRAGMA cell_size_check = ON")
"""The schema can't run functions with side effects; damaged pages are detected sooner."""

LOOK_FOR_LOG = "SELECT 1 FROM sqlite_master WHERE lower(name) = 'syncrepl_log'"
"""Returns a row if there is a log of changes."""

_ENTRY_COLUMNS = ["id INTEGER", "uuid BLOB", "key BLOB", "dn TEXT", "attrs BLOB"]
_ORIGIN_COLUMNS = ["only INTEGER", "cookie BLOB", "dialect TEXT", "url TEXT", "identity TEXT",
                   "epoch TEXT", "reconciled REAL", "known TEXT", "tally TEXT",
                   "namesakes BLOB"]  # fmt: skip
_COLUMNS = {
    1: {"syncrepl_entry": _ENTRY_COLUMNS, "syncrepl_origin": _ORIGIN_COLUMNS[:4]},
    2: {"syncrepl_entry": _ENTRY_COLUMNS, "syncrepl_origin": _ORIGIN_COLUMNS[:7]},
    4: {"syncrepl_entry": _ENTRY_COLUMNS, "syncrepl_origin": _ORIGIN_COLUMNS[:9]},
    5: {"syncrepl_entry": _ENTRY_COLUMNS, "syncrepl_origin": _ORIGIN_COLUMNS},
}
_COLUMNS[3] = _COLUMNS[2]

Execute = Callable[[str], Iterable[tuple[Any, ...]]]


def check_database(execute: Execute, path: str) -> int:
    """Check that the database at *path* is a store; return its format version.

    Raises:
        StoreInvalid: it is not.
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
    check_tables(execute, _COLUMNS[version], path)
    return int(version)


def check_tables(execute: Execute, columns: Mapping[str, Sequence[str]], path: str) -> None:
    """Check that the file has tables with these *columns*, and no views or triggers on them.

    Raises:
        StoreInvalid: it has not.
    """
    names = ", ".join(f"'{name}'" for name in columns)
    rows = execute(
        "SELECT type, name, rootpage FROM sqlite_master "
        f"WHERE lower(tbl_name) IN ({names}) AND type <> 'index'"
    )
    tables = {name for kind, name, rootpage in rows if kind == "table" and rootpage}
    strange = [name for kind, name, rootpage in rows if kind != "table" or not rootpage]
    if tables != set(columns) or strange:
        raise _strange(path, f"tables {sorted(tables)}, and besides {strange}")
    for table, wanted in columns.items():
        found = execute(f"PRAGMA table_xinfo({table})")
        # position, name, type, not null, default, place in the primary key, hidden
        written = [f"{row[1]} {row[2]}" for row in found]
        if written != wanted or any(row[4] is not None or row[6] for row in found):
            raise _strange(path, f"{table} ({', '.join(written)})")


def _strange(path: str, what: str) -> StoreInvalid:
    return StoreInvalid(
        f"the data store {path!r} is not as this library makes one, but has {what!r}; it was left "
        "as it is: put a backup in its place, or use another data_path"
    )


def record_of(row: tuple[Any, ...]) -> Record:
    """Return the entry in a row of syncrepl_entry: UUID, key, DN and attributes.

    Raises:
        StoreInvalid: a value has the wrong type.
    """
    uuid, key, name, attrs = row
    if (
        type(uuid) is bytes
        and len(uuid) == 16
        and type(key) is bytes
        and type(name) is str
        and type(attrs) is bytes
    ):
        return tuple.__new__(Record, row)
    raise StoreInvalid("an entry in the store is damaged: a cell is not of its type")


def new_key(uuid: Any, key: Any, name: Any) -> Optional[bytes]:
    """Return the key of an entry of an older format in the current one; None if it is the same."""
    try:
        record = record_of((uuid, key, name, b""))
    except StoreInvalid:  # reported when the entry is read
        return None
    new = with_new_key(record).key
    return None if new == key else new


def namesakes_of(row: Optional[tuple[Any, ...]]) -> frozenset[bytes]:
    """Return the namesakes in the *row* of syncrepl_origin.

    Raises:
        StoreInvalid: the cell has the wrong type.
    """
    packed = row[0] if row else None
    if not isinstance(packed, (bytes, type(None))):
        raise StoreInvalid("the origin of the store is damaged: a cell is not of its type")
    return unpack_names(packed)


def origin_columns(version: int) -> "list[str]":
    """Return the columns of the origin in a format *version*, in order."""
    columns = (column.split()[0] for column in _COLUMNS[version]["syncrepl_origin"])
    return [column for column in columns if column in Origin._fields]


def origin_of(row: tuple[Any, ...]) -> Origin:
    """Return the origin in a row of syncrepl_origin, which has fewer columns in an older format.

    Raises:
        StoreInvalid: a value has the wrong type.
    """
    kinds = (bytes, str, str, str, str, float, str, str)
    for value, kind in zip(row, kinds):
        infinite = kind is float and type(value) is float and not math.isfinite(value)
        if value is not None and (type(value) is not kind or infinite):
            raise StoreInvalid("the origin of the store is damaged: a cell is not of its type")
    return Origin(*row)
