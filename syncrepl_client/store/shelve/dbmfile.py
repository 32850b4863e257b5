# SPDX-License-Identifier: BSD-3-Clause
"""A dbm file, of whichever kind this Python has, as a mapping; and the files it consists of."""

import contextlib
import dbm
import os
import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, cast

from ...exceptions import StoreError, StoreInvalid, StorePathError
from ...waiting import forking
from ..locking import require_files

ERRORS = (*dbm.error, OSError, sqlite3.Error)
"""Errors of dbm modules; dbm.sqlite3 (Python 3.13) also raises those of sqlite3."""


_KEPT_ENDS = ("", ".db", ".dat", ".dir", ".pag", "-wal")
"""Suffixes of the data files: gdbm and sqlite3, ndbm (two kinds), dumb, a killed sqlite3."""
ENDS = (*_KEPT_ENDS, ".bak", "-shm", "-journal")
"""Suffixes of all files of a dbm."""


class DbmFile(MutableMapping[bytes, bytes]):
    """A dbm object that raises StoreError for errors of the dbm module."""

    def __init__(self, path: str, flag: str) -> None:
        """Open the file at *path*; *flag* and errors are those of ``dbm.open``."""
        self._path = path
        self._dbm: Any = dbm.open(path, cast(Any, flag), 0o600)  # noqa: SIM115 - see close()
        self._disowned = False
        forking.register(self)

    def _errors(self) -> AbstractContextManager[None]:
        if self._disowned:
            raise StoreError(f"the data store {self._path!r} is another process's: it was forked")
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

    def delete(self, names: Iterable[bytes]) -> None:
        """Delete those of *names* that are there; a crash before :meth:`close` may undo that."""
        with self._errors(), _one_commit(self._dbm):
            for name in names:
                if name in self._dbm:
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
        if not self._disowned:
            with self._errors():
                self._dbm.close()

    def disown(self) -> None:
        """Leave the file to the parent process: the child does not write its buffers."""
        self._disowned = True
        forking.never_free(self._dbm)


@contextmanager
def _one_commit(database: Any) -> Iterator[None]:
    """Keep dbm.dumb from writing its whole directory for each deletion; close() writes it."""
    if hasattr(database, "_commit"):
        database._commit = lambda: None
        try:
            yield
        finally:
            del database._commit  # that of the class is back
    else:
        yield


def open_dbm(path: str, flag: str) -> DbmFile:
    """Open the dbm file at *path*; *flag* is that of ``dbm.open``.

    dbm modules follow symbolic links; whether there was one is checked after the file was opened.

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
    """Copy the dbm file *source*, which nobody writes to, to *target*, which does not exist."""
    with storing(target):
        for end in _present(source, _KEPT_ENDS):
            with contextlib.ExitStack() as stack:
                old, new = (
                    stack.enter_context(open(path + end, mode, opener=no_link))
                    for path, mode in ((source, "rb"), (target, "xb"))
                )
                shutil.copyfileobj(old, new)


def sync(path: str) -> None:
    """Sync the closed dbm file *path* to disk."""
    with storing(path):
        for end in _present(path, ENDS):
            with open(path + end, "rb", opener=no_link) as file:
                os.fsync(file.fileno())
        sync_directory(path)


def sync_directory(path: str) -> None:
    """Sync the directory of *path* to disk."""
    descriptor = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def no_link(path: str, flags: int) -> int:
    """An opener for :func:`open` that does not follow symbolic links."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


@contextmanager
def storing(path: str) -> Iterator[None]:
    """Raise errors of files and of dbm modules as StoreError."""
    try:
        yield
    except ERRORS as error:
        raise StoreError(f"the data store {path!r} can't be used: {error}") from error


class ScratchFile(DbmFile):
    """A temporary dbm file."""

    def __init__(self) -> None:
        """Create an empty file in a temporary directory."""
        directory = tempfile.mkdtemp(prefix="syncrepl-")
        self._remove = weakref.finalize(self, shutil.rmtree, directory, ignore_errors=True)
        super().__init__(os.path.join(directory, "seen"), "n")

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._remove()

    def disown(self) -> None:
        super().disown()
        self._remove.detach()
