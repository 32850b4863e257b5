# SPDX-License-Identifier: BSD-3-Clause
"""The simulated directory of a feed: its entries, and the messages that a server would send."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Union

import ldap.dn

from ..entries import attributes, dn
from ..entries.attributes import Attributes
from ..exceptions import ConfigurationError, UsageError
from ..protocol.messages import Entry, State

AttributesLike = Mapping[str, Iterable[Union[str, bytes]]]
"""Names to values; text is encoded as UTF-8."""


class Held(NamedTuple):
    """An entry of the directory."""

    uuid: bytes
    dn: str
    attrs: Attributes

    def told(self, state: State) -> Entry:
        """Return the message about this entry.  The receiver may modify its attributes."""
        attrs = {name: list(values) for name, values in self.attrs.items()}
        return Entry(state, self.uuid, self.dn, attrs)


class Directory:
    """Entries by DN.  An entry may exist without its parent, as in the result of a search."""

    def __init__(self) -> None:
        """Initialize without entries."""
        self._entries: dict[bytes, Held] = {}
        self._made = 0

    def __iter__(self) -> Iterator[Entry]:
        """Yield the messages about all entries, parents first."""
        return (held.told(State.ADD) for _, held in sorted(self._entries.items()))

    def add(self, name: str, attrs: AttributesLike) -> Entry:
        """Add an entry; raise UsageError if its DN is taken."""
        key = _key(name)
        if key in self._entries:
            raise UsageError(f"add of {name!r}: there is such an entry; modify() changes it")
        added = _replaced({}, attrs)
        self._made += 1
        self._entries[key] = Held(self._made.to_bytes(16, "big"), name, added)
        return self._entries[key].told(State.ADD)

    def modify(self, name: str, attrs: AttributesLike) -> Entry:
        """Replace the attributes that *attrs* names; raise UsageError for an unknown DN."""
        key = self._known("modify", name)
        held = self._entries[key]
        self._entries[key] = held._replace(attrs=_replaced(held.attrs, attrs))
        return self._entries[key].told(State.MODIFY)

    def delete(self, name: str) -> Entry:
        """Delete one entry; raise UsageError for an unknown DN."""
        held = self._entries.pop(self._known("delete", name))
        return Entry(State.DELETE, held.uuid, held.dn, {})

    def rename(self, old: str, new: str, attrs: AttributesLike) -> list[Entry]:
        """Rename an entry and all entries below it; return the messages about them, its own first.

        Raises:
            UsageError: there is no entry *old*, or *new* is taken, or is below *old*, or an entry
                below *old* would take the DN of another one.
        """
        origin, target = self._known("rename", old), _key(new)
        if target != origin and target.startswith(origin):
            raise UsageError(f"rename of {old!r} to {new!r}, which is below it")
        held = self._entries[origin]
        values = _replaced(_renamed(held.attrs, held.dn, new), attrs)
        moved = {target: self._moved(held._replace(attrs=values), new)}
        below = sorted(key for key in self._entries if key != origin and key.startswith(origin))
        for key in below:
            relative, child = key[len(origin) :], self._entries[key]
            moved[target + relative] = self._moved(child, dn.rebase(child.dn, relative, new))
        for key in moved:
            if key in self._entries and key != origin and key not in below:
                taken = self._entries[key].dn
                raise UsageError(f"rename of {old!r} to {new!r}: there is an entry {taken!r}")
        for key in (origin, *below):
            del self._entries[key]
        self._entries.update(moved)
        return [each.told(State.MODIFY) for each in moved.values()]

    @staticmethod
    def _moved(held: Held, new: str) -> Held:
        return held._replace(dn=new, attrs=attributes.with_entry_dn(held.attrs, new))

    def _known(self, what: str, name: str) -> bytes:
        key = _key(name)
        if key not in self._entries:
            raise UsageError(f"{what} of {name!r}: there is no such entry; add() makes one")
        return key


def _key(name: str) -> bytes:
    try:
        if name:
            return dn.key(name)
    except (ValueError, TypeError, AttributeError):
        pass
    raise ConfigurationError(f"not the DN of an entry: {name!r}")


def _replaced(attrs: Attributes, new: AttributesLike) -> Attributes:
    """Return *attrs* with the values of *new*; attributes without values are removed."""
    if not isinstance(new, Mapping):
        raise ConfigurationError(f"attrs maps names to lists of values; it is no {_kind(new)}")
    spelled = {name.lower(): name for name in attrs}
    merged = dict(attrs)
    for name, values in new.items():
        if not isinstance(name, str):
            raise ConfigurationError(f"the name of an attribute is a str, not {name!r}")
        merged[spelled.setdefault(name.lower(), name)] = _encoded(name, values)
    return {name: values for name, values in merged.items() if values}


def _encoded(name: str, values: Iterable[Union[str, bytes]]) -> list[bytes]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise ConfigurationError(f"the values of {name} are a list, not a {_kind(values)}")
    encoded = [each.encode() if isinstance(each, str) else each for each in values]
    for each in encoded:
        if not isinstance(each, bytes):
            raise ConfigurationError(f"a value of {name} is a str or bytes, not a {_kind(each)}")
    return encoded


def _kind(value: object) -> str:
    return type(value).__name__


def _renamed(attrs: Attributes, old: str, new: str) -> Attributes:
    """Return *attrs* after a rename: naming values change with the RDN, if they are there.

    That is what a server does when told to delete the old RDN (RFC 4511, 4.9).
    """
    before, after = _naming(old), _naming(new)
    if before == after:
        return attrs
    spelled = {name.lower(): name for name in attrs}
    renamed = {name: list(values) for name, values in attrs.items()}
    for name, value in before:
        values = renamed.get(spelled.get(name, name), [])
        held = [each for each in values if each.lower() == value.lower()]
        if not held:  # the search did not ask for it
            return attrs
        values.remove(held[0])
    for name, value in after:
        renamed.setdefault(spelled.setdefault(name, name), []).append(value)
    return {name: values for name, values in renamed.items() if values}


def _naming(name: str) -> list[tuple[str, bytes]]:
    """Return the attributes, in lower case, and values of the RDN of *name*."""
    rdn = ldap.dn.str2dn(dn.split(name)[0])[0]
    return [(attribute.lower(), value.encode()) for attribute, value, _ in rdn]
