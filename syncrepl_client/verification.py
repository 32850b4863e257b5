# SPDX-License-Identifier: BSD-3-Clause
"""Does the store still equal the directory?  An ordinary search says so, and changes nothing.

Content synchronization tells of changes only, so what a server once left out stays wrong for
good, and no later answer shows it.  An ordinary search of the same base, scope and filter is a
second witness: what it finds is compared with what is stored, by the rules of the store.

Not compared is what a server derives, and tells no change of:

* ``DERIVED``: from the entry's place, from the entries below it, or from the server.
* ``BOOKKEEPING``, where a resume leaves operational attributes out (389-ds): who wrote an
  entry, when, and as what number.  Other operational attributes, nsAccountLock for one, decide
  who gets in; a difference there is told of.

memberOf is compared.  OpenLDAP's overlay writes it behind syncprov's back, so a store that has
it, under OpenLDAP, is indeed behind the directory.
"""

import contextlib
from collections.abc import Collection, Generator, Iterable, Iterator
from enum import Enum
from itertools import islice
from typing import Callable, NamedTuple, Optional, Protocol

from . import attributes, dn
from .dialect import Dialect
from .exceptions import ConfigurationError, ProtocolError
from .messages import Attributes
from .store import Store
from .store.scratch import ScratchSet
from .view import Record
from .wire import Found

DERIVED = frozenset((
    "entrydn", "dsentrydn",  # the DN is compared itself; 389-ds has spellings of its own here
    "hassubordinates", "numsubordinates", "numallsubordinates", "tombstonenumsubordinates",
    "contextcsn",  # OpenLDAP's own cookie
    "subschemasubentry",
))  # fmt: skip
"""Attributes that no server tells changes of, in lower case."""

BOOKKEEPING = frozenset((
    "creatorsname", "createtimestamp", "modifiersname", "modifytimestamp",
    "internalcreatorsname", "internalmodifiersname",
    "entryuuid", "nsuniqueid", "entryid", "parentid", "entryusn",
))  # fmt: skip
"""Attributes that a 389-ds resume leaves out, and that mean nothing to who may do what."""

_MOST_ENTRIES = 2**31 - 1  # RFC 2696, 2: maxInt
_STORED_BETWEEN_STOPS = 256


class DifferenceKind(Enum):
    """How an entry of the store and one of the directory differ."""

    MISSING = "missing"
    """The directory has it, the store has not."""
    SURPLUS = "surplus"
    """The store has it, the directory has not."""
    DIFFERENT = "different"
    """Both have it, with other attributes."""
    RESPELLED = "respelled"
    """Both have it, and nothing but the spelling of its DN differs."""


class Difference(NamedTuple):
    """One entry that is not the same in the store and in the directory.

    Attributes:
        kind: how it differs.
        dn: its DN as the directory spells it; for a surplus entry, as the store does.
        stored_dn: its DN as the store spells it; None for a missing entry.
        attributes: names of the attributes that differ, if it is DIFFERENT.
    """

    kind: DifferenceKind
    dn: str
    stored_dn: Optional[str] = None
    attributes: tuple[str, ...] = ()


class Directory(Protocol):
    """What is asked of the connection."""

    def pages(self, size: int) -> Iterator[Found]:
        """Yield what the search finds."""

    def read_entry(self, name: str) -> Optional[Found]:
        """Return one entry as the search finds it."""

    def heed_stop(self) -> None:
        """Raise Stopped if somebody wants that."""

    def close(self) -> None:
        """Close the connection."""


def verify(
    connect: Callable[[], Directory], store: Store, dialect: Dialect, page_size: int, limit: int
) -> list[Difference]:
    """Return up to *limit* differences between *store* and what *connect* leads to.

    Raises:
        ConfigurationError: *page_size* or *limit* is no number of entries.
        StoreError: the store can't be read, or the temporary file not be written.
        ServerError, Stopped, ldap.LDAPError: as from the methods of the connection.
    """
    for name, value in (("page_size", page_size), ("limit", limit)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConfigurationError(f"{name} is a number of entries, not {value!r}")
        if not 1 <= value <= _MOST_ENTRIES:
            raise ConfigurationError(f"{name} is from 1 to {_MOST_ENTRIES}, not {value}")
    ignored = DERIVED | BOOKKEEPING if dialect.resume_ignores_selection else DERIVED
    with contextlib.closing(connect()) as directory:
        return _differences(directory, store, ignored, page_size, limit)


def _differences(
    directory: Directory, store: Store, ignored: Collection[str], page_size: int, limit: int
) -> list[Difference]:
    """Collect suspects, and keep those that still differ when they are looked at again.

    A paged search is no snapshot: an entry that is renamed while it goes on may be found at
    neither of its places, or at both.
    """
    confirmed: list[Difference] = []
    with contextlib.closing(_suspects(directory, store, ignored, page_size)) as suspects:
        while len(confirmed) < limit:
            batch = list(islice(suspects, limit - len(confirmed)))
            if not batch:
                break
            for name in batch:
                again = compare(store.at(_key(name)), directory.read_entry(name), ignored)
                if again is not None:
                    confirmed.append(again)
    return confirmed


def _suspects(
    directory: Directory, store: Store, ignored: Collection[str], page_size: int
) -> Generator[str, None, None]:
    """Yield the DN of each entry that seems to differ."""
    with ScratchSet() as seen:
        for found in directory.pages(page_size):
            stored = store.at(_key(found.dn))
            if stored is not None:
                seen.add(stored.uuid)
            if compare(stored, found, ignored) is not None:
                yield found.dn
        for number, record in enumerate(store.live()):
            if number % _STORED_BETWEEN_STOPS == 0:
                directory.heed_stop()
            if record.uuid not in seen:
                yield record.dn


def compare(
    stored: Optional[Record], found: Optional[Found], ignored: Iterable[str] = DERIVED
) -> Optional[Difference]:
    """Return how the two differ; None if they don't.

    Args:
        stored: what the store has at a DN; None for nothing.
        found: what the search finds there; None for nothing.
        ignored: names, in lower case, of attributes that are not compared.
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


def _key(name: str) -> bytes:
    try:
        if name:
            return dn.key(name)
    except ValueError:
        pass
    raise ProtocolError(f"the server sent an entry whose DN is not a DN: {name!r}")
