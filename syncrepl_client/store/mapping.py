# SPDX-License-Identifier: BSD-3-Clause
"""A store over any mapping of bytes to bytes that can take all of a commit or nothing.

What a transaction writes is held back until then.  Under one letter each, the mapping
has the entries by UUID, UUIDs by key, how many entries lie below a key, and the origin.
"""

import math
import threading
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, Optional, TypeVar, Union

from .. import dn
from ..exceptions import StoreError, StoreInvalid
from ..view import Named, Record
from .base import Origin, Store

Bytes = MutableMapping[bytes, bytes]

_ENTRY, _KEY, _BELOW, _ORIGIN = b"e", b"k", b"b", b"o"


class MappingStore(Store):
    """Entries and cookie in a mapping; what its makers must add is the mapping's life."""

    named: "MappingNamed"

    def __init__(self, new_scratch: Callable[[], Bytes]) -> None:
        """Begin without a mapping; *new_scratch* makes one for what a refresh names."""
        self._data: Optional[Mapping[bytes, bytes]] = None
        self._pending: dict[bytes, Optional[bytes]] = {}
        self._counting = threading.Lock()  # over what count() reads from other threads
        self._committed: Optional[int] = None
        self._transaction = False
        self._undo: Optional[list[Callable[[], None]]] = None  # in a savepoint
        self.named = MappingNamed(self, new_scratch)

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
        """Yield the names of that *kind*, its letter left out."""
        for name in list(self._pending):
            if name[:1] == kind and self._pending[name] is not None:
                yield name[1:]
        for name in all_names(self._mapping):
            if name[:1] == kind and name not in self._pending:
                yield name[1:]

    # --- what it holds

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

    # --- changing it

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
        """Return how many live entries are pending more than there will be less."""
        return sum(
            (value is not None) - (name in self._mapping)
            for name, value in self._pending.items()
            if name[:1] == _KEY and dn.is_live(name[1:])
        )

    @abstractmethod
    def _flush(self, pending: dict[bytes, Optional[bytes]]) -> None:
        """Write that to the mapping, all of it or nothing."""

    def rollback(self) -> None:
        self._pending = {}
        self._transaction = False

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
                self.named.close_cleared()

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

    # --- for stores of format 1 that were not closed

    def _rebuild(self) -> None:
        """Make the indexes anew from the entries."""
        self.begin()
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
        self.commit()


V = TypeVar("V")


def restorer(mapping: MutableMapping[bytes, V], name: bytes) -> Callable[[], None]:
    """Return what puts *name* of *mapping* back to what it is now."""
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


class MappingNamed(Named):
    """What a refresh named, in a mapping of its own."""

    def __init__(self, store: MappingStore, new_scratch: Callable[[], Bytes]) -> None:
        """Look entries up in *store*."""
        self._store = store
        self._new = new_scratch
        self._words: Optional[Bytes] = None
        self._cleared: list[Bytes] = []  # in a savepoint, which may want them back

    def _all(self) -> Bytes:
        if self._words is None:
            self._words = self._new()
        return self._words

    def present(self, uuids: Iterable[bytes]) -> None:
        words = self._all()
        for uuid in uuids:
            if uuid not in words:
                self._say(uuid, _PRESENT)

    def placed(self, uuid: bytes) -> None:
        self._say(uuid, _PLACED)

    def gone(self, uuids: Iterable[bytes]) -> None:
        for uuid in uuids:
            self._say(uuid, _GONE)

    def _say(self, uuid: bytes, word: bytes) -> None:
        words = self._all()
        if self._store._undo is not None:
            self._store._undo.append(restorer(words, uuid))
        words[uuid] = word

    def is_placed(self, uuid: bytes) -> bool:
        return self._all().get(uuid) == _PLACED

    def unknown(self) -> bool:
        words = self._all()
        return any(
            words[uuid] == _PRESENT and self._store.get(uuid) is None for uuid in all_names(words)
        )

    def leavers(self, *, unnamed: bool) -> Iterator[Record]:
        found = sorted(((each.key, each.uuid) for each in self._leavers(unnamed)), reverse=True)
        return filter(None, (self._store.get(uuid) for _, uuid in found))

    def count_leavers(self, *, unnamed: bool) -> int:
        return sum(1 for each in self._leavers(unnamed) if dn.is_live(each.key))

    def _leavers(self, unnamed: bool) -> Iterator[Record]:
        words = self._all()
        candidates = self._store._names(_ENTRY) if unnamed else all_names(words)
        for uuid in candidates:
            if words.get(uuid, _GONE) == _GONE:
                record = self._store.get(uuid)
                if record is not None:
                    yield record

    def clear(self) -> None:
        words, self._words = self._words, None
        if words is None:
            return
        if self._store._undo is None:
            _close(words)
        else:
            self._cleared.append(words)
            self._store._undo.append(self._unclear)

    def _unclear(self) -> None:
        words, self._words = self._words, self._cleared.pop()
        if words is not None:
            _close(words)

    def close_cleared(self) -> None:
        """Close what was cleared in a savepoint that is over."""
        while self._cleared:
            _close(self._cleared.pop())


def _close(words: Bytes) -> None:
    close = getattr(words, "close", None)
    if close is not None:
        close()
