# SPDX-License-Identifier: BSD-3-Clause
"""Files that somebody else had a hand in: links, hostile schemas, cells of other types."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any, Callable

import pytest

from syncrepl_client.exceptions import StoreError, StoreInvalid, StorePathError
from syncrepl_client.store import Store, read_store
from tests.contract.places import Place, consistent, fill, record, uid

TREE = [record(1, "dc=x"), record(2, "ou=a,dc=x"), record(3, "cn=b,ou=a,dc=x")]


# --- links


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("made", [False, True])
def test_a_link_beside_the_database(sqlite_place: Place, end: str, made: bool) -> None:
    if made:
        sqlite_place.make(*TREE)
    target = sqlite_place.directory / "target"
    target.write_text("precious")
    Path(f"{sqlite_place.path}{end}").symlink_to(target)
    before = sqlite_place.files()
    with pytest.raises(StorePathError, match="symbolic link"):
        sqlite_place.create()
    assert {name: content for name, content in sqlite_place.files().items()
            if name != sqlite_place.path.name or made} == before  # fmt: skip


@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize("content", [b"", b"precious", None])
@pytest.mark.parametrize("link", [False, True])
def test_swapped_between_the_check_and_the_opening(
    sqlite_place: Place, made: bool, content: bytes | None, link: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Neither what is put there, nor what it points to, is read or written."""
    target = sqlite_place.directory / "target"
    if content is None:
        with closing(sqlite3.connect(target)) as connection:
            connection.execute("CREATE TABLE precious (data)")
    else:
        target.write_bytes(content)
    precious = target.read_bytes()
    if made:
        sqlite_place.make(*TREE)
    connect = sqlite3.connect

    def swapping(path: str, **options: Any) -> sqlite3.Connection:
        Path(path).unlink()
        if link:
            Path(path).symlink_to(target)
        else:
            os.link(target, path)
        opened: sqlite3.Connection = connect(path, **options)
        return opened

    monkeypatch.setattr(sqlite3, "connect", swapping)
    with pytest.raises(StoreError, match="replaced"):
        sqlite_place.create()
    assert target.read_bytes() == precious
    assert set(sqlite_place.files()) == {"target", sqlite_place.path.name}


def test_the_files_moved_away_and_linked_to(file_place: Place) -> None:
    """A commit notices: what is at the path must be the file itself."""
    store = file_place.create(*TREE)
    moved = file_place.directory / "moved"
    path = file_place.path
    if file_place.kind == "shelve":
        path = path.with_name(f"{path.name}.journal")
    path.rename(moved)
    path.symlink_to(moved)
    with pytest.raises(StoreError, match="replaced"):
        store.begin()


@pytest.mark.parametrize("umask", [0o000, 0o002])
def test_sqlite_gives_its_files_the_mode_of_the_main_one(sqlite_place: Place, umask: int) -> None:
    """Also the rollback journal, which is there while the file is made and not yet in WAL mode."""
    sqlite_place.make(*TREE)
    before = os.umask(umask)
    try:
        with closing(sqlite3.connect(sqlite_place.path, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DELETE FROM syncrepl_entry")
            names = sqlite_place.files()
            connection.execute("ROLLBACK")
    finally:
        os.umask(before)
    assert f"{sqlite_place.path.name}-journal" in names
    assert {stat.S_IMODE(mode) for mode, _ in names.values()} == {0o600}


# --- a hostile schema


HOSTILE = {
    "trigger": "CREATE TRIGGER t AFTER INSERT ON syncrepl_entry BEGIN DELETE FROM syncrepl_entry; "
    "END",
    "trigger on the origin": "CREATE TRIGGER t AFTER UPDATE ON SYNCREPL_ORIGIN BEGIN SELECT 1; END",
    "view": "ALTER TABLE syncrepl_entry RENAME TO e; CREATE VIEW syncrepl_entry AS SELECT * FROM e",
    "view in other case": "ALTER TABLE syncrepl_origin RENAME TO o; "
    "CREATE VIEW Syncrepl_Origin AS SELECT * FROM o",
    "no table": "DROP TABLE syncrepl_entry",
    "column": "ALTER TABLE syncrepl_entry ADD COLUMN more TEXT",
    "column with a default": "DROP TABLE syncrepl_origin; CREATE TABLE syncrepl_origin ("
    "only INTEGER PRIMARY KEY, cookie BLOB DEFAULT (randomblob(9)), dialect TEXT, url TEXT, "
    "identity TEXT, epoch TEXT, reconciled REAL)",
    "generated column": "DROP TABLE syncrepl_origin; CREATE TABLE syncrepl_origin ("
    "only INTEGER PRIMARY KEY, cookie BLOB, dialect TEXT, url TEXT, identity TEXT, "
    "epoch TEXT AS (hex(cookie)), reconciled REAL)",
    "other types": "DROP TABLE syncrepl_origin; CREATE TABLE syncrepl_origin "
    "(only INTEGER PRIMARY KEY, cookie, dialect, url, identity, epoch, reconciled)",
    "virtual table": "DROP TABLE syncrepl_entry; "
    "CREATE VIRTUAL TABLE syncrepl_entry USING fts4(uuid, key, dn, attrs)",
}


@pytest.mark.parametrize("sql", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_schema(sqlite_place: Place, sql: str) -> None:
    sqlite_place.make(*TREE)
    with closing(sqlite3.connect(sqlite_place.path)) as connection:
        try:
            connection.executescript(sql)
        except sqlite3.OperationalError as error:
            if "no such module" in str(error):
                pytest.skip("this SQLite has no virtual tables")
            raise
    before = sqlite_place.files()
    with pytest.raises(StoreInvalid, match="not as this library makes"):
        sqlite_place.open()
    assert sqlite_place.files() == before


def test_what_users_may_add(sqlite_place: Place) -> None:
    """Tables, views and triggers of their own, and indexes on the store's."""
    sqlite_place.make(*TREE)
    with closing(sqlite3.connect(sqlite_place.path)) as connection:
        connection.executescript(
            "CREATE TABLE audit (dn); CREATE VIEW names AS SELECT dn FROM syncrepl_entry;"
            "CREATE TRIGGER t AFTER INSERT ON audit BEGIN DELETE FROM audit; END;"
            "CREATE INDEX by_dn ON syncrepl_entry (dn)"
        )
    store = sqlite_place.open()
    fill(store, record(4), cookie=b"1")
    assert len(store.connection.execute("SELECT * FROM names").fetchall()) == 4
    consistent(store)


def test_the_schema_is_not_trusted(sqlite_place: Place) -> None:
    connection = sqlite_place.create().connection
    assert connection.execute("PRAGMA trusted_schema").fetchone() in ((0,), None)
    assert connection.execute("PRAGMA cell_size_check").fetchone() == (1,)


# --- hostile cells


CELLS: list[tuple[str, str, str, Callable[[Store], Any]]] = [
    *(
        ("entry", column, value, read)
        for column, value in (
            ("uuid", "'text'"), ("uuid", "5"), ("uuid", "x''"), ("uuid", "x'00112233'"),
            ("key", "'text'"), ("key", "7.5"), ("dn", "x'00ff'"),
            ("attrs", "'text'"), ("attrs", "17"), ("dn", "CAST(x'ff' AS TEXT)"),
        )
        for read in (
            lambda store: list(store.seen.to_delete(unseen=True)),
            lambda store: [list(store.live()), list(store.below(b"")), store.get(uid(3)),
                           store.at(TREE[2].key)],
        )
    ),
    *(
        ("origin", column, value, lambda store: store.origin)
        for column, value in (
            ("cookie", "'text'"), ("cookie", "5"), ("dialect", "x'00'"), ("url", "x'ff'"),
            ("url", "CAST(x'ff' AS TEXT)"), ("identity", "x'00'"), ("epoch", "x'00'"),
            ("reconciled", "'yesterday'"), ("reconciled", "x'00'"), ("reconciled", "9e999"),
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("table", "column", "value", "read"), CELLS)
def test_a_cell_of_another_type(
    sqlite_place: Place, table: str, column: str, value: str, read: Callable[[Store], Any]
) -> None:
    sqlite_place.make(*TREE)
    which = f"syncrepl_{table} SET {column} = {value}"
    where = "WHERE id = 3" if table == "entry" else ""
    with closing(sqlite3.connect(sqlite_place.path)) as connection, connection:
        assert connection.execute(f"UPDATE {which} {where}").rowcount == 1
    store = sqlite_place.open()
    with pytest.raises(StoreInvalid, match="damaged"):
        read(store)


# --- whose files they are


def files_of(place: Place) -> list[Path]:
    """The files of a closed store."""
    return [path for path in place.directory.iterdir() if path.stat().st_size]


def risks(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if vars(each).get("event") == "risk"]


def test_files_with_another_name_are_refused(file_place: Place) -> None:
    """Whoever has the other name may write there; and SQLite would not find its own beside it."""
    file_place.make(*TREE)
    for path in files_of(file_place):
        other = file_place.directory / "other"
        os.link(path, other)
        before = file_place.files()
        with pytest.raises(StorePathError, match="hard links"):
            file_place.open()
        assert file_place.files() == before
        other.unlink()
    file_place.open().close()


@pytest.mark.parametrize("mode", [0o640, 0o606, 0o620, 0o666])
def test_files_that_others_may_read_or_write_are_warned_of(
    file_place: Place, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    file_place.make(*TREE)
    assert risks(caplog) == []
    for path in files_of(file_place):
        path.chmod(mode)
    with closing(file_place.open()) as store:
        consistent(store)
    assert risks(caplog)
    assert f"by others than its owner (mode {mode:04o}): chmod 600" in risks(caplog)[0]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files_of(file_place)} == {mode}


def test_files_of_another_user_are_warned_of(
    file_place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file_place.make(*TREE)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    file_place.open().close()
    assert f"belongs to another user (UID {os.getuid()})" in risks(caplog)[0]


# --- texts of the schema


@pytest.mark.parametrize(
    ("text", "damaged"),
    [
        (b"CREATE TABLE syncrepl_entry", b"CREATE T\xffBLE syncrepl_entry"),
        (b"CREATE TABLE syncrepl_origin", b"CREATE TABLE syncrepl_\xc3rigin"),
        (b"NOT NULL UNIQUE", b"NOT NULL UN\xffQUE"),
        (b"identity TEXT", b"ident\xffty TEXT"),
        (b"dialect TEXT", b"dialect T\xc3XT"),
        (b"id INTEGER PRIMARY", b"\xffd INTEGER PRIMARY"),
        (b"tablesyncrepl_origin", b"tabl\xffsyncrepl_origin"),
        (b"sqlite_autoindex_syncrepl_entry_1", b"sqlite_autoindex_syncrepl_\xffntry_1"),
        (b"CHECK (only = 1)", b"CHECK (on\xffy = 1)"),
    ],
)
def test_a_text_of_the_schema_that_is_damaged(
    sqlite_place: Place, text: bytes, damaged: bytes
) -> None:
    sqlite_place.make(*TREE)
    content = sqlite_place.path.read_bytes()
    assert text in content
    sqlite_place.path.write_bytes(content.replace(text, damaged, 1))
    before = sqlite_place.path.read_bytes()
    with pytest.raises(StoreInvalid):
        sqlite_place.open()
    with pytest.raises(StoreInvalid):
        read_store(sqlite_place.prefix)
    assert sqlite_place.path.read_bytes() == before
