# SPDX-License-Identifier: BSD-3-Clause
"""Verification: compares the store with the result of a search without content synchronization.

Content synchronization reports changes only, so what a server once omitted stays wrong, and no
later answer shows it.  Therefore another search for the same base, scope, filter and attributes is
compared with the store, by the rules of the store.

Not compared are attributes that a server derives, and reports no changes of:

* ``DERIVED``: from the position of the entry, from the entries below it, or from the server.
* ``BOOKKEEPING``, where a resume omits operational attributes (389-ds): who changed an entry,
  when, and its number.  Other operational attributes, nsAccountLock for example, decide who may
  log in; a difference in those is returned.

memberOf is compared.  OpenLDAP's overlay writes it without syncprov's knowledge, so a store that
has it, on OpenLDAP, is in fact out of date.
"""

import contextlib
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from enum import Enum
from itertools import islice
from typing import Callable, NamedTuple, Optional, Protocol

from ..entries import attributes, dn
from ..entries.attributes import Attributes
from ..exceptions import ConfigurationError, ProtocolError
from ..network.parentage import Place
from ..protocol.dialect import Dialect
from ..protocol.unreported import DERIVED
from ..protocol.view import Record
from ..protocol.wire import SearchEntry
from ..store import Store
from ..store.scratch import ScratchSet
from . import misnaming

BOOKKEEPING = frozenset((
    "creatorsname", "createtimestamp", "modifiersname", "modifytimestamp",
    "internalcreatorsname", "internalmodifiersname",
    "entryuuid", "nsuniqueid", "entryid", "parentid", "entryusn",
))  # fmt: skip
"""Lower-case names of attributes that a 389-ds resume omits, and that grant nobody anything."""

_MOST_ENTRIES = 2**31 - 1  # RFC 2696, 2: maxInt
_STORED_BETWEEN_STOPS = 256


class DifferenceKind(Enum):
    """How an entry differs between the store and the directory."""

    MISSING = "missing"
    """The directory has it, the store does not."""
    SURPLUS = "surplus"
    """The store has it, the directory does not."""
    DIFFERENT = "different"
    """Both have it, with other attributes."""
    RESPELLED = "respelled"
    """Both have it, and only the spelling of its DN differs."""


class Difference(NamedTuple):
    """One entry that differs between the store and the directory.

    Attributes:
        kind: how it differs.
        dn: its DN as spelled in the directory; for a surplus entry, as in the store.
        stored_dn: its DN as spelled in the store; None for a missing entry.
        attributes: names of the attributes that differ, if it is DIFFERENT.
    """

    kind: DifferenceKind
    dn: str
    stored_dn: Optional[str] = None
    attributes: tuple[str, ...] = ()


class Directory(Protocol):
    """The methods of :class:`.PagedSearch` that are used."""

    def pages(self, size: int) -> Iterator[SearchEntry]:
        """Yield the entries of the search."""

    def read_entry(self, name: str) -> Optional[SearchEntry]:
        """Return one entry of the search; None if it is not in the result."""

    def identify(self, name: str) -> Optional[bytes]:
        """Return the UUID of an entry (389-ds); None if it can't be read."""

    def places(self, uuids: Collection[bytes]) -> Mapping[bytes, Place]:
        """Return where entries are, of those of the given UUIDs that a search finds (389-ds)."""

    def raise_if_stopped(self) -> None:
        """Raise Stopped if a stop was asked for."""

    def close(self) -> None:
        """Close the connection."""


def verify(
    connect: Callable[[], Directory], store: Store, dialect: Dialect, page_size: int, limit: int
) -> list[Difference]:
    """Return up to *limit* differences between *store* and the directory.

    Raises:
        ConfigurationError: *page_size* or *limit* is not valid.
        StoreError: the store can't be read, or the temporary file can't be written.
        ServerError, Stopped, ldap.LDAPError: as the methods of the connection.
    """
    for name, value in (("page_size", page_size), ("limit", limit)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConfigurationError(f"{name} is a number of entries, not {value!r}")
        if not 1 <= value <= _MOST_ENTRIES:
            raise ConfigurationError(f"{name} is from 1 to {_MOST_ENTRIES}, not {value}")
    ignored = DERIVED | BOOKKEEPING if dialect.resume_ignores_selection else DERIVED
    with contextlib.closing(connect()) as directory:
        comparison = _Comparison(directory, store, ignored, misnames=dialect.misnames)
        found = _differences(comparison, page_size, limit)
        comparison.report()
        return found


class _Comparison:
    """The comparison of one entry after the other, as it is now."""

    def __init__(
        self, directory: Directory, store: Store, ignored: Collection[str], *, misnames: bool
    ) -> None:
        self.directory = directory
        self.store = store
        self.ignored = ignored
        self._misnames = misnames
        self._misnamed: dict[str, str] = {}

    def compare(self, name: str) -> Optional[Difference]:
        """Return the difference of the entry *name*; None if there is none."""
        stored, found = _stored(self.store, name), self.directory.read_entry(name)
        difference = compare(stored, found, self.ignored)
        if difference is None or not self._misnames or (stored and found):
            return difference
        record = self._despite_name(name, stored)
        if record is None:
            return difference
        if found is None:  # it is found with an old DN, and that is compared
            return None
        self._misnamed.setdefault(name, record.dn)
        return compare(record, found._replace(dn=record.dn), self.ignored)

    def _despite_name(self, name: str, stored: Optional[Record]) -> Optional[Record]:
        """Return the stored entry that is where the store has it, though a search does not say so.

        See :mod:`.misnaming`.
        """
        record = stored or self.store.get(self.directory.identify(name) or b"")
        if record is None or not dn.is_live(record.key):
            return None
        lineage = [record.uuid, *misnaming.above(record, self.store)]
        places = self.directory.places(lineage)
        name = misnaming.true_name(lineage, places)
        return record if self.store.key(name) == record.key else None

    def report(self) -> None:
        """Log what the server misnames."""
        if self._misnamed:
            name, stored = next(iter(self._misnamed.items()))
            misnaming.warn("the server", len(self._misnamed), name, stored)


def _differences(comparison: _Comparison, page_size: int, limit: int) -> list[Difference]:
    """Collect entries that seem to differ, and keep those that still do when read again.

    A paged search is not a snapshot: an entry that is renamed meanwhile may be found at neither of
    its DNs, or at both.
    """
    confirmed: list[Difference] = []
    with contextlib.closing(_suspects(comparison, page_size)) as suspects:
        while len(confirmed) < limit:
            batch = list(islice(suspects, limit - len(confirmed)))
            if not batch:
                break
            for name in batch:
                again = comparison.compare(name)
                if again is not None:
                    confirmed.append(again)
    return confirmed


def _suspects(comparison: _Comparison, page_size: int) -> Generator[str, None, None]:
    """Yield the DN of each entry that seems to differ."""
    directory, store, ignored = comparison.directory, comparison.store, comparison.ignored
    with ScratchSet() as seen:
        for found in directory.pages(page_size):
            stored = _stored(store, found.dn)
            if stored is not None:
                seen.add(stored.uuid)
            if compare(stored, found, ignored) is not None:
                yield found.dn
        for number, record in enumerate(store.live()):
            if number % _STORED_BETWEEN_STOPS == 0:
                directory.raise_if_stopped()
            if record.uuid not in seen:
                yield record.dn


def compare(
    stored: Optional[Record], found: Optional[SearchEntry], ignored: Iterable[str] = DERIVED
) -> Optional[Difference]:
    """Return the difference between two states of an entry; None if there is none.

    Args:
        stored: the entry in the store; None if there is none.
        found: the entry in the directory; None if there is none.
        ignored: lower-case names of attributes that are not compared.
    """
    if found is None:
        if stored is None:
            return None
        return Difference(DifferenceKind.SURPLUS, stored.dn, stored.dn)
    if stored is None:
        return Difference(DifferenceKind.MISSING, found.dn)
    names = _differing(attributes.decode(stored.attrs), found.attrs, ignored)
    if names:
        return Difference(DifferenceKind.DIFFERENT, found.dn, stored.dn, names)
    if stored.dn != found.dn:
        return Difference(DifferenceKind.RESPELLED, found.dn, stored.dn)
    return None


def _differing(stored: Attributes, found: Attributes, ignored: Iterable[str]) -> tuple[str, ...]:
    if stored == found:
        return ()
    names = attributes.changed(stored, found)
    return tuple(sorted(name for name in names if name.lower() not in ignored))


def _stored(store: Store, name: str) -> Optional[Record]:
    try:
        if name:
            return store.at(store.key(name))
    except ValueError:
        pass
    raise ProtocolError(f"the server sent an entry whose DN is not a DN: {name!r}")
