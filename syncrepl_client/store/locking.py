# SPDX-License-Identifier: BSD-3-Clause
"""One client a store: an advisory lock that ends with the process."""

import fcntl
import os
import stat
from collections.abc import Iterable

from ..exceptions import StoreError, StoreLocked, StorePathError

_held: set[tuple[int, int]] = set()
"""Device and inode of what this process has locked."""


def require_files(path: str, ends: Iterable[str]) -> None:
    """See that each of the files *path* + end is a regular file, or is not there.

    Raises:
        StorePathError: one is a symbolic link, or a pipe, or such.
    """
    for end in ends:
        try:
            mode = os.lstat(path + end).st_mode
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StorePathError(f"{path + end!r} can't be looked at: {error.strerror}") from error
        if not stat.S_ISREG(mode):
            what = "a symbolic link" if stat.S_ISLNK(mode) else "not a regular file"
            raise StorePathError(f"{path + end!r} is {what}: change data_path")


class FileLock:
    """Holds a file open and locked; made 0600 where it does not exist.

    flock, because SQLite's own locks on the same file are fcntl ones, and the two don't see
    each other.  But a process that closes any descriptor of a file loses all its fcntl locks
    on it: so this is released after SQLite closed the file, and a file that this process has
    locked already is not even opened.
    """

    def __init__(self, path: str, *, create: bool) -> None:
        """Open and lock *path*; a symbolic link is not followed.

        Raises:
            StoreLocked: somebody else has it.
            StorePathError: it can't be opened for reading and writing.
        """
        self._refuse_own(path)
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        try:
            self._fd = os.open(path, flags, 0o600)
        except OSError as error:
            raise StorePathError(
                f"the data store {path!r} can't be opened for reading and writing: {error.strerror}"
            ) from error
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            os.close(self._fd)
            raise StorePathError(f"the data store {path!r} is not a regular file: change data_path")
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise self._locked(path) from error
        status = os.fstat(self._fd)
        self._identity = (status.st_dev, status.st_ino)
        _held.add(self._identity)

    def _refuse_own(self, path: str) -> None:
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorePathError(f"the data store {path!r} can't be read: {error}") from error
        if (status.st_dev, status.st_ino) in _held:
            raise self._locked(path)

    @staticmethod
    def _locked(path: str) -> StoreLocked:
        return StoreLocked(
            f"the data store {path!r} is in use by another client: stop that one, "
            "or use another data_path"
        )

    def check(self, path: str) -> None:
        """See that the locked file is still the one at *path*.

        Raises:
            StoreError: it was removed, or another one was put in its place.
        """
        try:
            status = os.lstat(path)
            there = (status.st_dev, status.st_ino) == self._identity
        except OSError:
            there = False
        if not there:
            raise StoreError(f"the data store {path!r} was removed or replaced under this client")

    def read(self, size: int) -> bytes:
        """Return the first *size* bytes of the file."""
        return os.pread(self._fd, size, 0)

    def release(self) -> None:
        """Unlock and close the file."""
        _held.discard(self._identity)
        os.close(self._fd)
