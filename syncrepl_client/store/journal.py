# SPDX-License-Identifier: BSD-3-Clause
"""A dbm file that no kill can tear, because nobody writes to it.

What is committed goes to the end of a journal: a record a commit, with its length and its
checksums, and on disk before the commit is done.  Once the journal is long, the dbm file is
copied, the copy gets what the journal holds, and a new, empty journal that names the copy
takes the place of the old one, in one rename.  So at each instant the journal that is there
names a whole dbm file, and its whole records are what was committed since; half a record at
its end is a commit that did not happen.

Two dbm files written in turn would be as safe.  This is simpler: nothing has to be repaired
after a kill, nor found out about which file is torn; and a commit costs what it changes,
where dbm.dumb writes its whole index for each.
"""

import contextlib
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Optional

from ..exceptions import StoreError, StoreInvalid
from . import dbmfile
from .base import FORMAT_VERSION, check_version
from .dbmfile import DbmFile, no_link, storing

Changes = dict[bytes, Optional[bytes]]

CHECKPOINT_BYTES = 4 << 20
"""A journal longer than that becomes a dbm file; so much is kept in memory, about."""

NO_BASE, FORMAT_1_BASE = 0, 1
BASE_ENDS = ("", "", ".base1", ".base2")
"""What the dbm file's name ends with, by its number in the journal."""

_HEADER = struct.Struct(">8sIII")
_MAGIC = b"SRCLshlf"
_RECORD = struct.Struct(">QII")
_PAIR = struct.Struct(">II")
_REMOVED = 0xFFFFFFFF


def header(base: int, version: int = FORMAT_VERSION) -> bytes:
    """Return how a journal on top of the dbm file number *base* begins."""
    start = _HEADER.pack(_MAGIC, version, base, 0)[:-4]
    return start + zlib.crc32(start).to_bytes(4, "big")


def record(changes: Changes) -> bytes:
    """Return a commit as it stands in the journal."""
    parts = []
    for name, value in changes.items():
        parts.append(_PAIR.pack(len(name), _REMOVED if value is None else len(value)))
        parts.append(name)
        parts.append(value or b"")
    payload = b"".join(parts)
    sizes = _RECORD.pack(len(payload), zlib.crc32(payload), 0)[:-4]
    return sizes + zlib.crc32(sizes).to_bytes(4, "big") + payload


def _changes(payload: bytes) -> Iterator[tuple[bytes, Optional[bytes]]]:
    at = 0
    while at < len(payload):
        name_size, size = _PAIR.unpack_from(payload, at)
        at += _PAIR.size
        name = payload[at : at + name_size]
        at += name_size
        if size == _REMOVED:
            yield name, None
        else:
            yield name, payload[at : at + size]
            at += size


class Journal:
    """The file of commits.

    Attributes:
        version: of the format of what is in it.
        base: number of the dbm file below.
        end: its length, in bytes.
    """

    def __init__(self, path: str) -> None:
        """Open the journal at *path*; a symbolic link is not followed.

        Raises:
            StoreInvalid: it is damaged.
            StoreVersionError: its format is newer.
            StoreError: it can't be opened.
        """
        self._path = path
        with storing(path):
            self._file = open(path, "r+b", buffering=0, opener=no_link)  # noqa: SIM115
        try:
            self._read()
        except BaseException:
            self._file.close()
            raise

    def _read(self) -> None:
        with storing(self._path):
            data = self._file.readall()
        self.base = self._base_of(data[: _HEADER.size])
        self.changes: Changes = {}
        at = _HEADER.size
        while at < len(data):
            payload = self._payload(data, at)
            if payload is None:
                break
            try:
                self.changes.update(_changes(payload))
            except struct.error:
                raise self._damaged() from None
            at += _RECORD.size + len(payload)
        self.end = at
        self._cut_due = at < len(data)

    def _base_of(self, start: bytes) -> int:
        if len(start) == _HEADER.size:
            magic, version, base, _ = _HEADER.unpack(start)
            if magic == _MAGIC and start[-4:] == zlib.crc32(start[:-4]).to_bytes(4, "big"):
                self.version = check_version(version, self._path)
                if base < len(BASE_ENDS):
                    return int(base)
        raise self._damaged()

    def _payload(self, data: bytes, at: int) -> Optional[bytes]:
        """Return the record's content; None where a kill or a power failure cut it short."""
        sizes = data[at : at + _RECORD.size]
        if len(sizes) < _RECORD.size or not any(memoryview(data)[at:]):
            return None
        length, checksum, own = _RECORD.unpack(sizes)
        if own != zlib.crc32(sizes[:-4]):
            raise self._damaged()
        end = at + _RECORD.size + length
        payload = data[at + _RECORD.size : end]
        if zlib.crc32(payload) == checksum and len(payload) == length:
            return payload
        if end < len(data):
            raise self._damaged()
        return None

    def _damaged(self) -> StoreInvalid:
        return StoreInvalid(
            f"the data store {self._path!r} is damaged; it was left as it is: put a backup in "
            "its place, or use another data_path"
        )

    @classmethod
    def replace(cls, path: str, base: int) -> None:
        """Put an empty journal on top of the dbm file number *base* in the place of *path*."""
        new = f"{path}.new"
        with storing(path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new)
            with open(new, "xb", buffering=0, opener=no_link) as file:
                file.write(header(base))
                os.fsync(file.fileno())
            os.replace(new, path)
            dbmfile.sync_directory(path)

    def check(self) -> None:
        """See that it is the file at its path, and ends where it should.

        Raises:
            StoreError: it isn't, or what a failed commit left can't be cut off.
        """
        with storing(self._path):
            ours = os.fstat(self._file.fileno())
            if not os.path.lexists(self._path) or not os.path.samestat(ours, os.lstat(self._path)):
                raise StoreError(
                    f"the data store {self._path!r} was removed or replaced under this client"
                )
            if self._cut_due:
                self._cut()

    def append(self, changes: Changes) -> None:
        """Commit *changes*.  Where that fails, they are not there.

        Raises:
            StoreError: it fails.
        """
        data = record(changes)
        self._cut_due = True
        try:
            with storing(self._path):
                self._write(data)
                os.fsync(self._file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):  # check() tries again, and says so
                self._cut()
            raise
        self.end += len(data)
        self._cut_due = False
        self.changes.update(changes)

    def _write(self, data: bytes) -> None:
        self._file.seek(self.end)
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]

    def _cut(self) -> None:
        self._file.truncate(self.end)
        self._cut_due = False

    def close(self) -> None:
        """Close the file, without what a failed commit may have left."""
        with storing(self._path):
            try:
                if self._cut_due:
                    self._cut()
            finally:
                self._file.close()


class JournaledDbm(Mapping[bytes, bytes]):
    """A dbm file, and what its journal says on top of it."""

    def __init__(self, path: str) -> None:
        """Open the store whose files begin with *path*; see :class:`Journal` for what is raised."""
        self._path = path
        self._open()

    def _open(self) -> None:
        journal = Journal(journal_path(self._path))
        try:
            base = None if journal.base == NO_BASE else dbmfile.open_dbm(self._base(journal), "r")
        except BaseException:
            journal.close()
            raise
        self._journal: Journal = journal
        self._dbm: Optional[DbmFile] = base

    def _base(self, journal: Journal) -> str:
        return self._path + BASE_ENDS[journal.base]

    def __getitem__(self, name: bytes) -> bytes:
        changes = self._journal.changes
        value = changes[name] if name in changes or self._dbm is None else self._dbm[name]
        if value is None:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[bytes]:
        changes = self._journal.changes
        yield from [name for name, value in changes.items() if value is not None]
        for name in self._dbm or ():
            if name not in changes:
                yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def prepare(self) -> None:
        """See that a commit can come; make a checkpoint if one is due, or the format is older.

        Raises:
            StoreError: it can't; what was committed is whole.
        """
        self._journal.check()
        if self._journal.end > CHECKPOINT_BYTES or self._journal.version < FORMAT_VERSION:
            self._checkpoint()

    def commit(self, changes: Changes) -> None:
        """Commit *changes*; see :meth:`Journal.append`."""
        self._journal.append(changes)

    def _checkpoint(self) -> None:
        journal, old = self._journal, self._dbm
        base = BASE_ENDS.index(".base1" if journal.base != BASE_ENDS.index(".base1") else ".base2")
        target = self._path + BASE_ENDS[base]
        dbmfile.remove(target)
        if old is not None:
            dbmfile.copy(self._base(journal), target)
        with contextlib.closing(dbmfile.open_dbm(target, "c" if old is None else "w")) as file:
            for name, value in journal.changes.items():
                if value is not None:
                    file[name] = value
                elif name in file:
                    del file[name]
        dbmfile.sync(target)
        Journal.replace(journal_path(self._path), base)
        self._open()
        journal.close()
        if old is not None:
            old.close()
            dbmfile.remove(self._base(journal))

    def close(self) -> None:
        """Close both files."""
        try:
            self._journal.close()
        finally:
            if self._dbm is not None:
                self._dbm.close()


def journal_path(path: str) -> str:
    """Return where the journal of the store *path* is."""
    return f"{path}.journal"
