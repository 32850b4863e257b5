# SPDX-License-Identifier: BSD-3-Clause
"""A store in the standard library's dbm, whichever kind this Python has.  No pickle is used.

dbm files know no transactions: a process that ends in the middle of a commit leaves half of
it.  So the file is marked while it is written to, and one that still has the mark when it is
opened is not trusted: the next refresh starts over and reports what differs from what the
file holds.
"""

import dbm
import os
from typing import Optional

from ..exceptions import StoreError, StoreInvalid, StorePathError
from .base import FORMAT_VERSION, Origin, check_path, check_version
from .dbmfile import ERRORS, DbmFile, ScratchFile
from .locking import FileLock
from .mapping import MappingStore, all_names

_VERSION, _UNCLEAN = b"oversion", b"ounclean"
_SUFFIXES = ("", ".db", ".dat", ".dir", ".pag", ".lock")


class ShelfStore(MappingStore):
    """Entries and cookie in a dbm file, with a lock file beside it."""

    def __init__(self, path: str) -> None:
        """Open the store at *path* if it exists, see that it can be made if not.

        Raises:
            StoreError: it can't, it is in use, or there is something else.
        """
        super().__init__(ScratchFile)
        self.path = path
        self._lock: Optional[FileLock] = None
        self._trusted = True
        self._marked = False
        self._torn = False
        check_path(path)
        if self._found():
            self._open(create=False)

    def _found(self) -> bool:
        for suffix in _SUFFIXES:
            if os.path.islink(self.path + suffix):
                raise StorePathError(f"{self.path + suffix!r} is a symbolic link: change data_path")
        kind = dbm.whichdb(self.path)
        unreadable = kind is None and any(
            os.path.lexists(self.path + suffix) for suffix in _SUFFIXES if suffix != ".lock"
        )
        if kind == "" or unreadable:
            raise StoreInvalid(
                f"{self.path!r} is not a data store, or can't be read; it was left as it is: "
                "change data_path"
            )
        return kind is not None

    def _open(self, *, create: bool) -> None:
        lock = f"{self.path}.lock"
        if not create and not os.path.exists(lock):  # somebody else's: leave nothing beside it
            self._data = self._dbm("r")
            try:
                self._check()
            finally:
                self._close_files()
        self._lock = FileLock(lock, create=True)
        current = b"%d" % FORMAT_VERSION
        try:
            self._data = self._dbm("c" if create else "w")
            self._check()
            if self._data.get(_VERSION) != current:  # new, or of an older format
                self._data[_VERSION] = current
            if self._data.get(_UNCLEAN) is not None:
                self._trusted = False
                self._marked = True
                self._rebuild()
        except BaseException:
            self._close_files()
            raise

    def _dbm(self, flag: str) -> DbmFile:
        try:
            return DbmFile(self.path, flag)
        except (*ERRORS, ValueError, SyntaxError) as error:
            raise StoreInvalid(
                f"{self.path!r} can't be opened as a dbm file; it was left as it is: {error}"
            ) from error

    def _check(self) -> None:
        try:
            version = self._mapping.get(_VERSION)
            if version is None and next(all_names(self._mapping), None) is None:
                return  # new, or its making was interrupted
        except StoreError:
            version = None
        if version is None or not version.isdigit() or len(version) > 9:
            raise StoreInvalid(
                f"{self.path!r} is a dbm file, but not a data store; it was left as it is: "
                "change data_path"
            )
        check_version(int(version), self.path)

    def create(self) -> None:
        if not self.exists:
            self._open(create=True)

    @property
    def trusted(self) -> bool:
        return self._trusted

    def commit(self, origin: Optional[Origin] = None) -> None:
        super().commit(origin)
        if origin is not None and origin.cookie is not None:
            self._trusted = True

    def begin(self) -> None:
        if self._torn:
            raise StoreError(
                f"a commit to the data store {self.path!r} failed half way: make a new client, "
                "which starts over"
            )
        super().begin()

    def _flush(self, pending: dict[bytes, Optional[bytes]]) -> None:
        try:
            if not self._marked:
                self._mapping[_UNCLEAN] = b"1"
                self._sync()
                self._marked = True
            super()._flush(pending)
            self._sync()
        except BaseException:
            self._trusted = False
            self._torn = True
            raise

    def _sync(self) -> None:
        if isinstance(self._data, DbmFile):
            self._data.sync()

    def close(self) -> None:
        self.rollback()
        self.named.clear()
        try:
            if self._data is not None and self._marked and self._trusted:
                del self._data[_UNCLEAN]
                self._marked = False
        finally:
            self._close_files()

    def _close_files(self) -> None:
        data, self._data = self._data, None
        lock, self._lock = self._lock, None
        try:
            if isinstance(data, DbmFile):
                data.close()
        finally:
            if lock is not None:
                lock.release()
