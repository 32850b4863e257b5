# SPDX-License-Identifier: BSD-3-Clause
"""What it means: the changes that callbacks are told of."""

from enum import Enum
from typing import NamedTuple, Optional
from uuid import UUID

from . import attributes
from .messages import Attributes


class Phase(Enum):
    """Where in the content synchronization operation a message or change stands."""

    REFRESH = "refresh stage"
    """The refresh stage, while neither of its phases has shown itself."""
    PRESENT = "present phase"
    """The server names what is unchanged; what it does not name is gone."""
    DELETE = "delete phase"
    """The server names what is gone."""
    PERSIST = "persist stage"
    """Changes come as they happen."""
    OVER = "over"
    """The search has ended."""


class ChangeKind(Enum):
    """What happened to an entry."""

    ADD = "add"
    MODIFY = "modify"
    RENAME = "rename"
    DELETE = "delete"
    REFERENCE = "reference"


class Change(NamedTuple):
    """One change of the search's result: immutable, and complete.

    Attributes:
        kind: what happened; a RENAME may have changed attributes as well.
        uuid: the entryUUID (389-ds: made from nsUniqueId); it outlives renames.
        phase: in which phase the server told of it.
        old_dn: the DN so far; None for an ADD and for references.
        new_dn: the DN from now on; None for a DELETE and for references.
        old_attrs: the attributes so far; None for an ADD.
        new_attrs: the attributes from now on; None for a DELETE.  A reference has one
            attribute, ``ref``, with its LDAP URLs.
    """

    kind: ChangeKind
    uuid: UUID
    phase: Phase
    old_dn: Optional[str]
    new_dn: Optional[str]
    old_attrs: Optional[Attributes]
    new_attrs: Optional[Attributes]

    @property
    def attrs_changed(self) -> bool:
        """Whether attributes differ between two states of one entry."""
        old, new = self.old_attrs, self.new_attrs
        return old is not None and new is not None and not attributes.same(old, new)
