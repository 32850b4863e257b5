# SPDX-License-Identifier: BSD-3-Clause
"""Where a store is: the prefix of file names, or a schema in a PostgreSQL database."""

import os
import re
from typing import Optional, Union

from ..exceptions import ConfigurationError

SCHEMA = "syncrepl"
_SCHEMES = ("postgresql://", "postgres://")
# Compiled when they are first used.
_NAME = r"(?!pg_)[A-Za-z_][A-Za-z0-9_]{0,62}"
_POOLING = r"(?<=[?&])session_pooling=true(&|$)"


class PostgreSQL:
    """A schema in a PostgreSQL database, as a *data_path*.

    Attributes:
        url: how libpq connects.
        schema: the name of the schema.
        session_pooling: whether a pooler in between is known to keep sessions apart.
    """

    def __init__(self, url: str, *, schema: str = SCHEMA, session_pooling: bool = False) -> None:
        """Initialize; nothing is connected.

        Args:
            url: a URL, or another connection string of libpq, which also reads its service file,
                its password file and the environment.
            schema: the schema that the tables of the store are in.  It is created with them, and
                has nothing else.  Each store has a schema of its own.
            session_pooling: accept a pooler such as PgBouncer, which gives each of its clients a
                session for as long as that is connected.  ``session_pooling=true`` in the query
                of the URL, which libpq does not see, says the same.

        Raises:
            ConfigurationError: *schema* is not a name of letters, digits and underscores.
        """
        if not isinstance(url, str):
            raise ConfigurationError("the URL of a PostgreSQL database is a str")
        if type(schema) is not str or not re.fullmatch(_NAME, schema):
            raise ConfigurationError(
                "schema is a name of up to 63 letters, digits and underscores that does not begin "
                f"with 'pg_', not {schema!r}"
            )
        self.url, said = re.subn(_POOLING, "", url) if url.startswith(_SCHEMES) else (url, 0)
        self.url = self.url.rstrip("?&") if said else url
        self.schema = schema
        self.session_pooling = session_pooling or bool(said)

    @property
    def has_password(self) -> bool:
        """Whether there is a password in the URL."""
        head, _, query = self.url.partition("?")
        user = head.partition("://")[2].rpartition("@")[0]
        given = f"&{query if '://' in head else self.url}"
        return ":" in user or re.search(r"[&\s](ssl)?password\s*=", given) is not None

    def __str__(self) -> str:
        """Describe it without a password."""
        head, _, query = self.url.partition("?")
        place = "PostgreSQL"
        if head.startswith(_SCHEMES) and ("@" in head or "@" not in query):
            place = "postgresql://" + head.partition("://")[2].rpartition("@")[2]
        return f"{place}, schema {self.schema}"

    def __repr__(self) -> str:
        return f"<{self}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PostgreSQL):
            return NotImplemented
        return (self.url, self.schema) == (other.url, other.schema)

    def __hash__(self) -> int:
        return hash((self.url, self.schema))


DataPath = Union[str, "os.PathLike[str]", PostgreSQL]
"""The directory of a store's files, the prefix of their names, or a PostgreSQL database."""


def database_of(data_path: DataPath) -> Optional[PostgreSQL]:
    """Return the PostgreSQL database that *data_path* means; None if it means files."""
    if isinstance(data_path, PostgreSQL):
        return data_path
    if isinstance(data_path, str) and data_path.startswith(_SCHEMES):
        return PostgreSQL(data_path)
    return None


def in_schema(data_path: str, schema: Optional[str]) -> DataPath:
    """Return *data_path*, with another schema than usual if one is given.

    Raises:
        ConfigurationError: *data_path* is not the URL of a PostgreSQL database.
    """
    if schema is None:
        return data_path
    if database_of(data_path) is None:
        raise ConfigurationError("only a PostgreSQL database has a schema")
    return PostgreSQL(data_path, schema=schema)


def identify(data_path: DataPath) -> str:
    """Return what tells the store at *data_path* from others."""
    database = database_of(data_path)
    return os.path.realpath(file_name(data_path)) if database is None else repr(database)


def prefix(data_path: DataPath) -> str:
    """Return the prefix of the file names of the store at *data_path*.

    Raises:
        ConfigurationError: it is not a path.
    """
    database = database_of(data_path)
    if database is not None:
        raise ConfigurationError(f"a store in files can't be at {database}")
    if not isinstance(data_path, (str, os.PathLike)):
        raise ConfigurationError(f"data_path is a str or a path, not {data_path!r}")
    path = os.fspath(data_path)
    return os.path.join(path, "") if os.path.isdir(path) else path


def file_name(data_path: DataPath) -> str:
    """Return the file name of the SQLite store at *data_path*."""
    return f"{prefix(data_path)}syncrepl.sqlite3"


def describe(data_path: DataPath) -> str:
    """Return where the store at *data_path* is, without a password, for a message."""
    database = database_of(data_path)
    return file_name(data_path) if database is None else str(database)
