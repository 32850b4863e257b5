# SPDX-License-Identifier: BSD-3-Clause
"""The tables of a log of changes in a PostgreSQL store; they are created on demand."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Callable, Optional

from ...changelog.rows import Row
from ..log import LogTables
from .database import Database, bytes_of, text_of
from .schema import check_tables, look

_COLUMNS = {
    "syncrepl_log": {
        "seq": "bigint", "id": "bytea", "time": "double precision", "kind": "text",
        "phase": "text", "uuid": "bytea", "old_dn": "bytea", "new_dn": "bytea", "place": "bigint",
        "csn": "text", "differences": "bytea", "total": "bigint",
    },
    "syncrepl_log_settings": {"single": "boolean", "settings": "bytea"},
    "syncrepl_sink": {
        "name": "text", "position": "bigint", "moved": "double precision", "lost": "bigint",
    },
    "syncrepl_parked": {
        "sink": "text", "seq": "bigint", "uuid": "bytea", "time": "double precision",
        "reason": "bytea", "released": "integer", "snapshot": "bytea",
    },
    "syncrepl_snapshot": {"sink": "text", "id": "bytea", "cursor": "bytea", "sent": "bigint"},
}  # fmt: skip

_SCHEMA = """
CREATE TABLE {at}syncrepl_log (
    seq bigint PRIMARY KEY,
    id bytea NOT NULL,
    time double precision NOT NULL,
    kind text NOT NULL,
    phase text NOT NULL,
    uuid bytea NOT NULL,
    old_dn bytea,
    new_dn bytea,
    place bigint,
    csn text,
    differences bytea NOT NULL,
    total bigint NOT NULL
);
CREATE INDEX syncrepl_log_entry ON {at}syncrepl_log (uuid);
CREATE INDEX syncrepl_log_place ON {at}syncrepl_log (place) WHERE place IS NOT NULL;
CREATE TABLE {at}syncrepl_log_settings (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    settings bytea
);
INSERT INTO {at}syncrepl_log_settings DEFAULT VALUES;
CREATE TABLE {at}syncrepl_sink (
    name text COLLATE "C" PRIMARY KEY,
    position bigint NOT NULL,
    moved double precision NOT NULL,
    lost bigint NOT NULL
);
CREATE TABLE {at}syncrepl_parked (
    sink text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    uuid bytea NOT NULL,
    time double precision NOT NULL,
    reason bytea NOT NULL,
    released integer NOT NULL,
    snapshot bytea NOT NULL,
    PRIMARY KEY (sink, seq, snapshot, uuid)
);
CREATE TABLE {at}syncrepl_snapshot (
    sink text COLLATE "C" PRIMARY KEY,
    id bytea NOT NULL,
    cursor bytea NOT NULL,
    sent bigint NOT NULL
)
"""
_KINDS = ", ".join(f"?::{kind}[]" for kind in _COLUMNS["syncrepl_log"].values())


class PostgreSQLLog(LogTables):
    """The tables in the schema of a store."""

    def __init__(self, database: Database, in_callback: Callable[[], bool] = lambda: False) -> None:
        """Initialize from the database; *in_callback* returns True while a callback runs."""
        super().__init__(database, in_callback, database.qualifier)
        self._database = database

    def _look(self) -> bool:
        if not self._database.is_open:
            return False
        name = f"{self._database.qualifier}syncrepl_log"
        if self._database.row("SELECT 1 WHERE to_regclass(?) IS NOT NULL", (name,)) is None:
            return False
        check_tables(self._database, look(self._database), _COLUMNS)
        return True

    def create(self) -> None:
        for statement in _SCHEMA.format(at=self._database.qualifier).split(";"):
            self._database.execute(statement)

    def drop(self) -> None:
        self.forget()
        for table in _COLUMNS:
            self._database.execute(f"DROP TABLE IF EXISTS {self._database.qualifier}{table}")

    @contextmanager
    def _begin(self) -> Iterator[None]:
        with self._database.transaction():
            if self.exist:
                self._lock()
            yield

    @contextmanager
    def _begin_reading(self) -> Iterator[None]:
        self._database.begin("REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            self._database.rollback()

    def _lock(self) -> None:
        """Have other writers of sinks wait for the end of this transaction."""
        table = f"{self._database.qualifier}syncrepl_log_settings"
        self._database.execute(f"SELECT 1 FROM {table} FOR UPDATE")

    def _cell(self, text: Optional[str]) -> Optional[bytes]:
        return bytes_of(text)

    def _text(self, cell: Any) -> Any:
        return text_of(cell)

    def _insert(self, rows: Sequence[Sequence[Any]], conflict: str) -> None:
        columns = ", ".join((*Row._fields, "total"))
        sql = (
            f"INSERT INTO {self._database.qualifier}syncrepl_log ({columns}) "
            f"SELECT * FROM unnest({_KINDS}) {conflict}"
        )
        self._database.execute(sql, [list(column) for column in zip(*rows)])
