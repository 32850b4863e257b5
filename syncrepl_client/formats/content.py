# SPDX-License-Identifier: BSD-3-Clause
"""Entries as they are, in LDIF (RFC 2849) and in JSON: what a store holds, for other programs."""

import io
from collections.abc import Collection
from typing import Any
from uuid import UUID

import ldif

from .. import attributes
from ..differences import without
from ..view import Record
from .jsonlines import dumps, json_values


class SafeLDIFWriter(ldif.LDIFWriter):
    """python-ldap's, which writes control characters as they are."""

    def _needs_base64_encoding(self, attr_type: str, attr_value: bytes) -> bool:
        # RFC 2849 allows them, but parsers strip them off as white space, and terminals obey.
        controls = min(attr_value, default=32) < 32 or 127 in attr_value
        return controls or super()._needs_base64_encoding(attr_type, attr_value)


def to_ldif(record: Record, leave_out: Collection[str]) -> str:
    """Return an entry of a store as an LDIF content record, which ``ldapadd`` takes.

    Args:
        record: the entry.
        leave_out: names, options aside and in any case, of attributes that are not written.

    Raises:
        StoreInvalid: the entry is damaged.
    """
    attrs = without(attributes.decode(record.attrs), leave_out)
    buffer = io.StringIO()
    SafeLDIFWriter(buffer).unparse(record.dn, attrs)
    return buffer.getvalue()


def to_json(record: Record, leave_out: Collection[str]) -> str:
    """Return an entry of a store as a JSON object on a line: ``dn``, ``uuid``, ``attributes``.

    Args:
        record: the entry.
        leave_out: names, options aside and in any case, of attributes that are not written.

    Raises:
        StoreInvalid: the entry is damaged.
    """
    attrs = without(attributes.decode(record.attrs), leave_out)
    members: dict[str, Any] = {
        "dn": record.dn,
        "uuid": str(UUID(bytes=record.uuid)),
        "attributes": {name: json_values(name, values) for name, values in attrs.items()},
    }
    # The only control character that JSON lets through.
    return dumps(members).replace("\x7f", "\\u007f") + "\n"
