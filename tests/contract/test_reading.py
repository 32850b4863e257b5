# SPDX-License-Identifier: BSD-3-Clause
"""A look into a store, beside a client or without one: nothing is created or changed."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from syncrepl_client.entries.attributes import decode
from syncrepl_client.exceptions import StoreError, StoreInvalid, StorePathError, StoreVersionError
from syncrepl_client.store import SQLiteStore, StoreReader, read_store
from tests.contract.places import Place, displaced, fill, record
from tests.contract.test_files import ORIGIN_1, TREE, sqlite_format_1


def names(reader: StoreReader) -> list[str]:
    return [each.dn for each in reader.live()]


def test_a_store_that_nobody_has_open(sqlite_place: Place) -> None:
    sqlite_place.make(*TREE, displaced(99, "cn=gone,dc=x"), cookie=b"c")
    before = sqlite_place.files()
    with read_store(sqlite_place.prefix) as reader:
        assert list(reader.live()) == sorted(TREE, key=lambda each: each.key)
        assert len(reader) == len(TREE)
        assert dict(reader.items()) == {each.dn: decode(each.attrs) for each in TREE}
        assert reader.items()[TREE[-1].dn.upper()] == decode(TREE[-1].attrs)
        assert "cn=gone,dc=x" not in reader.items()
        assert reader.origin.cookie == b"c"
        assert not reader.in_use
        assert reader.changed == pytest.approx(sqlite_place.path.stat().st_mtime)
    assert sqlite_place.files() == before


def test_one_commit_is_seen_while_a_client_writes(sqlite_place: Place) -> None:
    store = sqlite_place.create(*TREE, cookie=b"c")
    with read_store(sqlite_place.prefix) as reader:
        assert reader.in_use
        fill(store, record(50, "cn=new,dc=x"), cookie=b"d")
        assert (len(reader), reader.origin.cookie) == (len(TREE), b"c")
        assert "cn=new,dc=x" not in names(reader)
        with read_store(sqlite_place.prefix) as later:
            assert (len(later), later.origin.cookie) == (len(TREE) + 1, b"d")
        store.begin()
        store.put(record(51, "cn=open,dc=x"))
        with read_store(sqlite_place.prefix) as later:
            assert "cn=open,dc=x" not in names(later)
        store.commit()
    store.close()
    assert sorted(sqlite_place.files()) == ["syncrepl.sqlite3"]


def test_a_client_may_begin_and_end_meanwhile(sqlite_place: Place) -> None:
    sqlite_place.make(*TREE)
    with read_store(sqlite_place.prefix) as reader:
        sqlite_place.create(record(60, "cn=new,dc=x"), cookie=b"d").close()
        assert len(reader) == len(TREE)
    assert sorted(sqlite_place.files()) == ["syncrepl.sqlite3"]
    with read_store(sqlite_place.prefix) as reader:
        assert len(reader) == len(TREE) + 1


KILLED = """
import os, sys
from syncrepl_client.store import open_store
from tests.contract.places import fill, record
store = open_store("sqlite", sys.argv[1])
store.create()
fill(store, record(1, "cn=kept,dc=x"), cookie=b"c")
store.begin()
store.put(record(2, "cn=lost,dc=x"))
os.kill(os.getpid(), 9)
"""


def test_a_store_whose_client_was_killed(tmp_path: Path) -> None:
    prefix = f"{tmp_path}/"
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", KILLED, prefix], env=environment)
    assert done.returncode == -signal.SIGKILL
    before = (tmp_path / "syncrepl.sqlite3").read_bytes()
    with read_store(prefix) as reader:
        assert names(reader) == ["cn=kept,dc=x"]
        assert not reader.in_use
    assert (tmp_path / "syncrepl.sqlite3").read_bytes() == before
    SQLiteStore(str(tmp_path / "syncrepl.sqlite3")).close()


def test_format_1_is_read_and_not_migrated(sqlite_place: Place) -> None:
    sqlite_format_1(sqlite_place.path)
    with read_store(sqlite_place.prefix) as reader:
        assert sorted(reader.live()) == sorted(TREE)
        assert reader.origin == ORIGIN_1
    with sqlite3.connect(sqlite_place.path) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
    database.close()


def test_a_copy(sqlite_place: Place, tmp_path: Path) -> None:
    store = sqlite_place.create(*TREE, cookie=b"c")
    there = tmp_path / "there"
    there.mkdir()
    with read_store(sqlite_place.prefix) as reader:
        fill(store, record(50, "cn=new,dc=x"), cookie=b"d")
        reader.copy(str(there / "syncrepl.sqlite3"))
        with pytest.raises(StoreError, match="can't be copied"):
            reader.copy(str(there / "nowhere" / "syncrepl.sqlite3"))
        with pytest.raises(StoreError, match="File exists"):
            reader.copy(str(there / "syncrepl.sqlite3"))
    assert stat.S_IMODE((there / "syncrepl.sqlite3").stat().st_mode) == 0o600
    copy = SQLiteStore(str(there / "syncrepl.sqlite3"))
    assert (len(copy), copy.origin.cookie) == (len(TREE), b"c")
    copy.close()


def test_a_directory_that_may_not_be_written(sqlite_place: Place) -> None:
    sqlite_place.make(*TREE)
    mode = stat.S_IMODE(sqlite_place.directory.stat().st_mode)
    sqlite_place.directory.chmod(0o500)
    try:
        with read_store(sqlite_place.prefix) as reader:
            assert len(reader) == len(TREE)
    finally:
        sqlite_place.directory.chmod(mode)
    assert sorted(sqlite_place.files()) == ["syncrepl.sqlite3"]


def test_odd_names(tmp_path: Path) -> None:
    """SQLite takes a URI here; a relative path, and one with two slashes, are found too."""
    there = Place("sqlite", tmp_path / "a b?c#d%20é")
    there.directory.mkdir()
    there.make(*TREE)
    for prefix in (there.prefix, "/" + there.prefix, os.path.relpath(there.prefix) + "/"):
        with read_store(prefix) as reader:
            assert len(reader) == len(TREE)
    there.close()


def test_what_is_no_store(sqlite_place: Place, tmp_path: Path) -> None:
    with pytest.raises(StorePathError, match="there is no data store"):
        read_store(sqlite_place.prefix)
    assert sqlite_place.files() == {}

    sqlite_place.path.write_bytes(b"nothing of the kind")
    before = sqlite_place.files()
    with pytest.raises(StoreInvalid):
        read_store(sqlite_place.prefix)
    assert sqlite_place.files() == before

    sqlite_place.path.unlink()
    sqlite3.connect(sqlite_place.path).execute("CREATE TABLE t (x)").connection.close()
    with pytest.raises(StoreInvalid, match="not a data store"):
        read_store(sqlite_place.prefix)

    sqlite_place.path.unlink()
    sqlite_place.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorePathError, match="symbolic link"):
        read_store(sqlite_place.prefix)


def test_a_newer_format(sqlite_place: Place) -> None:
    sqlite_place.make(*TREE)
    with sqlite3.connect(sqlite_place.path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreVersionError):
        read_store(sqlite_place.prefix)


def test_a_shelve_store(shelve_place: Place) -> None:
    shelve_place.make(*TREE)
    with pytest.raises(StorePathError, match="shelve store"):
        read_store(shelve_place.prefix)
