# SPDX-License-Identifier: BSD-3-Clause
"""A store in the standard library's dbm, whichever kind this Python has.  No pickle is used.

dbm files know no transactions, and a kill can tear them; :mod:`.journal` makes commits whole.
A shelf of format 1, which was written in place, is taken over as it is; where it was not
closed, it is not trusted: the next refresh starts over and reports what differs.
"""

import dbm
import os
from typing import Optional

from ..exceptions import StoreError, StoreInvalid
from .base import Origin, check_path, check_version
from .dbmfile import ENDS, DbmFile, ScratchFile, open_dbm
from .journal import BASE_ENDS, FORMAT_1_BASE, NO_BASE, Journal, JournaledDbm, journal_path
from .locking import FileLock, require_files
from .mapping import MappingStore, all_names

_VERSION = b"oversion"
"""Only in format 1; later the journal has it."""
_UNTRUSTED = b"ounclean"
_TORN, _REBUILT = b"1", b"2"


class ShelfStore(MappingStore):
    """Entries and cookie in a dbm file and its journal, with a lock file beside them."""

    def __init__(self, path: str) -> None:
        """Open the store at *path* if it exists, see that it can be made if not.

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
            if not os.path.exists(journal):
                there = not create or self._found()
                if there:
                    self._check_format_1()
                Journal.replace(journal, FORMAT_1_BASE if there else NO_BASE)
            self._data = self._shelf = JournaledDbm(self.path)
            if self._get(_UNTRUSTED) == _TORN:
                self._rebuild()
                self.begin()
                self._set(_UNTRUSTED, _REBUILT)
                self.commit()
        except BaseException:
            self._close_files()
            raise

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
        self.named.clear()
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
    """Return the version that *file* says it has; a new one, empty yet, is of format 1."""
    try:
        version = file.get(_VERSION)
        if version is None and next(all_names(file), None) is None:
            return b"1"
    except StoreError:
        version = None
    return version or b""
