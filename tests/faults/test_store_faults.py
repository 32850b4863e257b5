# SPDX-License-Identifier: BSD-3-Clause
"""The local files fail: full, read-only, cut off, overwritten, too new, taken, gone.

Each leads to a StoreError, nothing is wiped, and once it is mended the client goes on from the
last commit.  The mirror refuses what is reported twice, so "exactly once" is watched throughout.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ldap
import pytest

from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.exceptions import StoreError, StoreLocked, StoreVersionError
from syncrepl_client.store import SQLiteStore
from syncrepl_client.store.base import FORMAT_VERSION
from syncrepl_client.store.shelve.journal import NO_BASE, header
from tests.mirror import Content, Mirror, content, server_content
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd
from tests.servers.people import person, person_dn

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("sqlite", "shelve")
PERSIST, REFRESH = SyncreplMode.REFRESH_AND_PERSIST, SyncreplMode.REFRESH_ONLY
MEBIBYTE = 1 << 20
FILE_NAMES = {"sqlite": "syncrepl.sqlite3", "shelve": "syncrepl.shelve"}

both = pytest.mark.parametrize("kind", KINDS)


class Directory:
    """A server, and clients of it with one data path and one mirror."""

    def __init__(self, server: Slapd, path: Path, kind: str) -> None:
        self.server = server
        self.path = path
        self.kind = kind
        self.mirror = Mirror()
        self.count = 0

    # the server

    def add(self, count: int, *, size: int = 0) -> None:
        with self.server.connected() as connection:
            for _ in range(count):
                attrs = {**person(self.count), "description": [b"x" * (size + 1)]}
                connection.add_s(person_dn(self.count), list(attrs.items()))
                self.count += 1

    def modify_all(self, value: bytes) -> None:
        with self.server.connected() as connection:
            for number in range(self.count):
                change = [(ldap.MOD_REPLACE, "description", [value])]
                connection.modify_s(person_dn(number), change)

    def there(self) -> Content:
        with self.server.connected() as connection:
            return server_content(
                connection, self.server.suffix, ldap.SCOPE_SUBTREE, "(objectClass=*)", []
            )

    # clients

    def open(
        self, mode: SyncreplMode = PERSIST, *, callback: BaseCallback | None = None
    ) -> Syncrepl:
        url = f"{self.server.url}/{self.server.suffix}??sub?(objectClass=*)"
        told = callback or self.mirror
        return Syncrepl(f"{self.path}{os.sep}", told, mode, url, store=self.kind)

    def recover(self, client: Syncrepl | None = None) -> None:
        """Set the mirror to what is committed, as a program must that keeps one in memory."""
        if client is None:
            with self.open() as client:
                self.recover(client)
        else:
            self.mirror.entries = dict(client.store.items().items())
            self.mirror.before_commit()

    def sync(self, mode: SyncreplMode = REFRESH) -> None:
        """Run a client to the end of its refresh, see that all is equal."""
        with self.open(mode) as client:
            self.until_equal(client)

    def until_equal(self, client: Syncrepl) -> None:
        refreshes, there = self.mirror.refreshes, self.there()
        deadline = time.monotonic() + HANGS_SECONDS
        while time.monotonic() < deadline:
            goes_on = client.poll(0.05) and self.mirror.refreshes == refreshes
            if not goes_on and content(self.mirror.entries) == there:
                break
        assert content(self.mirror.entries) == there
        assert content(client.store.items()) == there

    def fails(self, client: Syncrepl, error: type[StoreError] = StoreError) -> StoreError:
        """Poll until the store's failure comes through; go back to the last commit."""
        with pytest.raises(error) as caught:
            self._poll_on(client)
        self.mirror.roll_back()
        return caught.value

    @staticmethod
    def _poll_on(client: Syncrepl) -> None:
        deadline = time.monotonic() + HANGS_SECONDS
        while time.monotonic() < deadline:
            assert client.poll(0.05)

    def refused(self, error: type[StoreError] = StoreError) -> StoreError:
        """See that a new client can't be made, and that no file changed."""
        before = self.files()
        with pytest.raises(error) as caught:
            self.open()
        assert str(self.path) in str(caught.value)
        assert self.files() == before
        return caught.value

    # files

    @property
    def main_file(self) -> Path:
        """The file that holds the entries."""
        name = FILE_NAMES[self.kind]
        return self.path / (name if self.kind == "sqlite" else f"{name}.journal")

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.path.iterdir() if path.is_file()}


@pytest.fixture
def directory(request: Any, tmp_path: Path, run_server: Any, kind: str) -> Directory:
    made = Directory(run_server(Slapd, sessionlog=1000), tmp_path / "state", kind)
    made.path.mkdir()
    return made


# --- file systems of their own


class Disk:
    """A small file system in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ballast = path / "ballast"

    def mount(self, size: int) -> None:
        self._run("mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs")

    def remount(self, options: str) -> None:
        self._run("mount", "-o", f"remount,{options}")

    def _run(self, *command: str) -> None:
        subprocess.run([*command, str(self.path)], check=True, capture_output=True)

    def fill(self, leave: int = 0) -> None:
        """Take all the space there is, give back so much of it."""
        with self.ballast.open("wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * 4096)
            file.truncate(max(0, file.tell() - leave))

    def free(self) -> None:
        self.ballast.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "disk")
    disk.path.mkdir()
    try:
        disk.mount(4 * MEBIBYTE)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a file system of its own can't be mounted here: {error}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk.path)], check=True)


@both
def test_the_disk_is_full_from_the_start(directory: Directory, disk: Disk) -> None:
    directory.path = disk.path
    directory.add(5)
    disk.fill()
    with pytest.raises(StoreError):
        directory.sync()
    directory.mirror.roll_back()
    assert directory.mirror.entries == {}
    disk.free()
    directory.sync()


@both
@pytest.mark.parametrize("leave", [64 * 1024, 256 * 1024])
def test_the_disk_is_full_in_the_refresh(directory: Directory, disk: Disk, leave: int) -> None:
    directory.path = disk.path
    directory.add(60, size=20000)
    disk.fill(leave)
    with pytest.raises(StoreError):
        directory.sync()
    disk.free()
    directory.recover()
    directory.sync()


@both
@pytest.mark.parametrize("again", ["the same client", "a new client"])
def test_the_disk_is_full_while_persisting(directory: Directory, disk: Disk, again: str) -> None:
    directory.path = disk.path
    directory.add(20)
    with directory.open() as client:
        directory.until_equal(client)
        committed = directory.there()
        disk.fill()
        directory.add(60, size=20000)
        directory.fails(client)
        if directory.kind == "sqlite":
            held = content(client.store.items())
            assert committed.items() <= held.items() <= directory.there().items()
            directory.recover(client)
            directory.fails(client)  # it stays an error, as long as there is no space
            directory.recover(client)
            if again == "the same client":
                disk.free()
                directory.until_equal(client)
    if disk.ballast.exists():
        disk.free()
        directory.recover()
        assert committed.items() <= content(directory.mirror.entries).items()
        directory.sync()


class Audit(BaseCallback):
    """Writes each add into a table of its own, in the store's transaction."""

    def __init__(self) -> None:
        self.client: Syncrepl | None = None

    def execute(self, sql: str, *values: str) -> sqlite3.Cursor:
        assert self.client is not None
        assert isinstance(self.client.store, SQLiteStore)
        return self.client.store.connection.execute(sql, values)

    def record_add(self, dn: str, attrs: Attributes) -> None:
        self.execute("INSERT INTO audit VALUES (?)", dn)

    def told(self) -> list[str]:
        return sorted(dn for (dn,) in self.execute("SELECT dn FROM audit"))


@pytest.mark.parametrize("kind", ["sqlite"])
def test_a_users_table_is_exactly_once_though_the_disk_was_full(
    directory: Directory, disk: Disk
) -> None:
    directory.path, audit = disk.path, Audit()
    with directory.open(callback=audit) as client:
        audit.client = client
        audit.execute("CREATE TABLE audit (dn TEXT)")
        while not client.refreshed:
            client.poll(1)
        disk.fill()
        directory.add(60, size=20000)
        directory.fails(client)
        assert audit.told() == sorted(client.store.items())
        disk.free()
        while len(client.store.items()) < len(directory.there()):
            assert client.poll(1)
        assert audit.told() == sorted(client.store.items()) == sorted(directory.there())


@both
def test_the_file_system_is_read_only(directory: Directory, disk: Disk) -> None:
    directory.path = disk.path
    directory.add(5)
    directory.sync()
    disk.remount("ro")
    directory.refused()
    disk.remount("rw")
    directory.add(1)
    directory.sync()


@both
def test_a_new_store_on_a_read_only_file_system(directory: Directory, disk: Disk) -> None:
    directory.path = disk.path
    disk.remount("ro")
    directory.refused()
    disk.remount("rw")
    directory.sync()


# --- damaged files


def _attempt(directory: Directory) -> str:
    """Follow every change there is; return how it ended, in the store's words if it failed."""
    try:
        with directory.open() as client:
            directory.until_equal(client)
    except StoreError as error:
        directory.mirror.roll_back()
        return str(error)
    return ""


def _spoil(directory: Directory, data: bytes) -> dict[str, bytes]:
    """Put *data* in the place of the store, change everything, see how a client fails."""
    sound = directory.files()
    directory.main_file.write_bytes(data)
    committed = content(directory.mirror.entries)
    directory.modify_all(b"after the damage")
    said = _attempt(directory)
    assert str(directory.main_file.parent) in said, f"no clear StoreError: {said!r}"
    assert content(directory.mirror.entries).keys() == committed.keys(), "something was lost"
    return sound


def _restore(directory: Directory, sound: dict[str, bytes]) -> None:
    """Put a backup back, with the mirror that goes with it; go on."""
    for path in directory.path.iterdir():
        path.unlink()
    for name, data in sound.items():
        (directory.path / name).write_bytes(data)
    directory.recover()
    directory.sync()


@pytest.mark.parametrize("kind", ["sqlite"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_the_file_is_truncated(directory: Directory, part: float) -> None:
    directory.add(100)
    directory.sync()
    data = directory.main_file.read_bytes()
    _restore(directory, _spoil(directory, data[: int(len(data) * part)]))


@pytest.mark.parametrize("kind", ["sqlite"])
@pytest.mark.parametrize("garbage", [b"\xa5", b"\0", b"\xff"])
def test_the_middle_of_the_file_is_overwritten(directory: Directory, garbage: bytes) -> None:
    directory.add(100)
    directory.sync()
    data = directory.main_file.read_bytes()
    third = len(data) // 3 // 4096 * 4096
    spoilt = data[:third] + garbage * third + data[2 * third :]
    _restore(directory, _spoil(directory, spoilt))


@pytest.mark.parametrize("kind", ["sqlite"])
@pytest.mark.parametrize("page", range(2, 12))
def test_one_page_of_the_file_is_overwritten(directory: Directory, page: int) -> None:
    """Whichever it is: a StoreError, or nobody needed it, and nothing is lost."""
    directory.add(100)
    directory.sync()
    data = bytearray(directory.main_file.read_bytes())
    data[(page - 1) * 4096 : page * 4096] = os.urandom(4096)
    sound = directory.files()
    directory.main_file.write_bytes(data)
    directory.modify_all(b"after the damage")
    said = _attempt(directory)
    if said:
        assert str(directory.path) in said
        _restore(directory, sound)


@pytest.mark.parametrize("kind", ["shelve"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("garbage", [b"", b"\xa5", b"\0"])
def test_a_shelf_is_damaged(directory: Directory, part: float, garbage: bytes) -> None:
    """A StoreError; or what is left is an older state, whole, which is gone on from."""
    directory.add(100)
    directory.sync()
    data = directory.main_file.read_bytes()
    start = int(len(data) * part)
    tail = data[start + 4096 :] if garbage else b""
    sound = directory.files()
    directory.main_file.write_bytes(data[:start] + garbage * 4096 + tail)
    directory.modify_all(b"after the damage")
    before = set(directory.mirror.entries)
    try:
        with directory.open() as client:
            while client.poll(0.05) and not client.refreshed:
                pass
    except (StoreError, AssertionError):  # the mirror knows more than the damaged store
        directory.mirror.roll_back()
    assert set(directory.mirror.entries) >= before - {directory.server.suffix}
    _restore(directory, sound)


# --- from the future, taken, gone


@both
def test_a_store_from_the_future(directory: Directory) -> None:
    directory.add(5)
    directory.sync()
    _set_version(directory, FORMAT_VERSION + 1)
    assert "upgrade" in str(directory.refused(StoreVersionError))
    _set_version(directory, FORMAT_VERSION)
    directory.add(1)
    directory.sync()


def _set_version(directory: Directory, version: int) -> None:
    if directory.kind == "sqlite":
        with contextlib.closing(sqlite3.connect(directory.main_file)) as connection:
            connection.execute(f"PRAGMA user_version = {version}")
    else:
        path = directory.path / f"{FILE_NAMES['shelve']}.journal"
        start = header(NO_BASE, version)
        path.write_bytes(start + path.read_bytes()[len(start) :])


OTHER_PROCESS = """
import sys
from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback
kind, path, url = sys.argv[1:]
client = Syncrepl(path, BaseCallback, SyncreplMode.REFRESH_AND_PERSIST, url, store=kind)
while not client.refreshed:
    client.poll(1)
print("following", flush=True)
while client.poll(1):
    pass
"""


@contextlib.contextmanager
def another_process(directory: Directory) -> Iterator[subprocess.Popen[str]]:
    """A client of the same store in a process of its own, which is killed at the end."""
    url = f"{directory.server.url}/{directory.server.suffix}??sub?(objectClass=*)"
    command = [sys.executable, "-c", OTHER_PROCESS, directory.kind, f"{directory.path}/", url]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "following\n"
            yield process
        finally:
            process.kill()


@both
def test_a_second_process(directory: Directory) -> None:
    directory.add(5)
    directory.sync()
    with another_process(directory), pytest.raises(StoreLocked, match="in use"):
        directory.open()
    directory.add(1)
    directory.sync()


@pytest.mark.parametrize("kind", ["sqlite"])
@pytest.mark.parametrize("ends", [("-wal",), ("-shm",), ("-wal", "-shm")])
@pytest.mark.parametrize("synced", [False, True])
def test_the_wal_of_a_killed_client_is_deleted(
    directory: Directory, ends: tuple[str, ...], synced: bool
) -> None:
    """An older state, whole and with its cookie, or a StoreError; then all is reported anew."""
    directory.add(20)
    if synced:
        directory.sync()
    with another_process(directory) as process:
        directory.add(20)
        process.send_signal(signal.SIGKILL)
        process.wait()
    for end in ends:
        directory.main_file.with_name(f"{directory.main_file.name}{end}").unlink()
    whole = directory.main_file.read_bytes()
    refused = ""
    try:
        directory.recover()
    except StoreError as error:
        refused = str(error)
    if not refused:
        directory.sync()
        return
    assert str(directory.path) in refused
    assert not synced
    assert directory.main_file.read_bytes() == whole


@both
def test_the_directory_is_removed_between_runs(directory: Directory) -> None:
    directory.add(5)
    directory.sync()
    shutil.rmtree(directory.path)
    with pytest.raises(StoreError, match=directory.path.name):
        directory.open()
    assert not directory.path.exists()
    directory.path.mkdir()
    directory.mirror = Mirror()
    directory.sync()


@both
def test_the_directory_is_removed_under_a_client(directory: Directory) -> None:
    """What it commits would be lost with the deleted file, deletes among it for good."""
    directory.add(5)
    moved = directory.path.with_name("moved")
    with contextlib.ExitStack() as stack:
        client = directory.open()
        stack.callback(_unbind, client)
        directory.until_equal(client)
        directory.path.rename(moved)
        directory.add(1)
        directory.fails(client)
    assert not directory.path.exists()
    moved.rename(directory.path)
    directory.recover()
    directory.sync()


def _unbind(client: Syncrepl) -> None:
    with contextlib.suppress(StoreError):  # a shelf can't say that it was closed
        client.unbind()
