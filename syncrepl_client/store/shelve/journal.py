# SPDX-License-Identifier: BSD-3-Clause
"""A dbm file with a journal: commits are atomic, and survive a kill at any time.

Commits are appended to a journal: one record each, with its length and checksums, synced before the
commit is done.  When the journal is long, the dbm file is copied, the journal is applied to the
copy, and a new, empty journal that names the copy replaces the old one, with one rename.  So at any
time the journal names a complete dbm file, and its complete records are what was committed since;
an incomplete record at its end is a commit that did not happen.

Two dbm files written in turn would be as safe.  This is simpler: nothing has to be repaired after a
kill, nor is it necessary to find out which file is damaged; and a commit costs what it changes,
while dbm.dumb writes its whole index for each.
"""

import contextlib
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Optional

from ...exceptions import StoreError, StoreInvalid
from ...waiting import forking
from ..base import FORMAT_VERSION, check_version
from . import dbmfile
from .dbmfile import DbmFile, no_link, storing

Changes = dict[bytes, Optional[bytes]]

CHECKPOINT_BYTES = 4 << 20
"""The length of a journal that triggers a checkpoint; its content is kept in memory."""

NO_BASE, FORMAT_1_BASE = 0, 1
BASE_ENDS = ("", "", ".base1", ".base2")
"""Suffixes of the dbm file by its number in the journal."""

_HEADER = struct.Struct(">8sIII")
_MAGIC = b"SRCLshlf"
_RECORD = struct.Struct(">QII")
_PAIR = struct.Struct(">II")
_REMOVED = 0xFFFFFFFF


def header(base: int, version: int = FORMAT_VERSION) -> bytes:
    """Return the header of a journal on top of the dbm file number *base*."""
    start = _HEADER.pack(_MAGIC, version, base, 0)[:-4]
    return start + zlib.crc32(start).to_bytes(4, "big")


def record(changes: Changes) -> bytes:
    """Encode a commit as a record of the journal."""
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
    """The journal file.

    Attributes:
        version: the format version of its content.
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
        forking.register(self)

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
        """Return the content of a record; None if a kill or a power failure truncated it."""
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
    def replace(cls, path: str, base: int, version: int = FORMAT_VERSION) -> None:
        """Replace the journal at *path* by an empty one on top of the dbm file number *base*."""
        new = f"{path}.new"
        with storing(path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new)
            with open(new, "xb", buffering=0, opener=no_link) as file:
                file.write(header(base, version))
                os.fsync(file.fileno())
            os.replace(new, path)
            dbmfile.sync_directory(path)

    def check(self) -> None:
        """Check that the open file is the one at its path; truncate what a failed commit left.

        Raises:
            StoreError: it is not, or can't be truncated.
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
        """Commit *changes*.  If that fails, they are not in the journal.

        Raises:
            StoreError: it failed.
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

    def disown(self) -> None:
        """Close the file in a child process, as it is: the parent goes on writing to it."""
        self._file.close()

    def close(self) -> None:
        """Close the file; truncate what a failed commit left."""
        with storing(self._path):
            try:
                if self._cut_due:
                    self._cut()
            finally:
                self._file.close()


class JournaledDbm(Mapping[bytes, bytes]):
    """A read-only mapping: a dbm file, and the changes in its journal."""

    def __init__(self, path: str) -> None:
        """Open the store with that *path*; raises what :class:`Journal` raises."""
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

    @property
    def version(self) -> int:
        """The format version of the content."""
        return self._journal.version

    def prepare(self) -> None:
        """Prepare for a commit; make a checkpoint if one is due, or the format is older.

        Raises:
            StoreError: it can't be done; what was committed is intact.
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
            file.delete(name for name, value in journal.changes.items() if value is None)
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
    """Return the path of the journal of the store *path*."""
    return f"{path}.journal"
