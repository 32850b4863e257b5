# SPDX-License-Identifier: BSD-3-Clause
"""A store over any mapping of bytes to bytes that can be updated atomically.

Writes are held back until the commit.  The keys of the mapping start with one letter: entries by
UUID, UUIDs by key, the number of entries below a key, the origin, and the namesakes.
"""

import math
import threading
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, Optional, TypeVar, Union

from ..entries import dn
from ..exceptions import StoreError, StoreInvalid
from ..protocol.view import Record, SeenUUIDs
from .base import Origin, Store, pack_names, unpack_names, with_new_key
from .fresh import FreshSeenUUIDs

Bytes = MutableMapping[bytes, bytes]

_ENTRY, _KEY, _BELOW, _ORIGIN, _NAMESAKES = b"e", b"k", b"b", b"o", b"n"


class MappingStore(Store):
    """Entries and cookie in a mapping; a subclass provides the mapping and :meth:`_flush`."""

    def __init__(self, new_scratch: Callable[[], Bytes]) -> None:
        """Initialize without a mapping; *new_scratch* creates one for the marks of a refresh."""
        self._data: Optional[Mapping[bytes, bytes]] = None
        self._pending: dict[bytes, Optional[bytes]] = {}
        self._counting = threading.Lock()  # over what count() reads from other threads
        self._committed: Optional[int] = None
        self._transaction = False
        self._undo: Optional[list[Callable[[], None]]] = None  # in a savepoint
        self._seen = MappingSeenUUIDs(self, new_scratch)
        self.seen = FreshSeenUUIDs(self._seen, self.get, lambda: not any(self._names(_ENTRY)))

    @property
    def exists(self) -> bool:
        return self._data is not None

    @property
    def _mapping(self) -> Mapping[bytes, bytes]:
        if self._data is None:
            raise StoreError("the data store is not open")
        return self._data

    # --- bytes by key, with what is pending on top

    def _get(self, name: bytes) -> Optional[bytes]:
        if name in self._pending:
            return self._pending[name]
        return self._mapping.get(name)

    def _set(self, name: bytes, value: Optional[bytes]) -> None:
        self._require_transaction()
        if self._undo is not None:
            self._undo.append(restorer(self._pending, name))
        self._pending[name] = value

    def _require_transaction(self) -> None:
        if not self._transaction:
            raise StoreError("the data store is written to outside a transaction")

    def _names(self, kind: bytes) -> Iterator[bytes]:
        """Yield the names of that *kind*, without its letter."""
        for name in list(self._pending):
            if name[:1] == kind and self._pending[name] is not None:
                yield name[1:]
        for name in all_names(self._mapping):
            if name[:1] == kind and name not in self._pending:
                yield name[1:]

    # --- reading

    @property
    def origin(self) -> Origin:
        values: dict[str, Any] = {}
        for name in Origin._fields:
            stored = self._get(_ORIGIN + name.encode())
            values[name] = None if stored is None else self._decoded(name, stored)
        return Origin(**values)

    @staticmethod
    def _decoded(name: str, stored: bytes) -> Union[bytes, str, float]:
        try:
            if name == "cookie":
                return stored
            return _finite(stored.decode()) if name == "reconciled" else stored.decode()
        except ValueError as error:  # UnicodeDecodeError is one
            raise StoreInvalid(f"the origin of the store is damaged: its {name}") from error

    def get(self, uuid: bytes) -> Optional[Record]:
        value = self._get(_ENTRY + uuid)
        return None if value is None else _unpack(uuid, value)

    def at(self, key: bytes) -> Optional[Record]:
        uuid = self._get(_KEY + key)
        return None if uuid is None else self.get(uuid)

    def below(self, key: bytes, *, reverse: bool = False) -> Iterator[Record]:
        counted = dn.FIRST_DISPLACED if dn.is_displaced(key) else key
        if self._count(counted) == 0:
            return iter(())
        keys = [each for each in self._names(_KEY) if each.startswith(key) and each != key]
        keys.sort(reverse=reverse)
        return filter(None, map(self.at, keys))

    def has_displaced(self) -> bool:
        return self._count(dn.FIRST_DISPLACED) > 0

    def __len__(self) -> int:
        return sum(1 for key in self._names(_KEY) if dn.is_live(key))

    def count(self) -> int:
        with self._counting:
            if self._data is None:
                return 0
            if self._committed is None:
                names = (name for name in all_names(self._data) if name[:1] == _KEY)
                self._committed = sum(dn.is_live(name[1:]) for name in names)
            return self._committed

    def live(self) -> Iterator[Record]:
        keys = sorted(key for key in self._names(_KEY) if dn.is_live(key))
        return filter(None, map(self.at, keys))

    # --- writing

    @property
    def in_transaction(self) -> bool:
        return self._transaction

    def begin(self) -> None:
        if self._transaction:
            raise StoreError("a transaction is open already")
        self._transaction = True

    def commit(self, origin: Optional[Origin] = None) -> None:
        self._require_transaction()
        if origin is not None:
            for name, value in zip(origin._fields, origin):
                self._set(_ORIGIN + name.encode(), None if value is None else _encoded(value))
        if self._pending:
            with self._counting:
                more = self._pending_entries()
                self._flush(self._pending)
                if self._committed is not None:
                    self._committed += more
        self._pending = {}
        self._transaction = False

    def _pending_entries(self) -> int:
        """Return by how many live entries the store grows with what is pending."""
        return sum(
            (value is not None) - (name in self._mapping)
            for name, value in self._pending.items()
            if name[:1] == _KEY and dn.is_live(name[1:])
        )

    @abstractmethod
    def _flush(self, pending: dict[bytes, Optional[bytes]]) -> None:
        """Write *pending* to the mapping, atomically."""

    def rollback(self) -> None:
        self._pending = {}
        self._transaction = False
        self._read_namesakes()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self._require_transaction()
        outer, self._undo = self._undo, []
        try:
            yield
            self._require_transaction()
            if outer is not None:
                outer += self._undo
        except BaseException:
            if self._transaction:
                for step in reversed(self._undo):
                    step()
            raise
        finally:
            self._undo = outer
            if outer is None:
                self._seen.close_cleared()

    def put(self, record: Record) -> None:
        self._require_transaction()
        if self._get(_KEY + record.key) not in (None, record.uuid):
            raise StoreError(f"two entries of the data store can't both be {record.dn!r}")
        old = self.get(record.uuid)
        if old is None or old.key != record.key:
            if old is not None:
                self._unindex(old.key)
            self._set(_KEY + record.key, record.uuid)
            self._add_below(record.key, 1)
        self._set(_ENTRY + record.uuid, _pack(record))

    def remove(self, uuid: bytes) -> None:
        self._require_transaction()
        old = self.get(uuid)
        if old is not None:
            self._unindex(old.key)
            self._set(_ENTRY + uuid, None)

    def tell_apart(self, name: bytes) -> None:
        names = {*self.namesakes, name}
        self._set(_NAMESAKES, pack_names(names))
        if self._undo is not None:
            self._undo.append(partial(setattr, self, "namesakes", self.namesakes))
        self.namesakes = names

    def _read_namesakes(self) -> None:
        if self._data is not None:
            self.namesakes = unpack_names(self._data.get(_NAMESAKES))

    def _unindex(self, key: bytes) -> None:
        self._set(_KEY + key, None)
        self._add_below(key, -1)

    def _count(self, key: bytes) -> int:
        try:
            return int(self._get(_BELOW + key) or b"0")
        except ValueError as error:
            raise StoreInvalid("an index of the store is damaged") from error

    def _add_below(self, key: bytes, count: int) -> None:
        for ancestor in _ancestors(key):
            total = self._count(ancestor) + count
            self._set(_BELOW + ancestor, b"%d" % total if total else None)

    # --- for stores of older formats

    def _renew_keys(self) -> None:
        """Store each entry of an older format with its key in the current one."""
        changed = []
        for uuid in list(self._names(_ENTRY)):
            record = self.get(uuid)
            if record is not None and (new := with_new_key(record)) != record:
                changed.append(new)
        for each in changed:
            self.remove(each.uuid)
        for each in changed:
            self.put(each)

    def _rebuild(self) -> None:
        """Rebuild the indexes from the entries."""
        for kind in (_KEY, _BELOW):
            for name in list(self._names(kind)):
                self._set(kind + name, None)
        for uuid in list(self._names(_ENTRY)):
            record = self.get(uuid)
            if record is not None:
                self._set(_ENTRY + uuid, None)
                if self._get(_KEY + record.key) is not None:
                    # Half a transaction was written: where this one is, a refresh will say.
                    record = record._replace(key=dn.displaced(dn.NOBODY, record.key, uuid))
                self.put(record)


V = TypeVar("V")


def restorer(mapping: MutableMapping[bytes, V], name: bytes) -> Callable[[], None]:
    """Return a function that restores the current value of *name* in *mapping*."""
    if name in mapping:
        return partial(mapping.__setitem__, name, mapping[name])
    return partial(mapping.__delitem__, name)


def all_names(mapping: Mapping[bytes, bytes]) -> Iterator[bytes]:
    """Yield the names in *mapping*; a dict may change meanwhile."""
    return iter(list(mapping) if isinstance(mapping, dict) else mapping)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no time")
    return number


def _encoded(value: Union[bytes, str, float]) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _ancestors(key: bytes) -> list[bytes]:
    if dn.is_displaced(key):
        return [dn.FIRST_DISPLACED]
    ancestors = []
    while key and dn.is_live(key):
        key = dn.parent(key)
        ancestors.append(key)
    return ancestors


def _pack(record: Record) -> bytes:
    name = record.dn.encode()
    sizes = len(record.key).to_bytes(4, "big") + len(name).to_bytes(4, "big")
    return sizes + record.key + name + record.attrs


def _unpack(uuid: bytes, value: bytes) -> Record:
    key_end = 8 + int.from_bytes(value[:4], "big")
    name_end = key_end + int.from_bytes(value[4:8], "big")
    try:
        name = value[key_end:name_end].decode()
    except UnicodeDecodeError as error:
        raise StoreInvalid("an entry in the store is damaged") from error
    if len(uuid) != 16 or not 8 <= key_end <= name_end <= len(value):
        raise StoreInvalid("an entry in the store is damaged: wrong length")
    return Record(uuid, value[8:key_end], name, value[name_end:])


_PRESENT, _PLACED, _GONE = b"p", b"d", b"g"


class MappingSeenUUIDs(SeenUUIDs):
    """The marks of a refresh, in a mapping of their own."""

    def __init__(self, store: MappingStore, new_scratch: Callable[[], Bytes]) -> None:
        """Initialize from the store, in which entries are looked up."""
        self._store = store
        self._new = new_scratch
        self._marks: Optional[Bytes] = None
        self._cleared: list[Bytes] = []  # in a savepoint, which may want them back

    def _all(self) -> Bytes:
        if self._marks is None:
            self._marks = self._new()
        return self._marks

    def mark_present(self, uuids: Iterable[bytes]) -> None:
        marks = self._all()
        for uuid in uuids:
            if uuid not in marks:
                self._mark(uuid, _PRESENT)

    def mark_placed(self, uuid: bytes) -> None:
        self._mark(uuid, _PLACED)

    def mark_deleted(self, uuids: Iterable[bytes]) -> None:
        for uuid in uuids:
            if self._store._get(_ENTRY + uuid) is not None:  # there may be millions of others
                self._mark(uuid, _GONE)

    def _mark(self, uuid: bytes, mark: bytes) -> None:
        marks = self._all()
        if self._store._undo is not None:
            self._store._undo.append(restorer(marks, uuid))
        marks[uuid] = mark

    def is_placed(self, uuid: bytes) -> bool:
        return self._all().get(uuid) == _PLACED

    def is_deleted(self, uuid: bytes) -> bool:
        return self._all().get(uuid) == _GONE

    def any_unknown(self) -> bool:
        marks = self._all()
        return any(
            marks[uuid] == _PRESENT and self._store.get(uuid) is None for uuid in all_names(marks)
        )

    def to_delete(self, *, unseen: bool) -> Iterator[Record]:
        found = sorted(((each.key, each.uuid) for each in self._to_delete(unseen)), reverse=True)
        return filter(None, (self._store.get(uuid) for _, uuid in found))

    def count_to_delete(self, *, unseen: bool) -> int:
        return sum(1 for each in self._to_delete(unseen) if dn.is_live(each.key))

    def _to_delete(self, unseen: bool) -> Iterator[Record]:
        marks = self._all()
        candidates = self._store._names(_ENTRY) if unseen else all_names(marks)
        for uuid in candidates:
            if marks.get(uuid, _GONE) == _GONE:
                record = self._store.get(uuid)
                if record is not None:
                    yield record

    def clear(self) -> None:
        marks, self._marks = self._marks, None
        if marks is None:
            return
        if self._store._undo is None:
            _close(marks)
        else:
            self._cleared.append(marks)
            self._store._undo.append(self._unclear)

    def _unclear(self) -> None:
        marks, self._marks = self._marks, self._cleared.pop()
        if marks is not None:
            _close(marks)

    def close_cleared(self) -> None:
        """Close the mappings that were cleared in a savepoint that is over."""
        while self._cleared:
            _close(self._cleared.pop())


def _close(marks: Bytes) -> None:
    close = getattr(marks, "close", None)
    if close is not None:
        close()
