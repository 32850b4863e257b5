# SPDX-License-Identifier: BSD-3-Clause
"""The tables of the PostgreSQL store: creation, migration, and validation.

PostgreSQL checks the types of values.  But anybody who may create something in the schema may have
left a view, or a trigger, with the names of the store.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ...exceptions import StoreInvalid
from ..base import FORMAT_VERSION, Origin, check_version
from ..holder import Holder
from .database import Database, bytes_of, text_of

HEAD = 1024
"""How many bytes of a key are in the index: PostgreSQL refuses to index more than 2,704."""
FIRST_VERSION = 5
"""The format of the first PostgreSQL store, as other stores had it then."""

_ENTRY = {"uuid": "bytea", "key": "bytea", "dn": "bytea", "attrs": "bytea"}
_ORIGIN = {
    "single": "boolean",
    "format": "integer",
    "term": "bigint",
    "changed": "double precision",
    "cookie": "bytea",
    "dialect": "text",
    "url": "bytea",
    "identity": "bytea",
    "epoch": "text",
    "reconciled": "double precision",
    "known": "bytea",
    "tally": "bytea",
    "namesakes": "bytea",
    "host": "text",
    "pid": "integer",
    "since": "double precision",
    "timeline": "integer",
}
_COLUMNS = {5: {"syncrepl_entry": _ENTRY, "syncrepl_origin": _ORIGIN}}
_BYTES = {name for name, kind in _ORIGIN.items() if kind == "bytea"} - {"cookie"}

_SCHEMA = f"""
CREATE TABLE {{at}}syncrepl_entry (
    uuid bytea PRIMARY KEY,
    key bytea NOT NULL,
    dn bytea NOT NULL,
    attrs bytea NOT NULL
);
CREATE UNIQUE INDEX syncrepl_entry_key ON {{at}}syncrepl_entry (
    substr(key, 1, {HEAD}),
    (CASE WHEN length(key) > {HEAD} THEN sha256(key) ELSE ''::bytea END)
);
CREATE TABLE {{at}}syncrepl_origin (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    format integer NOT NULL,
    term bigint NOT NULL DEFAULT 0,
    changed double precision NOT NULL DEFAULT extract(epoch FROM clock_timestamp()),
    cookie bytea,
    dialect text,
    url bytea,
    identity bytea,
    epoch text,
    reconciled double precision,
    known bytea,
    tally bytea,
    namesakes bytea,
    host text,
    pid integer,
    since double precision,
    timeline integer
);
INSERT INTO {{at}}syncrepl_origin (format) VALUES ({FORMAT_VERSION})
"""

MIGRATION: "Mapping[int, Sequence[str]]" = {}
"""The statements that migrate each format to the next, in one transaction."""

_RELATIONS = """
SELECT relname::text, relkind::text,
    relhastriggers AND EXISTS (SELECT 1 FROM pg_catalog.pg_trigger
        WHERE tgrelid = pg_class.oid AND NOT tgisinternal),
    relhasrules, attname::text, pg_catalog.format_type(atttypid, atttypmod)
FROM pg_catalog.pg_class
JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
LEFT JOIN pg_catalog.pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
WHERE nspname = ? AND relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY relname, attnum
"""


def schema_exists(database: Database) -> bool:
    """Return whether there is the schema."""
    sql = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = ?"
    return database.row(sql, (database.place.schema,)) is not None


class Found(NamedTuple):
    """What is in a schema.

    Attributes:
        relations: tables and the like: kind, and whether they have triggers and rules.
        columns: the columns of tables, and their types.
    """

    relations: "dict[str, tuple[str, bool, bool]]"
    columns: "dict[str, dict[str, str]]"


def look(database: Database) -> Found:
    """Return what is in the schema."""
    relations: dict[str, tuple[str, bool, bool]] = {}
    columns: dict[str, dict[str, str]] = {}
    for table, *rest, column, kind in database.fetch(_RELATIONS, (database.place.schema,), tuple):
        relations[table] = (*rest,)
        columns.setdefault(table, {})[column] = kind
    return Found(relations, columns)


def store_exists(database: Database, found: Found) -> bool:
    """Return whether there is a store in the schema.

    Raises:
        StoreInvalid: there is something else.
    """
    names = found.relations
    if names and "syncrepl_origin" not in names:
        raise StoreInvalid(
            f"{database.place} is not a data store, but has {min(names)!r}; it was left as it is: "
            "use another schema"
        )
    return bool(names)


def check_database(database: Database, found: Found) -> int:
    """Check that the schema is a store; return its format version.

    Raises:
        StoreInvalid: it is not.
        StoreVersionError: it is newer than this library.
    """
    check_tables(database, found, {"syncrepl_origin": {}})
    row = database.row(f"SELECT format FROM {database.qualifier}syncrepl_origin")
    version = check_version(row and row[0], str(database.place))
    if version < FIRST_VERSION:
        raise _strange(database, f"format {version}")
    check_tables(database, found, _COLUMNS[version])
    return version


def check_tables(
    database: Database, found: Found, columns: Mapping[str, Mapping[str, str]]
) -> None:
    """Check that the schema has tables with these *columns*, without triggers and rules.

    Raises:
        StoreInvalid: it has not.
    """
    for name, wanted in columns.items():
        if found.relations.get(name) != ("r", False, False):
            raise _strange(database, f"something else than a plain table {name}")
        if wanted and found.columns.get(name) != wanted:
            raise _strange(database, f"{name} {found.columns.get(name)}")


def _strange(database: Database, what: str) -> StoreInvalid:
    return StoreInvalid(
        f"the data store at {database.place} is not as this library makes one, but has {what}; it "
        "was left as it is: restore a backup, or use another schema"
    )


def create(database: Database) -> None:
    """Create the schema, unless it exists, and the tables, in the open transaction."""
    if not schema_exists(database):
        database.execute(f"CREATE SCHEMA {database.qualifier[:-1]}")
    for statement in _SCHEMA.format(at=database.qualifier).split(";"):
        database.execute(statement)


def migrate(database: Database, version: int) -> None:
    """Migrate a store of format *version* to the current one."""
    with database.transaction():
        for each in range(version, FORMAT_VERSION):
            for statement in MIGRATION[each]:
                database.execute(statement.format(at=database.qualifier))


def read_origin(database: Database) -> Origin:
    """Return the origin.

    Raises:
        StoreInvalid: it is missing.
    """
    columns = ", ".join(Origin._fields)
    row = database.row(f"SELECT {columns} FROM {database.qualifier}syncrepl_origin")
    if row is None:
        raise StoreInvalid(f"the data store at {database.place} is damaged: its origin is missing")
    cells = zip(Origin._fields, row)
    return Origin(*(text_of(cell) if name in _BYTES else cell for name, cell in cells))


def read_holder(database: Database) -> Optional[Holder]:
    """Return the client that has the store, or had it last; None if none ever did."""
    columns = ", ".join(Holder._fields)
    row = database.row(f"SELECT {columns} FROM {database.qualifier}syncrepl_origin")
    return None if row is None or row[0] is None else Holder(*row)


def origin_cells(origin: Origin) -> "list[Any]":
    """Return *origin* as it is stored."""
    cells: Iterable[tuple[str, Any]] = zip(Origin._fields, origin)
    return [bytes_of(cell) if name in _BYTES else cell for name, cell in cells]
