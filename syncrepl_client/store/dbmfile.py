# SPDX-License-Identifier: BSD-3-Clause
"""A dbm file as a mapping, whichever kind this Python has; and the files that it consists of."""

import contextlib
import dbm
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, cast

from ..exceptions import StoreError, StoreInvalid, StorePathError
from .locking import require_files

ERRORS = (*dbm.error, OSError, sqlite3.Error)
"""What dbm modules raise; dbm.sqlite3 (Python 3.13) lets its database's errors through."""


_KEPT_ENDS = ("", ".db", ".dat", ".dir", ".pag", "-wal")
"""Where the data are: gdbm and sqlite3, ndbm (two kinds), dumb, sqlite3 that was killed."""
ENDS = (*_KEPT_ENDS, ".bak", "-shm", "-journal")
"""What the names of a dbm's files may end with."""


class DbmFile(MutableMapping[bytes, bytes]):
    """A dbm object, whose errors become the store's."""

    def __init__(self, path: str, flag: str) -> None:
        """Open the file at *path*; *flag* is that of ``dbm.open``, whose errors come through."""
        self._path = path
        self._dbm: Any = dbm.open(path, cast(Any, flag), 0o600)  # noqa: SIM115 - see close()

    def _errors(self) -> AbstractContextManager[None]:
        return storing(self._path)

    def __getitem__(self, name: bytes) -> bytes:
        with self._errors():
            return cast(bytes, self._dbm[name])

    def __setitem__(self, name: bytes, value: bytes) -> None:
        with self._errors():
            self._dbm[name] = value

    def __delitem__(self, name: bytes) -> None:
        with self._errors():
            del self._dbm[name]

    def __contains__(self, name: object) -> bool:
        with self._errors():
            return name in self._dbm

    def __iter__(self) -> Iterator[bytes]:
        with self._errors():
            if hasattr(self._dbm, "firstkey"):  # GNU dbm can't be iterated over
                name = self._dbm.firstkey()
                while name is not None:
                    yield name
                    name = self._dbm.nextkey(name)
            else:
                yield from list(self._dbm.keys())

    def __len__(self) -> int:
        with self._errors():
            return len(self._dbm.keys())

    def close(self) -> None:
        """Close the file."""
        with self._errors():
            self._dbm.close()


def open_dbm(path: str, flag: str) -> DbmFile:
    """Open the dbm file at *path*; *flag* is that of ``dbm.open``.

    dbm modules follow symbolic links; that there was none is looked for after it was opened.

    Raises:
        StorePathError: a symbolic link is in the way.
        StoreInvalid: it can't be opened.
    """
    require_files(path, ENDS)
    try:
        file = DbmFile(path, flag)
    except (*ERRORS, ValueError, SyntaxError) as error:
        raise StoreInvalid(
            f"{path!r} can't be opened as a dbm file; it was left as it is: {error}"
        ) from error
    try:
        require_files(path, ENDS)
    except StorePathError:
        file.close()
        raise
    return file


def _present(path: str, ends: Iterable[str]) -> Iterator[str]:
    return (end for end in ends if os.path.lexists(path + end))


def remove(path: str) -> None:
    """Remove the dbm file *path*."""
    with storing(path):
        for end in _present(path, ENDS):
            os.unlink(path + end)


def copy(source: str, target: str) -> None:
    """Copy the dbm file *source*, which nobody writes to, to where nothing is."""
    with storing(target):
        for end in _present(source, _KEPT_ENDS):
            with contextlib.ExitStack() as stack:
                old, new = (
                    stack.enter_context(open(path + end, mode, opener=no_link))
                    for path, mode in ((source, "rb"), (target, "xb"))
                )
                shutil.copyfileobj(old, new)


def sync(path: str) -> None:
    """Bring the dbm file *path*, closed, to the disk."""
    with storing(path):
        for end in _present(path, ENDS):
            with open(path + end, "rb", opener=no_link) as file:
                os.fsync(file.fileno())
        sync_directory(path)


def sync_directory(path: str) -> None:
    """Bring the names of the files beside *path* to the disk."""
    descriptor = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def no_link(path: str, flags: int) -> int:
    """Open a file for :func:`open`, but no symbolic link."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


@contextmanager
def storing(path: str) -> Iterator[None]:
    """Errors of files and of dbm modules become the store's."""
    try:
        yield
    except ERRORS as error:
        raise StoreError(f"the data store {path!r} can't be used: {error}") from error


class ScratchFile(DbmFile):
    """A dbm file for the time being."""

    def __init__(self) -> None:
        """Make an empty file in a temporary directory."""
        self._directory = tempfile.TemporaryDirectory(prefix="syncrepl-")
        super().__init__(os.path.join(self._directory.name, "named"), "n")

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._directory.cleanup()
