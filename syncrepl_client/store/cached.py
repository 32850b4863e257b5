# SPDX-License-Identifier: BSD-3-Clause
"""A store in a database whose entries go through a cache."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Optional, Protocol

from ..exceptions import StoreError
from ..protocol.view import Record
from .base import Store, pack_names
from .cache import EntryCache


class Connected(Protocol):
    """The database of such a store."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """Execute a statement."""


class Marks(Protocol):
    """The marks of a refresh, as such a store keeps them."""

    def savepoint(self) -> AbstractContextManager[None]:
        """Return a context manager that undoes what was marked inside it if it raises."""


class CachedStore(Store):
    """What the stores in databases share: single entries, names, and savepoints."""

    _database: Connected
    _cache: EntryCache
    _seen: Marks

    @property
    def in_transaction(self) -> bool:
        return self._database.in_transaction

    def _require_transaction(self) -> None:
        """Raise StoreError unless a transaction is open."""
        if not self._database.in_transaction:
            raise StoreError(
                "no transaction is open; if a callback ended it: don't commit or roll back on "
                "client.store.connection, nor use it as a context manager"
            )

    @abstractmethod
    def _flush(self) -> None:
        """Write what is buffered, in the open transaction."""

    @abstractmethod
    def _forget(self) -> None:
        """Discard what is not written yet."""

    @abstractmethod
    def _read_namesakes(self) -> None:
        """Read :attr:`namesakes`, after a rollback."""

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self._require_transaction()
        self._flush()
        with self._seen.savepoint():
            self._database.execute("SAVEPOINT syncrepl_savepoint")
            try:
                yield
            except BaseException:
                self._forget()
                if self.in_transaction:  # SQLite ends it itself where the disk is full
                    self._database.execute("ROLLBACK TO SAVEPOINT syncrepl_savepoint")
                    self._database.execute("RELEASE SAVEPOINT syncrepl_savepoint")
                self._read_namesakes()
                raise
            self._require_transaction()
            self._database.execute("RELEASE SAVEPOINT syncrepl_savepoint")

    def tell_apart(self, name: bytes) -> None:
        self._require_transaction()
        self.namesakes = {*self.namesakes, name}
        sql = f"UPDATE {self.qualifier}syncrepl_origin SET namesakes = ?"
        self._database.execute(sql, (pack_names(self.namesakes),))

    def get(self, uuid: bytes) -> Optional[Record]:
        return self._cache.get(uuid)

    def at(self, key: bytes) -> Optional[Record]:
        return self._cache.at(key)

    def prefetch(self, places: Mapping[bytes, bytes]) -> None:
        self._cache.prefetch(places)

    def put(self, record: Record) -> None:
        self._cache.put(record)

    def remove(self, uuid: bytes) -> None:
        self._cache.remove(uuid)

    def _is_empty(self) -> bool:
        self._write_out()
        return self._cache.is_empty()

    def _write_out(self) -> None:
        """Make what was put visible to SQL."""
        if self.in_callback:
            self._cache.show()
        else:
            self._cache.flush()
