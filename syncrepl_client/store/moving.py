# SPDX-License-Identifier: BSD-3-Clause
"""Moves the content of a store to another one: entries, cookie, log of changes, and sinks.

Both are locked meanwhile.  It is one transaction of the new store: if it does not come to its end,
the new store is empty.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from itertools import islice
from typing import Callable, NamedTuple, Optional

from ..changelog.rows import Row
from ..changelog.tables import Tables
from ..exceptions import ConfigurationError, StoreError, StorePathError
from ..protocol.view import Record
from . import open_changelog, open_store
from .base import Origin, Store
from .location import DataPath, database_of, describe, file_name, identify, prefix

_MANY = 1000


class Moved(NamedTuple):
    """How much was moved, and where.

    Attributes:
        source: where it is.
        target: where it is now, too.
        entries: the number of live entries.
        changes: the number of changes in the log.
        sinks: the number of sinks.
    """

    source: str
    target: str
    entries: int
    changes: int
    sinks: int


def move(
    source: DataPath,
    target: DataPath,
    tell: Callable[[int, int], object] = lambda done, total: None,
) -> Moved:
    """Copy everything from a store to an empty one, or a new one.

    The source is left as it is, but has its format upgraded if it is an older one.

    Args:
        source: of an SQLite, PostgreSQL or shelve store.
        target: of an SQLite or PostgreSQL store.
        tell: called now and then with the number of entries and changes so far, and of all.

    Raises:
        ConfigurationError: both are the same.
        StorePathError: there is no store at *source*.
        StoreLocked: one is in use, or a relay passes on the changes of *source*.
        StoreError: the store at *target* is not empty; or one can't be read or written.
    """
    if identify(source) == identify(target):
        raise ConfigurationError(f"{describe(source)} can't be moved to where it is")
    with ExitStack() as stack:
        old = stack.enter_context(closing(open_store(_kind(source), source)))
        if not old.exists:
            raise StorePathError(f"there is no data store at {describe(source)}")
        if _log_of(old) is not None:
            log = stack.enter_context(open_changelog(source))
            for sink in log.sinks:
                stack.callback(log.lock(sink.name))
        new = stack.enter_context(closing(open_store("sqlite", target)))
        new.create()
        _require_empty(new, describe(target))
        new.begin()
        copy = _Copy(old, new, tell)
        copy.run()
        new.commit(old.origin)
        return Moved(describe(source), describe(target), len(new), copy.changes, copy.sinks)


def _kind(data_path: DataPath) -> str:
    if database_of(data_path) is not None or os.path.lexists(file_name(data_path)):
        return "sqlite"
    return "shelve" if os.path.exists(f"{prefix(data_path)}syncrepl.shelve.lock") else "sqlite"


def _log_of(store: Store) -> Optional[Tables]:
    return store.log if store.log is not None and store.log.exist else None


def _require_empty(store: Store, where: str) -> None:
    if store.origin != Origin() or _log_of(store) is not None or any(True for _ in _records(store)):
        raise StoreError(
            f"the data store at {where} is not empty, and was left as it is: name a new place"
        )


def _records(store: Store) -> Iterator[Record]:
    """Yield all records: of entries, displaced entries and references, in order of key."""
    first = store.at(b"")
    if first is not None:
        yield first
    yield from store.below(b"")


def _rows(log: Tables) -> Iterator[Row]:
    seq = 0
    while rows := log.rows(seq, None, _MANY):
        yield from rows
        seq = rows[-1].seq


class _Digest:
    """A digest of records and rows, and their number."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.number = 0

    def add(self, each: Iterable[object]) -> None:
        self._hash.update(repr(tuple(each)).encode("utf-8", "surrogatepass"))
        self.number += 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Digest) and self._hash.digest() == other._hash.digest()

    __hash__ = None  # type: ignore[assignment]


class _Copy:
    """Copies one store to another, in the open transaction of that one, and compares both."""

    def __init__(self, old: Store, new: Store, tell: Callable[[int, int], object]) -> None:
        self._old, self._new = old, new
        self._log = _log_of(old)
        self._tell = tell
        self._done = 0
        self.changes = self.sinks = 0
        self._total = len(old)
        if self._log is not None:
            oldest, newest = self._log.marks(0, 1), self._log.newest()
            self._total += newest.seq - oldest[0].seq + 1 if newest is not None else 0

    def run(self) -> None:
        for name in self._old.namesakes:
            self._new.tell_apart(name)
        self._copy_entries()
        if self._log is not None and self._new.log is not None:
            self._new.log.create()
            self._copy_log(self._log, self._new.log)

    def _step(self) -> None:
        self._done += 1
        if self._done % _MANY == 0:
            self._tell(self._done, self._total)

    def _copy_entries(self) -> None:
        read, written = _Digest(), _Digest()
        records = _records(self._old)
        while some := list(islice(records, _MANY)):
            self._new.prefetch({record.uuid: record.key for record in some})
            for record in some:
                self._new.put(record)
                read.add(record)
                self._step()
        for record in _records(self._new):
            written.add(record)
        _compare(read, written, "entries")

    def _copy_log(self, old: Tables, new: Tables) -> None:
        settings = old.settings()
        if settings is not None:
            new.set(settings)
        sinks = old.sinks()
        for sink in sinks:
            new.put_sink(sink)
        new.put_parked(old.parked())
        for snapshot in old.requested():
            new.put_requested(snapshot)
        read, written = _Digest(), _Digest()
        for row in _rows(old):
            new.restore(row)
            read.add(row)
            self._step()
        for row in _rows(new):
            written.add(row)
        self.changes, self.sinks = read.number, len(sinks)
        for digest, tables in ((read, old), (written, new)):
            digest.add((tables.settings(), tables.sinks(), tables.parked(), tables.requested()))
        _compare(read, written, "changes")


def _compare(read: _Digest, written: _Digest, what: str) -> None:
    if read != written:
        raise StoreError(
            f"{written.number} {what} were written that differ from the {read.number} that were "
            "read: nothing was moved"
        )
