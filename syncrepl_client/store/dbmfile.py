# SPDX-License-Identifier: BSD-3-Clause
"""A dbm file as a mapping, whichever kind this Python has."""

import dbm
import os
import sqlite3
import tempfile
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, cast

from ..exceptions import StoreError

ERRORS = (*dbm.error, OSError, sqlite3.Error)
"""What dbm modules raise; dbm.sqlite3 (Python 3.13) lets its database's errors through."""


class DbmFile(MutableMapping[bytes, bytes]):
    """A dbm object, whose errors become the store's."""

    def __init__(self, path: str, flag: str) -> None:
        """Open the file at *path*; *flag* is that of ``dbm.open``, whose errors come through."""
        self._path = path
        self._dbm: Any = dbm.open(path, cast(Any, flag), 0o600)  # noqa: SIM115 - see close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except ERRORS as error:
            raise StoreError(f"the data store {self._path!r} can't be used: {error}") from error

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

    def sync(self) -> None:
        """Write out what the dbm module holds back, where it can."""
        with self._errors():
            if hasattr(self._dbm, "sync"):
                self._dbm.sync()

    def close(self) -> None:
        """Close the file."""
        with self._errors():
            self._dbm.close()


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
