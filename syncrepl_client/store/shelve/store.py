# SPDX-License-Identifier: BSD-3-Clause
"""A store in the standard library's dbm, of whichever kind this Python has.  It uses no pickle.

dbm files have no transactions, and a kill can damage them; :mod:`.journal` makes commits atomic. A
store of format 1, which was written in place, is used as it is; if it was not closed it is not
trusted: the next refresh starts over and reports what differs.
"""

import dbm
import os
from typing import Optional

from ...exceptions import StoreError, StoreInvalid
from ..base import KEYS_VERSION, Origin, check_path, check_version
from ..locking import FileLock, check_owner, require_files
from ..mapping import MappingStore, all_names
from .dbmfile import ENDS, DbmFile, ScratchFile, open_dbm
from .journal import BASE_ENDS, FORMAT_1_BASE, NO_BASE, Journal, JournaledDbm, journal_path

_VERSION = b"oversion"
"""Only in format 1; in later formats the version is in the journal."""
_UNTRUSTED = b"ounclean"
_TORN, _REBUILT = b"1", b"2"


class ShelfStore(MappingStore):
    """Entries and cookie in a dbm file and its journal, with a lock file beside them."""

    def __init__(self, path: str) -> None:
        """Open the store at *path* if it exists; otherwise check that it can be created.

        Raises:
            StoreError: it can't, it is in use, or there is something else.
        """
        super().__init__(ScratchFile)
        self.path = path
        self._lock: Optional[FileLock] = None
        self._shelf: Optional[JournaledDbm] = None
        check_path(path)
        if self._found():
            self._open(create=False)

    def _found(self) -> bool:
        for base in set(BASE_ENDS):
            require_files(self.path + base, ENDS)
        require_files(self.path, (".lock", ".journal", ".journal.new"))
        if os.path.lexists(journal_path(self.path)):
            return True
        kind = dbm.whichdb(self.path)
        rest = [base + end for base in BASE_ENDS for end in ENDS if base + end]
        if kind == "" or (kind is None and any(os.path.lexists(self.path + end) for end in rest)):
            raise StoreInvalid(
                f"{self.path!r} is not a data store, or can't be read, or a part of it is "
                "missing; it was left as it is: change data_path"
            )
        return kind is not None

    def _open(self, *, create: bool) -> None:
        journal, lock = journal_path(self.path), f"{self.path}.lock"
        if not create and not os.path.exists(journal) and not os.path.exists(lock):
            self._check_format_1()  # before anything is left beside somebody else's file
        self._lock = FileLock(lock, create=True)
        try:
            for base in sorted(set(BASE_ENDS)):
                check_owner(self.path + base, ENDS)
            check_owner(self.path, (".lock", ".journal"))
            if not os.path.exists(journal):
                there = not create or self._found()
                if there:
                    self._check_format_1()
                if there:
                    Journal.replace(journal, FORMAT_1_BASE, version=1)
                else:
                    Journal.replace(journal, NO_BASE)
            self._data = self._shelf = JournaledDbm(self.path)
            self._read_namesakes()
            if self._shelf.version < KEYS_VERSION:
                self._renew(self._shelf)
        except BaseException:
            self._close_files()
            raise

    def _renew(self, shelf: JournaledDbm) -> None:
        """Migrate a store of an older format: first its content, then its version.

        If the process is killed in between, it is done again: new keys stay as they are.
        """
        super().begin()
        if self._get(_UNTRUSTED) == _TORN:
            self._rebuild()
            self._set(_UNTRUSTED, _REBUILT)
        self._renew_keys()
        super().commit()
        shelf.prepare()

    def _check_format_1(self) -> None:
        file = open_dbm(self.path, "r")
        try:
            version = _version_of(file)
        finally:
            file.close()
        if not version.isdigit() or len(version) > 9:
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
        return not self.exists or self._get(_UNTRUSTED) is None

    def begin(self) -> None:
        if self._lock is not None and self._shelf is not None:
            self._lock.check(f"{self.path}.lock")
            self._shelf.prepare()
        super().begin()

    def commit(self, origin: Optional[Origin] = None) -> None:
        if origin is not None and origin.cookie is not None and not self.trusted:
            self._set(_UNTRUSTED, None)
        super().commit(origin)

    def _flush(self, pending: dict[bytes, Optional[bytes]]) -> None:
        if self._shelf is not None:
            self._shelf.commit(pending)

    def close(self) -> None:
        self.rollback()
        self._seen.clear()
        self._close_files()

    def _close_files(self) -> None:
        shelf, self._shelf, self._data = self._shelf, None, None
        lock, self._lock = self._lock, None
        try:
            if shelf is not None:
                shelf.close()
        finally:
            if lock is not None:
                lock.release()


def _version_of(file: DbmFile) -> bytes:
    """Return the format version in *file*; a new, empty one has format 1."""
    try:
        version = file.get(_VERSION)
        if version is None and next(all_names(file), None) is None:
            return b"1"
    except StoreError:
        version = None
    return version or b""
