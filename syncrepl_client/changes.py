# SPDX-License-Identifier: BSD-3-Clause
"""Changes, as callbacks get them."""

from datetime import datetime
from enum import Enum
from typing import NamedTuple, Optional
from uuid import UUID

from .entries import attributes
from .entries.attributes import Attributes


class Phase(Enum):
    """A phase or stage of the content synchronization operation (RFC 4533, 3.3 and 3.4)."""

    REFRESH = "refresh stage"
    """The refresh stage, while it is unknown which phase it is in."""
    PRESENT = "present phase"
    """The server names unchanged entries; those that it does not name are gone."""
    DELETE = "delete phase"
    """The server names deleted entries."""
    PERSIST = "persist stage"
    """The server sends changes as they happen."""
    OVER = "over"
    """The search has ended."""


class ChangeKind(Enum):
    """The kind of a change."""

    __hash__ = object.__hash__  # members are compared by identity, and Enum's is slow

    ADD = "add"
    MODIFY = "modify"
    RENAME = "rename"
    DELETE = "delete"
    REFERENCE = "reference"


class Change(NamedTuple):
    """One change of the search's result.

    Attributes:
        kind: what happened; a RENAME may have changed attributes as well.
        uuid: the entryUUID (389-ds: derived from nsUniqueId); renames do not change it.
        phase: the phase in which the server sent it.
        old_dn: the old DN; None for an ADD and for references.
        new_dn: the new DN; None for a DELETE and for references.
        old_attrs: the old attributes; None for an ADD.
        new_attrs: the new attributes; None for a DELETE.  A reference has one attribute, ``ref``,
            with its LDAP URLs.
        time: when the program was told of it, in UTC; None before that.
    """

    kind: ChangeKind
    uuid: UUID
    phase: Phase
    old_dn: Optional[str]
    new_dn: Optional[str]
    old_attrs: Optional[Attributes]
    new_attrs: Optional[Attributes]
    time: Optional[datetime] = None

    @property
    def attrs_changed(self) -> bool:
        """Whether both states have attributes, and they differ."""
        old, new = self.old_attrs, self.new_attrs
        return old is not None and new is not None and not attributes.same(old, new)
