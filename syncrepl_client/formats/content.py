# SPDX-License-Identifier: BSD-3-Clause
"""Entries of a store in LDIF (RFC 2849) and JSON."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from ..entries import attributes
from ..entries.differences import without
from ..exceptions import StoreInvalid
from ..protocol.view import Record
from . import ldiflines
from .jsonlines import dumps, json_attributes

_AFTER_DN = ("changetype", "control")
"""What makes a change record of a content record, after its DN (RFC 2849)."""


def to_ldif(record: Record, leave_out: Collection[str]) -> str:
    """Return an entry as an LDIF content record, which ``ldapadd`` accepts.

    Args:
        record: the entry.
        leave_out: names, without options and in any case, of attributes that are not written.

    Raises:
        StoreInvalid: the entry is damaged.
    """
    attrs = without(attributes.decode(record.attrs), leave_out)
    if min(attrs, default="").lower() in _AFTER_DN:  # they are sorted
        raise StoreInvalid(
            f"no LDIF can be written of {record.dn!r}: its first attribute is {min(attrs)!r}, so "
            "that it would be read as a change record (RFC 2849)"
        )
    return ldiflines.content(record.dn, attrs)


def to_json(record: Record, leave_out: Collection[str]) -> str:
    """Return an entry as a JSON object on one line: ``dn``, ``uuid``, ``attributes``.

    Args:
        record: the entry.
        leave_out: names, without options and in any case, of attributes that are not written.

    Raises:
        StoreInvalid: the entry is damaged.
    """
    attrs = without(attributes.decode(record.attrs), leave_out)
    members: dict[str, Any] = {
        "dn": record.dn,
        "uuid": str(UUID(bytes=record.uuid)),
        "attributes": json_attributes(attrs),
    }
    # The only control character that JSON lets through.
    return dumps(members).replace("\x7f", "\\u007f") + "\n"
