# SPDX-License-Identifier: BSD-3-Clause
"""What the subcommands share that look at the log of changes of a state."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Optional, Union
from uuid import UUID

import click

from .. import url
from ..changelog import Entry, Event
from ..entries import attributes, dn
from ..entries.filters import Filter
from ..exceptions import ConfigurationError
from ..protocol.view import Record
from ..store import StoreReader

Name = Union[str, UUID]
"""The DN or the entryUUID of an entry."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def name(text: str) -> Name:
    """Parse the DN or the entryUUID of an entry.

    Raises:
        click.BadParameter: it is neither.
    """
    if _UUID.fullmatch(text):
        return UUID(text)
    try:
        if dn.key(text):
            return text
    except ValueError:
        pass
    raise click.BadParameter(f"{text!r} is neither the DN nor the UUID of an entry.")


def is_name(text: str, reader: StoreReader) -> bool:
    """Return True if *text* is a UUID, or a DN at or below the base of the state's search."""
    if _UUID.fullmatch(text):
        return True
    followed = reader.origin.url
    try:
        base = dn.key(url.parse(followed).base) if followed else b""
        return dn.key(text).startswith(base)
    except ValueError:
        return False


def matching(events: Iterator[Event], filter: str) -> Iterator[Event]:
    """Yield the events of entries that matched *filter* before or after the change.

    Raises:
        click.BadParameter: it is not a filter.
    """
    try:
        condition = Filter(filter)
    except ConfigurationError as error:
        raise click.BadParameter(f"{error}.") from None
    for event in events:
        change = event.change
        states = () if change is None else (change.old_attrs, change.new_attrs)
        if any(attrs is not None and condition.matches(attrs) for attrs in states):
            yield event


def entry_at(reader: StoreReader, of: Name, time: Optional[datetime]) -> Optional[Entry]:
    """Return an entry as it was at *time*, or is if that is None; None if there is none.

    Raises:
        UsageError: the state has no log of changes, or it does not go back to *time*.
    """
    if time is not None:
        return reader.changelog.entry_at(of, time)
    found = reader.get(of.bytes) if isinstance(of, UUID) else reader.at(dn.key(of))
    if found is None or not dn.is_live(found.key):
        return None
    return Entry(UUID(bytes=found.uuid), found.dn, attributes.decode(found.attrs))


def record(entry: Entry) -> Record:
    """Return *entry* in the form of an entry of a store."""
    return Record(entry.uuid.bytes, b"", entry.dn, attributes.encode(entry.attrs))
