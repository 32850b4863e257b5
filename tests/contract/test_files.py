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
from collections.abc import Iterator, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Callable

import pytest

from syncrepl_client.exceptions import (
    StoreError,
    StoreInvalid,
    StoreLocked,
    StorePathError,
    StoreVersionError,
)
from syncrepl_client.store import SQLiteStore, Store
from syncrepl_client.store import sqlite as sqlite_module
from tests.contract.places import FILE_KINDS, Place, consistent, fill, origin, record, uid

ROOT = Path(__file__).resolve().parents[2]
TREE = [record(1, "dc=x"), record(2, "ou=a,dc=x"), record(3, "cn=b,ou=a,dc=x")]


def in_child(act: Callable[[], None]) -> int:
    """Run *act* in a child process that has no store open yet; return how it ended."""
    child = os.fork()
    if child == 0:
        try:
            act()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


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
    assert store.trusted is (kind == "sqlite")
    consistent(store)
    place.close()


@pytest.mark.parametrize("last", ["PRAGMA synchronous", "PRAGMA temp_store", "half the schema"])
def test_killed_while_a_store_is_made(
    last: str, sqlite_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To switch to WAL writes a page: the file is a database then, without anything in it."""
    execute = SQLiteStore._execute

    def killing(self: SQLiteStore, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        if sql == sqlite_module._SCRATCH:
            die()
        cursor = execute(self, sql, values)
        if sql.startswith(last):
            die()
        return cursor

    with monkeypatch.context() as patch:
        patch.setattr(SQLiteStore, "_execute", killing)
        half, commit, _ = sqlite_module._SCHEMA.rpartition("COMMIT;")
        assert commit
        patch.setattr(sqlite_module, "_SCHEMA", half)
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
    assert store.trusted is (kind == "sqlite")
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


class Breaking(MutableMapping[bytes, bytes]):
    """A dbm file whose n-th change does not happen."""

    def __init__(self, inner: Any, changes: int, act: Callable[[], None]) -> None:
        self.inner, self.left, self.act = inner, changes, act

    def _change(self) -> None:
        self.left -= 1
        if self.left == -1:
            self.act()

    def __getitem__(self, name: bytes) -> bytes:
        value: bytes = self.inner[name]
        return value

    def __setitem__(self, name: bytes, value: bytes) -> None:
        self._change()
        self.inner[name] = value

    def __delitem__(self, name: bytes) -> None:
        self._change()
        del self.inner[name]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.inner.keys())

    def __len__(self) -> int:
        return len(self.inner.keys())

    def sync(self) -> None:
        if hasattr(self.inner, "sync"):
            self.inner.sync()

    def close(self) -> None:
        self.inner.close()


TOTAL = 17
"""So many changes of the file are in that commit, its mark included."""


def change_everything(store: Any, changes: int, act: Callable[[], None]) -> None:
    """Begin a commit that breaks off after so many *changes* of the file."""
    store._data._dbm = Breaking(store._data._dbm, changes, act)
    store.begin()
    store.put(record(4))
    store.put(record(2, "ou=b,dc=x"))
    store.put(record(3, "cn=b,ou=b,dc=x"))
    store.put(record(4, "ou=a,dc=x"))
    store.remove(uid(1))
    store.commit(origin(b"1"))


@pytest.mark.parametrize("changes", range(TOTAL + 1))
def test_a_shelf_that_was_killed_in_the_middle_of_a_commit(
    shelve_place: Place, changes: int
) -> None:
    shelve_place.make(*TREE, cookie=b"0")
    status = in_child(lambda: change_everything(shelve_place.open(), changes, die))
    assert status == (-signal.SIGKILL if changes < TOTAL else 0)
    store = shelve_place.open()
    assert store.trusted is (changes == 0)  # nothing was written yet, not even the mark
    consistent(store)
    assert {each.uuid for each in store.named.leavers(unnamed=True)} >= {uid(2), uid(3)}
    fill(store, record(1, "dc=x"), cookie=b"2")
    assert store.trusted
    store.close()
    store = shelve_place.open()
    assert store.trusted
    consistent(store)


@pytest.mark.parametrize("changes", [0, 1, 5, 9])
@pytest.mark.parametrize("for_good", [False, True])
def test_a_shelf_whose_commit_failed_is_not_trusted(
    shelve_place: Place, changes: int, for_good: bool
) -> None:
    def fail() -> None:
        if for_good:
            store._data._dbm.left = 0
        raise OSError(28, "No space left on device")

    shelve_place.make(*TREE, cookie=b"0")
    store: Any = shelve_place.open()
    with pytest.raises(StoreError, match="No space"):
        change_everything(store, changes, fail)
    store.rollback()
    if changes > 0:
        with pytest.raises(StoreError, match="half way"):
            store.begin()
    store.close()
    store = shelve_place.open()
    assert store.trusted is (changes == 0)
    consistent(store)


def test_a_shelf_not_trusted_stays_so_until_a_cookie_is_committed(shelve_place: Place) -> None:
    shelve_place.make(*TREE, cookie=b"0")

    def act() -> None:
        fill(shelve_place.open(), record(9))
        die()

    assert in_child(act) == -signal.SIGKILL
    for _ in range(2):
        store = shelve_place.open()
        assert not store.trusted
        fill(store, record(8))
        assert not store.trusted
        store.close()
    fill(shelve_place.open(), cookie=b"1")
    shelve_place.close()
    assert shelve_place.open().trusted


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
        with dbm.open(str(place.path), "w") as file:
            file[b"oversion"] = b"%d" % version


@pytest.mark.parametrize("version", [2, 1000])
def test_a_newer_format_is_refused(file_place: Place, version: int) -> None:
    file_place.make(*TREE)
    set_version(file_place, version)
    before = file_place.files()
    with pytest.raises(StoreVersionError, match=rf"format {version}.*upgrade"):
        file_place.open()
    assert file_place.files() == before
    set_version(file_place, 1)
    assert len(file_place.open()) == 3


def test_a_format_that_never_was(file_place: Place) -> None:
    file_place.make(*TREE)
    set_version(file_place, 0)
    before = file_place.files()
    with pytest.raises(StoreError):
        file_place.open()
    assert file_place.files() == before


# --- damaged, or something else


def damage(place: Place, number: int) -> None:
    if place.kind == "sqlite":
        with closing(sqlite3.connect(place.path)) as connection, connection:
            connection.execute(
                "UPDATE syncrepl_entry SET attrs = x'00' WHERE uuid = ?", (uid(number),)
            )
    else:
        with dbm.open(str(place.path), "w") as file:
            file[b"e" + uid(number)] = b"\0"


def test_opening_reads_no_entries(file_place: Place) -> None:
    file_place.make(*TREE)
    damage(file_place, 3)
    store = file_place.open()
    assert len(store) == 3
    assert store.origin.cookie == b"c"
    assert store.items()["dc=x"] == {}
    with pytest.raises(StoreInvalid, match="damaged"):
        store.items()["cn=b,ou=a,dc=x"]


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        (b"ourl", b"\xff", lambda store: store.origin),
        (b"b", b"many", lambda store: list(store.below(b""))),
        (b"e" + uid(3), b"\0\0\0\0\0\0\0\1\xff", lambda store: store.get(uid(3))),
    ],
)
def test_a_damaged_shelf(
    shelve_place: Place, name: bytes, value: bytes, read: Callable[[Store], Any]
) -> None:
    shelve_place.make(*TREE)
    with dbm.open(str(shelve_place.path), "w") as file:
        file[name] = value
    store = shelve_place.open()
    with pytest.raises(StoreInvalid, match="damaged"):
        read(store)


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


@pytest.mark.parametrize("suffix", [".dat", ".dir", ".db", ".pag", ".lock"])
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
