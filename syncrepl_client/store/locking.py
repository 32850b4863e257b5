# SPDX-License-Identifier: BSD-3-Clause
"""Locks that allow one client per store; they end with the process."""

import fcntl
import logging
import os
import stat
from collections.abc import Iterable
from typing import Optional

from ..exceptions import StoreError, StoreLocked, StorePathError
from ..waiting import forking

logger = logging.getLogger(__name__)

_OTHERS = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH

_held: set[tuple[int, int]] = set()
"""Device and inode of what this process has locked."""


def require_files(path: str, ends: Iterable[str]) -> None:
    """Check that each of the files *path* + end is a regular file, or does not exist.

    Raises:
        StorePathError: one is a symbolic link, a pipe, or the like.
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


def is_locked(path: str) -> bool:
    """Return whether a client has locked the file *path*; False where that can't be seen."""
    try:
        status = os.stat(path)
        if (status.st_dev, status.st_ino) in _held:  # to close the file would end SQLite's locks
            return True
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def check_owner(path: str, ends: Iterable[str]) -> None:
    """Refuse files *path* + end with other names; warn of those that are not this user's alone.

    SQLite's files beside the database are found by its name: under another name of it, they would
    be others.

    Raises:
        StorePathError: one has a hard link.
    """
    for end in ends:
        try:
            status = os.lstat(path + end)
        except OSError:  # it was removed, or is for require_files() to refuse
            continue
        if status.st_nlink > 1:
            raise StorePathError(
                f"{path + end!r} has {status.st_nlink} names (hard links), and could be changed "
                "under another one: copy it, or change data_path"
            )
        risk = _risk(status)
        if risk is not None:
            logger.warning("the data store %r %s", path + end, risk, extra={"event": "risk"})
            return


def _risk(status: os.stat_result) -> Optional[str]:
    if status.st_uid != os.geteuid():
        return f"belongs to another user (UID {status.st_uid}), who can change what is read from it"
    mode = stat.S_IMODE(status.st_mode)
    if mode & _OTHERS:
        return f"may be read or written by others than its owner (mode {mode:04o}): chmod 600"
    return None


class FileLock:
    """A file that is open and locked; created with mode 0600 if it does not exist.

    It uses flock, because SQLite's own locks on the same file are fcntl locks, and the two don't
    interact.  But a process that closes any descriptor of a file loses all its fcntl locks on it:
    so this is released after SQLite closed the file, and a file that this process has locked
    already is not even opened.
    """

    def __init__(self, path: str, *, create: bool) -> None:
        """Open and lock *path*; a symbolic link is not followed.

        Raises:
            StoreLocked: another client has locked it.
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
        forking.register(self)

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
        """Check that the locked file is still the one at *path*.

        Raises:
            StoreError: it was removed or replaced.
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
        descriptor, self._fd = self._fd, -1
        if descriptor >= 0:
            _held.discard(self._identity)
            os.close(descriptor)

    def disown(self) -> None:
        """Close the file in a child process; the parent keeps the lock, which belongs to both."""
        self.release()
