# SPDX-License-Identifier: BSD-3-Clause
"""Stores in files: kills, locks, permissions, versions, and whatever else lies at their path."""

from __future__ import annotations

import dbm
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Callable

import pytest

from syncrepl_client.entries import dn
from syncrepl_client.exceptions import (
    StoreError,
    StoreInvalid,
    StoreLocked,
    StorePathError,
    StoreVersionError,
)
from syncrepl_client.formats.arrangement import Arrangement
from syncrepl_client.formats.ldifstate import open_state
from syncrepl_client.protocol.view import Record
from syncrepl_client.store import Origin, SQLiteStore, Store, read_store
from syncrepl_client.store.base import FORMAT_VERSION
from syncrepl_client.store.shelve.journal import NO_BASE, Journal, journal_path
from syncrepl_client.store.shelve.journal import header as journal_header
from syncrepl_client.store.shelve.journal import record as journal_record
from syncrepl_client.store.sqlite import schema, seen
from syncrepl_client.store.sqlite import store as sqlite_module
from syncrepl_client.store.sqlite.database import Database
from tests.contract.places import (
    FILE_KINDS,
    Place,
    Refused,
    consistent,
    die,
    fill,
    in_child,
    in_savepoint,
    origin,
    record,
    reference,
    shelf_format_1,
    uid,
)

ROOT = Path(__file__).resolve().parents[2]
TREE = [record(1, "dc=x"), record(2, "ou=a,dc=x"), record(3, "cn=b,ou=a,dc=x")]


def sqlite(store: Store) -> sqlite3.Connection:
    assert isinstance(store, SQLiteStore)
    return store.connection


# --- killed


@pytest.mark.parametrize("kind", FILE_KINDS)
@pytest.mark.parametrize("batches", [0, 1, 3])
def test_killed_before_a_commit(kind: str, batches: int, tmp_path: Path) -> None:
    place = Place(kind, tmp_path)

    def act() -> None:
        store = place.create(*TREE, cookie=b"0")
        for number in range(1, batches + 1):
            fill(store, record(number + 10), cookie=b"%d" % number)
        store.begin()
        store.put(record(99))
        store.put(record(1, "dc=other"))
        store.remove(uid(2))
        die()

    assert in_child(act) == -signal.SIGKILL
    store = place.open()
    names = {each.dn for each in store.live()}
    assert names == {each.dn for each in TREE} | {f"cn={n + 11},dc=x" for n in range(batches)}
    assert store.origin.cookie == b"%d" % batches
    assert store.trusted
    consistent(store)
    place.close()


@pytest.mark.parametrize("last", ["PRAGMA synchronous", "PRAGMA temp_store", "half the schema"])
def test_killed_while_a_store_is_made(
    last: str, sqlite_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To switch to WAL writes a page: the file is a database then, without anything in it."""
    execute = Database.execute

    def killing(self: Database, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        if sql == seen.SCRATCH[0]:
            die()
        cursor = execute(self, sql, values)
        if sql.startswith(last):
            die()
        return cursor

    with monkeypatch.context() as patch:
        patch.setattr(Database, "execute", killing)
        half, commit, _ = schema.SCHEMA.rpartition("COMMIT;")
        assert commit
        patch.setattr(sqlite_module, "SCHEMA", half)
        assert in_child(sqlite_place.make) == -signal.SIGKILL
    assert sqlite_place.path.stat().st_size
    store = sqlite_place.open()
    store.create()
    fill(store, record(1), cookie=b"1")
    consistent(store)
    store.close()
    assert sqlite_place.open().origin == origin(b"1")


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_killed_after_a_commit(kind: str, tmp_path: Path) -> None:
    place = Place(kind, tmp_path)
    place.make(*TREE, cookie=b"0")

    def act() -> None:
        fill(place.open(), record(9), cookie=b"1")
        die()

    assert in_child(act) == -signal.SIGKILL
    store = place.open()
    assert store.get(uid(9)) == record(9)
    assert store.origin == origin(b"1")
    assert store.trusted
    consistent(store)
    place.close()


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_killed_without_having_written(kind: str, tmp_path: Path) -> None:
    place = Place(kind, tmp_path)
    place.make(*TREE, cookie=b"0")

    def act() -> None:
        store = place.open()
        store.begin()
        store.put(record(9))
        die()

    assert in_child(act) == -signal.SIGKILL
    store = place.open()
    assert store.trusted
    assert len(store) == 3
    place.close()


def test_user_tables_are_committed_with_the_entries(sqlite_place: Place) -> None:
    def act() -> None:
        store = sqlite_place.create()
        sqlite(store).execute("CREATE TABLE audit (dn TEXT)")
        for number in (1, 2):
            store.begin()
            sqlite(store).execute("INSERT INTO audit VALUES (?)", (f"cn={number},dc=x",))
            store.put(record(number))
            if number == 2:
                die()
            store.commit(origin(b"1"))

    assert in_child(act) == -signal.SIGKILL
    store = sqlite_place.open()
    told = [dn for (dn,) in sqlite(store).execute("SELECT dn FROM audit")]
    assert told == list(store.items()) == ["cn=1,dc=x"]
    store.begin()
    sqlite(store).execute("DELETE FROM audit")
    store.remove(uid(1))
    store.rollback()
    assert sqlite(store).execute("SELECT count(*) FROM audit").fetchone() == (1,)
    assert len(store) == 1


def test_a_savepoint_undoes_user_tables_too(sqlite_place: Place) -> None:
    store = sqlite_place.create()
    connection = sqlite(store)
    connection.execute("CREATE TABLE audit (dn TEXT)")
    store.begin()
    connection.execute("INSERT INTO audit VALUES ('kept')")
    mine = ("INSERT INTO audit VALUES ('undone')", "SAVEPOINT mine", "DELETE FROM audit")
    acts = [lambda sql=sql: connection.execute(sql) for sql in mine]
    with pytest.raises(Refused):
        in_savepoint(store, *acts, lambda: store.put(record(1)))
    with store.savepoint():
        connection.execute("INSERT INTO audit VALUES ('kept too')")
        store.put(record(2))
    store.commit(origin(b"1"))
    store.close()
    store = sqlite_place.open()
    assert [*sqlite(store).execute("SELECT dn FROM audit")] == [("kept",), ("kept too",)]
    assert list(store.live()) == [record(2)]


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK", "ROLLBACK; BEGIN", "COMMIT; BEGIN"])
def test_a_callback_that_ends_the_transaction_in_a_savepoint(sqlite_place: Place, end: str) -> None:
    store = sqlite_place.create(record(1), cookie=b"0")
    store.begin()
    acts = [lambda sql=sql: sqlite(store).execute(sql) for sql in end.split("; ")]
    with pytest.raises(StoreError):
        in_savepoint(store, lambda: store.put(record(2)), *acts, refuse=False)
    store.rollback()
    assert store.origin.cookie == b"0"


# --- locked


CHILD = """
import sys
from syncrepl_client.exceptions import StoreLocked
from syncrepl_client.store import open_store
try:
    store = open_store(sys.argv[1], sys.argv[2])
    store.create()
except StoreLocked as error:
    print("locked", error, flush=True)
else:
    print("open", flush=True)
    sys.stdin.read()
    store.close()
"""


READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(connection.execute("SELECT count(*) FROM syncrepl_entry").fetchone())
connection.close()
"""


@contextmanager
def another_process(place: Place) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Open the store in a process of its own; what became of it, and the process."""
    command = [sys.executable, "-c", CHILD, place.kind, place.prefix]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        yield process.stdout.readline(), process


def test_one_client_in_a_process(file_place: Place) -> None:
    first = file_place.create(record(1))
    with pytest.raises(StoreLocked, match="in use"):
        file_place.open()
    fill(first, record(2), cookie=b"1")
    first.close()
    assert len(file_place.open()) == 2


def test_one_of_two_makes_it(file_place: Place) -> None:
    first, second = file_place.open(), file_place.open()
    first.create()
    with pytest.raises(StoreLocked):
        second.create()
    assert not second.exists
    first.close()


def test_a_path_written_another_way(file_place: Place) -> None:
    file_place.create(record(1))
    again = Place(file_place.kind, file_place.directory / "." / ".." / file_place.directory.name)
    with pytest.raises(StoreLocked):
        again.open()


def test_one_client_of_all_processes(file_place: Place) -> None:
    file_place.create(record(1), cookie=b"0")
    with another_process(file_place) as (said, _):
        assert said.startswith("locked")
    assert file_place.path.name in said
    file_place.close()
    with another_process(file_place) as (said, process):
        assert said == "open\n"
        with pytest.raises(StoreLocked):
            file_place.open()
        process.kill()
    assert len(file_place.open()) == 1


def test_a_refused_store_is_not_locked(file_place: Place) -> None:
    """The lock of the first is still there after a second was refused: SQLite's are per process."""
    file_place.create(record(1))
    with pytest.raises(StoreLocked):
        file_place.open()
    with another_process(file_place) as (said, _):
        assert said.startswith("locked")


def test_a_refused_open_leaves_sqlites_own_locks(sqlite_place: Place) -> None:
    """A process that closes any descriptor of a file loses its fcntl locks on it.

    Then somebody who merely reads the database would take its log away when he closes it.
    """
    store = sqlite_place.create(record(1), cookie=b"0")
    with pytest.raises(StoreLocked):
        sqlite_place.open()
    command = [sys.executable, "-c", READER, str(sqlite_place.path)]
    assert subprocess.check_output(command, text=True) == "(1,)\n"
    assert f"{sqlite_place.path.name}-wal" in sqlite_place.files()
    fill(store, record(2), cookie=b"1")
    store.close()
    assert len(sqlite_place.open()) == 2


# --- versions


def set_version(place: Place, version: int) -> None:
    if place.kind == "sqlite":
        with closing(sqlite3.connect(place.path)) as connection:
            connection.execute(f"PRAGMA user_version = {version}")
    else:
        path = Path(journal_path(str(place.path)))
        start = journal_header(NO_BASE, version)
        path.write_bytes(start + path.read_bytes()[len(start) :])


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 1000])
def test_a_newer_format_is_refused(file_place: Place, version: int) -> None:
    file_place.make(*TREE)
    set_version(file_place, version)
    before = file_place.files()
    with pytest.raises(StoreVersionError, match=rf"format {version}.*upgrade"):
        file_place.open()
    assert file_place.files() == before
    set_version(file_place, FORMAT_VERSION)
    assert len(file_place.open()) == 3


def test_a_format_that_never_was(file_place: Place) -> None:
    file_place.make(*TREE)
    set_version(file_place, 0)
    before = file_place.files()
    with pytest.raises(StoreError):
        file_place.open()
    assert file_place.files() == before


SQLITE_FORMAT_1 = """
PRAGMA journal_mode = WAL;
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
    url TEXT
);
INSERT INTO syncrepl_origin (only) VALUES (1);
PRAGMA application_id = 1397902403;
PRAGMA user_version = 1;
COMMIT;
"""
ORIGIN_1 = origin(b"c")._replace(identity=None, epoch=None, reconciled=None, known=None, tally=None)


def sqlite_format_1(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(SQLITE_FORMAT_1)
        connection.execute("UPDATE syncrepl_origin SET cookie = ?, dialect = ?, url = ?",
                           ORIGIN_1[:3])  # fmt: skip
        connection.executemany(
            "INSERT INTO syncrepl_entry (uuid, key, dn, attrs) VALUES (?, ?, ?, ?)", TREE
        )


def sqlite_format(version: int, path: Path, records: Iterable[Record], kept: Origin) -> None:
    """Write a store as it was written before format 5."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(SQLITE_FORMAT_1)
        for each in range(1, version):
            for statement in schema.MIGRATION[each]:
                connection.execute(statement)
        connection.execute(
            "UPDATE syncrepl_origin SET cookie = ?, dialect = ?, url = ?, identity = ?, epoch = ?, "
            "reconciled = ?",
            kept[:6],
        )
        connection.executemany(
            "INSERT INTO syncrepl_entry (uuid, key, dn, attrs) VALUES (?, ?, ?, ?)", records
        )


OLD_ORIGIN = origin(b"1")._replace(known=None, tally=None)


def put_format(version: int, place: Place, *records: Record) -> None:
    """Leave a store of that format there, 2 at least, closed."""
    if place.kind == "sqlite":
        sqlite_format(version, place.path, records, OLD_ORIGIN)
        return
    store = place.create(*records)
    store.begin()
    store.commit(OLD_ORIGIN)
    store.close()
    path = Path(journal_path(str(place.path)))
    content = path.read_bytes()
    assert content.startswith(journal_header(NO_BASE))
    path.write_bytes(journal_header(NO_BASE, version) + content[len(journal_header(NO_BASE)) :])


def version_of(place: Place) -> int:
    if place.kind == "sqlite":
        with closing(sqlite3.connect(place.path)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            return int(version)
    kept = Journal(journal_path(str(place.path)))
    kept.close()
    return kept.version


def put_format_1(place: Place) -> None:
    if place.kind == "sqlite":
        sqlite_format_1(place.path)
    else:
        shelf_format_1(place.path, TREE, ORIGIN_1)


def test_format_1_is_migrated(file_place: Place) -> None:
    put_format_1(file_place)
    for _ in range(2):
        store = file_place.open()
        assert store.trusted
        assert store.origin == ORIGIN_1
        assert [each.uuid for each in store.live()] == [each.uuid for each in TREE]
        consistent(store)
        store.close()
    store = file_place.open()
    fill(store, record(9), cookie=b"2")
    store.close()
    store = file_place.open()
    assert store.origin == origin(b"2")
    assert len(store) == 4


def test_what_sqlite_rolled_back_by_itself_is_not_written_later(sqlite_place: Place) -> None:
    """It does where the disk is full, for one."""
    store = sqlite_place.create()
    fill(store, record(1, "cn=a"))
    store.begin()
    store.put(record(1, "cn=b"))
    store.put(record(2, "cn=c"))
    store.seen.mark_placed(uid(1))
    store.connection.execute("ROLLBACK")
    store.rollback()
    assert list(store.items()) == ["cn=a"]
    store.begin()
    store.put(record(3, "cn=d"))
    store.commit(origin(b"c"))
    assert list(store.items()) == ["cn=a", "cn=d"]
    assert not store.seen.is_placed(uid(1))
    consistent(store)


def test_a_callback_rolls_back_to_a_savepoint_of_its_own(sqlite_place: Place) -> None:
    """What it had the store write in there, by reading, is written in the end all the same."""
    store = sqlite_place.create()
    fill(store, record(1, "cn=a"), record(2, "cn=b"))
    store.begin()
    store.put(record(1, "cn=c"))
    store.put(record(2, "cn=a"))
    store.put(record(3, "cn=b"))
    store.in_callback = True
    store.connection.execute("SAVEPOINT mine")
    expected = ["cn=a", "cn=b", "cn=c"]
    assert list(store.items()) == expected
    assert len(store) == 3
    assert [store.get(uid(number)) is None for number in range(1, 3000)].count(False) == 3
    store.connection.execute("ROLLBACK TO mine")
    store.in_callback = False
    assert list(store.items()) == expected
    store.put(record(4, "cn=d"))
    store.commit(origin(b"c"))
    assert list(store.items()) == [*expected, "cn=d"]
    consistent(store)


def test_format_2_is_migrated(file_place: Place) -> None:
    """It knew attributes with their lengths only, and could not read what is written now."""
    entry = record(1)._replace(attrs=b'{"cn":[1,2]}\nabb')
    put_format(2, file_place, entry)
    store = file_place.open()
    assert store.items()[entry.dn] == {"cn": [b"a", b"bb"]}
    fill(store, record(2), cookie=b"2")
    store.close()
    assert version_of(file_place) == FORMAT_VERSION
    store = file_place.open()
    assert store.origin == origin(b"2")
    assert len(store) == 2


def test_a_migrated_file_has_the_schema_of_a_new_one(sqlite_place: Place, tmp_path: Path) -> None:
    """But for the spelling: the columns, their order and their types."""

    def columns(place: Place) -> list[Any]:
        place.create().close()
        with closing(sqlite3.connect(place.path)) as connection:
            return [
                connection.execute(pragma).fetchall()
                for pragma in ("PRAGMA table_info(syncrepl_entry)",
                               "PRAGMA table_info(syncrepl_origin)", "PRAGMA user_version")
            ]  # fmt: skip

    sqlite_format_1(sqlite_place.path)
    (tmp_path / "new").mkdir()
    new = Place("sqlite", tmp_path / "new")
    found = columns(new)
    assert columns(sqlite_place) == found
    assert tuple(column[1] for column in found[1][1:]) == (*Origin._fields, "namesakes")


def keyed(old: bytes, each: Record) -> Record:
    """That entry, with the key that a format before 5 gave to it."""
    return each._replace(key=old)


OLD_KEYS = [
    record(1, "dc=x"),
    keyed(b"dc=x\0ou=strasse\0", record(2, "ou=Straße,dc=x")),
    keyed(b"dc=x\0ou=strasse\0cn=a b\0", record(3, "cn=a\N{NO-BREAK SPACE}b,ou=Straße,dc=x")),
    keyed(b"dc=x\0labeleduri=http://h/a\0", record(4, "labeledURI=http://h/A,dc=x")),
    keyed(b"dc=x\0cn=i\0", record(5, "cn=\\20i,dc=x")),
    # Each has the key that the other is to have.
    keyed(dn.key("cn=7,dc=x"), record(6)),
    keyed(dn.key("cn=6,dc=x"), record(7)),
    keyed(
        dn.displaced(uid(2), b"cn=\xcf\x83\0cn=ss\0", uid(8)),
        record(8, "cn=ß,cn=ς,ou=Straße,dc=x"),
    ),
    reference(9),
    keyed(b"no dn\0", record(10)._replace(dn="no DN")),
]


@pytest.mark.parametrize("version", [2, 3, 4])
def test_keys_of_older_formats_are_made_anew(file_place: Place, version: int) -> None:
    put_format(version, file_place, *OLD_KEYS)
    expected = {each.uuid: each._replace(key=dn.key(each.dn)) for each in OLD_KEYS[:7]}
    expected[uid(8)] = OLD_KEYS[7]._replace(
        key=dn.displaced(uid(2), "cn=ς\0cn=ß\0".encode(), uid(8))
    )
    expected.update({each.uuid: each for each in OLD_KEYS[8:]})
    for _ in range(2):
        store = file_place.open()
        assert {number: store.get(number) for number in expected} == expected
        assert store.origin == OLD_ORIGIN
        assert store.trusted
        assert not store.namesakes
        consistent(store)
        store.close()
        assert version_of(file_place) == FORMAT_VERSION


def test_an_older_format_is_read_by_dn_as_it_is(sqlite_place: Place) -> None:
    put_format(4, sqlite_place, *OLD_KEYS[:8])
    before = sqlite_place.path.read_bytes()
    with read_store(sqlite_place.prefix) as reader:
        items = reader.items()
        assert len(items) == 7
        assert items["OU=Straße,DC=x"] == items["cn=7,dc=x"] == {}
        assert "ou=Strasse,dc=x" not in items
    assert sqlite_place.path.read_bytes() == before


def test_what_is_held_back_keeps_its_entry(sqlite_place: Place) -> None:
    put_format(3, sqlite_place, *OLD_KEYS[:8])
    with closing(sqlite3.connect(sqlite_place.path)) as connection, connection:
        connection.execute(
            "CREATE TABLE syncrepl_held_back (key BLOB NOT NULL PRIMARY KEY) WITHOUT ROWID"
        )
        held = [(OLD_KEYS[number].key,) for number in (1, 2, 6)] + [(b"nobody\0",)]
        connection.executemany("INSERT INTO syncrepl_held_back VALUES (?)", held)
    for _ in range(2):
        store = sqlite_place.open()
        state = open_state(store)
        Arrangement(store, state, b"dc=x\0")
        expected = {(dn.key(OLD_KEYS[number].dn), uid(number + 1)) for number in (1, 2, 6)}
        assert set(state.held()) == expected
        store.close()


@pytest.mark.parametrize("step", ["append", "replace"])
@pytest.mark.parametrize("done", [False, True])
def test_killed_while_keys_are_made_anew(
    tmp_path: Path, step: str, done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a shelf: before or after the commit of the keys, or of the version."""
    place = Place("shelve", tmp_path)
    put_format(3, place, *OLD_KEYS)
    original = getattr(Journal, step)

    def dying(*args: Any) -> None:
        if done:
            original(*args)
        die()

    with monkeypatch.context() as patch:
        patch.setattr(Journal, step, dying)
        assert in_child(lambda: place.open().close()) == -signal.SIGKILL
    store = place.open()
    assert store.items()["ou=Straße,dc=x"] == {}
    assert len(store) == 8
    consistent(store)
    place.close()
    assert version_of(place) == FORMAT_VERSION


@pytest.mark.parametrize("statements", range(22))
def test_killed_in_the_middle_of_a_migration(
    sqlite_place: Place, statements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it was cut short before, it is format 1 or 5, and is opened again."""
    sqlite_format_1(sqlite_place.path)
    execute, left = Database.execute, [statements]

    def dying(store: Database, sql: str, values: Any = ()) -> sqlite3.Cursor:
        writes = sql.lstrip().startswith(
            ("BEGIN", "ALTER", "PRAGMA user_version = ", "COMMIT", "CREATE", "UPDATE", "DROP")
        )
        left[0] -= writes
        if writes and left[0] < 0:
            die()
        return execute(store, sql, values)

    monkeypatch.setattr(Database, "execute", dying)
    status = in_child(lambda: sqlite_place.open().close())
    monkeypatch.undo()
    assert status == (-signal.SIGKILL if statements < 21 else 0)
    with closing(sqlite3.connect(sqlite_place.path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        width = len(connection.execute("SELECT * FROM syncrepl_origin").fetchone())
    assert (version, width) == ((1, 4) if statements < 19 else (5, 10))
    store = sqlite_place.open()
    assert store.origin == ORIGIN_1
    consistent(store)


# --- damaged, or something else


def damage(place: Place, number: int) -> None:
    if place.kind == "sqlite":
        with closing(sqlite3.connect(place.path)) as connection, connection:
            connection.execute(
                "UPDATE syncrepl_entry SET attrs = x'00' WHERE uuid = ?", (uid(number),)
            )
    else:
        with Path(journal_path(str(place.path))).open("ab") as file:
            file.write(journal_record({b"e" + uid(number): b"\0"}))


def test_opening_reads_no_entries(file_place: Place) -> None:
    file_place.make(*TREE)
    damage(file_place, 3)
    store = file_place.open()
    assert len(store) == 3
    assert store.origin.cookie == b"c"
    assert store.items()["dc=x"] == {}
    with pytest.raises(StoreInvalid, match="damaged"):
        store.items()["cn=b,ou=a,dc=x"]


def foreign_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE precious (data)")
        connection.execute("PRAGMA user_version = 1")


def foreign_wal_database(path: Path) -> None:
    foreign_database(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def foreign_dbm(path: Path) -> None:
    with dbm.open(str(path), "c") as file:
        file[b"precious"] = b"data"


def text(path: Path) -> None:
    path.write_text("precious data\n" * 100)


def short_text(path: Path) -> None:
    path.write_text("x")


def header_only(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0")


def header_and_rubbish(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + b"\xa5" * 5000)


def cut_off(path: Path) -> None:
    Place("sqlite", path.parent).make(*TREE)
    path.write_bytes(path.read_bytes()[:2000])


def link_to_text(path: Path) -> None:
    text(path.with_name("target"))
    path.symlink_to(path.with_name("target"))


def link_to_nothing(path: Path) -> None:
    path.symlink_to(path.with_name("target"))


def link_to_a_store(path: Path) -> None:
    other = path.with_name("other")
    other.mkdir()
    Place("sqlite", other).make(*TREE)
    path.symlink_to(other / path.name)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def fifo_for_a_journal(path: Path) -> None:
    os.mkfifo(f"{path}.journal")


@pytest.mark.parametrize(
    ("kind", "put", "error"),
    [
        ("sqlite", text, StoreInvalid),
        ("sqlite", short_text, StoreInvalid),
        ("sqlite", header_only, StoreInvalid),
        ("sqlite", header_and_rubbish, StoreInvalid),
        ("sqlite", cut_off, StoreInvalid),
        ("sqlite", foreign_database, StoreInvalid),
        ("sqlite", foreign_wal_database, StoreInvalid),
        ("sqlite", Path.mkdir, StorePathError),
        ("sqlite", fifo, StorePathError),
        ("sqlite", link_to_text, StorePathError),
        ("sqlite", link_to_nothing, StorePathError),
        ("sqlite", link_to_a_store, StorePathError),
        ("shelve", text, StoreInvalid),
        ("shelve", short_text, StoreInvalid),
        ("shelve", foreign_database, StoreInvalid),
        ("shelve", foreign_dbm, StoreInvalid),
        ("shelve", Path.mkdir, StorePathError),
        ("shelve", fifo, StorePathError),
        ("shelve", fifo_for_a_journal, StorePathError),
        ("shelve", link_to_text, StorePathError),
        ("shelve", link_to_nothing, StorePathError),
    ],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_something_else_is_there(
    kind: str, put: Callable[[Path], None], error: type[StoreError], tmp_path: Path
) -> None:
    place = Place(kind, tmp_path)
    put(place.path)
    before = place.files()
    with pytest.raises(error, match=place.path.name):
        place.open()
    after = place.files()
    if kind == "shelve":  # Python 3.13's dbm.sqlite3 leaves these, also where it only reads
        after = {name: each for name, each in after.items() if not name.endswith(("-wal", "-shm"))}
    assert after == before


LINKED = (".dat", ".dir", ".db", ".pag", ".lock", ".journal", ".journal.new", ".base1",
          ".base2.dat")  # fmt: skip


@pytest.mark.parametrize("suffix", LINKED)
def test_a_link_beside_a_shelf(shelve_place: Place, suffix: str) -> None:
    target = shelve_place.directory / "target"
    target.write_text("precious")
    Path(f"{shelve_place.path}{suffix}").symlink_to(target)
    before = shelve_place.files()
    with pytest.raises(StorePathError):
        shelve_place.open()
    assert shelve_place.files() == before


def test_an_empty_file_is_a_store_whose_making_was_interrupted(sqlite_place: Place) -> None:
    sqlite_place.path.touch()
    store = sqlite_place.open()
    store.create()
    assert store.origin.cookie is None
    assert len(store) == 0


def test_an_empty_dbm_is_a_store_whose_making_was_interrupted(shelve_place: Place) -> None:
    dbm.open(str(shelve_place.path), "c").close()
    store = shelve_place.open()
    store.create()
    assert store.origin.cookie is None
    assert len(store) == 0
    fill(store, record(1), cookie=b"1")
    store.close()
    assert len(shelve_place.open()) == 1


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_no_such_directory(kind: str, tmp_path: Path) -> None:
    for directory in (tmp_path / "missing", tmp_path / "file"):
        (tmp_path / "file").touch()
        with pytest.raises(StorePathError, match=directory.name):
            Place(kind, directory).open()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# --- permissions


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be nobody for a while, where these tests run as root."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def public_place(request: Any) -> Iterator[Place]:
    """A store in a directory that everybody may read and write."""
    with tempfile.TemporaryDirectory() as name:
        place = Place(request.param, Path(name))
        place.make(*TREE)  # imports what opening one imports
        for path in place.directory.iterdir():
            path.chmod(0o666)
        place.directory.chmod(0o777)
        yield place
        place.close()
        place.directory.chmod(0o700)


EVERY_PUBLIC_PLACE = pytest.mark.parametrize("public_place", FILE_KINDS, indirect=True)


@EVERY_PUBLIC_PLACE
def test_a_directory_that_cannot_be_written(public_place: Place) -> None:
    for path in list(public_place.directory.iterdir()):
        path.unlink()
    public_place.directory.chmod(0o555)
    with unprivileged(), pytest.raises(StorePathError, match="written"):
        public_place.open()
    assert public_place.files() == {}


@EVERY_PUBLIC_PLACE
@pytest.mark.parametrize("mode", [0o000, 0o444, 0o222])
def test_files_that_cannot_be_opened(public_place: Place, mode: int) -> None:
    before = public_place.files()
    for path in public_place.directory.iterdir():
        path.chmod(mode)
    with unprivileged(), pytest.raises(StoreError):
        public_place.open()
    for path in public_place.directory.iterdir():
        path.chmod(0o666)
    assert public_place.files() == before
    assert len(public_place.open()) == 3


@pytest.mark.parametrize("public_place", ["sqlite"], indirect=True)
def test_a_store_in_a_directory_that_cannot_be_written(public_place: Place) -> None:
    before = public_place.files()
    public_place.directory.chmod(0o555)
    with unprivileged(), pytest.raises(StoreError):
        public_place.open()
    assert public_place.files() == before


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_the_owner_may_read(file_place: Place, umask: int) -> None:
    before = os.umask(umask)
    try:
        store = file_place.create(*TREE, cookie=b"0")
        store.begin()
        store.put(record(9))
        while_open = file_place.files()
        store.close()
    finally:
        os.umask(before)
    if file_place.kind == "sqlite":
        assert set(while_open) == {f"{file_place.path.name}{end}" for end in ("", "-wal", "-shm")}
    for files in (while_open, file_place.files()):
        assert {stat.S_IMODE(mode) for mode, _ in files.values()} == {0o600}


# --- SQLite


def test_how_sqlite_works(sqlite_place: Place) -> None:
    """A killed process loses nothing that was committed; what a refresh named is on disk."""
    connection = sqlite(sqlite_place.create())
    for pragma, value in (("journal_mode", "wal"), ("synchronous", 1), ("temp_store", 1)):
        assert connection.execute(f"PRAGMA {pragma}").fetchone() == (value,)


def test_another_thread_may_use_it(sqlite_place: Place) -> None:
    """One at a time: poll() may run in another thread than the constructor did."""
    store = sqlite_place.create()
    with ThreadPoolExecutor(1) as executor:
        executor.submit(fill, store, *TREE, cookie=b"1").result()
        assert len(executor.submit(lambda: list(store.live())).result()) == 3
    assert len(store) == 3


def test_one_sqlite_file_is_left(sqlite_place: Place) -> None:
    sqlite_place.make(*TREE)
    assert list(sqlite_place.files()) == ["syncrepl.sqlite3"]


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_a_callback_that_ends_the_transaction(sqlite_place: Place, end: str) -> None:
    store = sqlite_place.create(record(1), cookie=b"0")
    store.begin()
    store.put(record(2))
    sqlite(store).execute(end)
    assert not store.in_transaction
    with pytest.raises(StoreError, match="callback"):
        store.put(record(3))
    with pytest.raises(StoreError, match="callback"):
        store.commit(origin(b"1"))
    store.rollback()
    assert store.get(uid(3)) is None
    assert store.origin.cookie == b"0"


def test_a_callback_that_uses_the_connection_as_a_context_manager(sqlite_place: Place) -> None:
    store = sqlite_place.create()
    store.begin()
    with sqlite(store):
        sqlite(store).execute("CREATE TABLE audit (dn)")
    with pytest.raises(StoreError, match="context manager"):
        store.commit(origin(b"1"))


def test_a_commit_that_sqlite_refuses(sqlite_place: Place) -> None:
    store = sqlite_place.create(record(1), cookie=b"0")
    sqlite(store).executescript(
        "PRAGMA foreign_keys = ON; CREATE TABLE one (id PRIMARY KEY);"
        "CREATE TABLE other (id REFERENCES one DEFERRABLE INITIALLY DEFERRED);"
    )
    store.begin()
    store.put(record(2))
    sqlite(store).execute("INSERT INTO other VALUES (1)")
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        store.commit(origin(b"1"))
    assert store.in_transaction
    store.rollback()
    assert store.origin.cookie == b"0"
    assert len(store) == 1
    fill(store, record(2), cookie=b"1")
    assert len(store) == 2


def test_user_tables_outlive_a_new_start(sqlite_place: Place) -> None:
    store = sqlite_place.create()
    sqlite(store).execute("CREATE TABLE audit (dn)")
    store.begin()
    sqlite(store).execute("INSERT INTO audit VALUES ('cn=1')")
    store.commit()
    store.close()
    assert sqlite(sqlite_place.open()).execute("SELECT dn FROM audit").fetchall() == [("cn=1",)]


def test_a_store_without_its_origin(sqlite_place: Place) -> None:
    sqlite_place.make(*TREE)
    with closing(sqlite3.connect(sqlite_place.path)) as connection, connection:
        connection.execute("DELETE FROM syncrepl_origin")
    with pytest.raises(StoreInvalid, match="damaged"):
        _ = sqlite_place.open().origin
