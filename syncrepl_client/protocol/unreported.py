# SPDX-License-Identifier: BSD-3-Clause
"""Attributes of which a server reports no changes, as data.

Some values are not written into the entry: the server works them out for each answer.  Others are
written by an overlay of slapd that has syncprov not report it (``o_dont_replicate``).  So a store
keeps old values of them until a search without a cookie.

Users may not read which overlays a database has.  But a module of slapd adds the attribute types of
its configuration to the schema, which everybody may read.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple, Optional

from ..entries.schema import AttributeTypes
from ..entries.selection import Selection
from .dialect import DS389, OPENLDAP, Dialect

DERIVED = frozenset((
    "entrydn", "dsentrydn",  # the DN is compared itself; 389-ds has spellings of its own here
    "hassubordinates", "numsubordinates", "numallsubordinates", "tombstonenumsubordinates",
    "contextcsn",  # OpenLDAP's own cookie
    "subschemasubentry",
))  # fmt: skip
"""Lower-case names of attributes that no server reports changes of."""

_STAY = ("entrydn", "dsentrydn", "subschemasubentry", "contextcsn")
"""Those of them that are right nevertheless, or are for nobody but the server."""


_OVERLAYS = (
    ("memberof", "olcMemberOfGroupOC", ("memberOf",)),
    ("dynlist", "olcDynListAttrSet", ("memberOf", "member")),
    (
        "refint",
        "olcRefintAttribute",
        ("member", "uniqueMember", "manager", "owner", "secretary", "seeAlso", "roleOccupant"),
    ),
    (
        "collect",
        "olcCollectInfo",
        ("c-l", "c-st", "c-street", "c-o", "c-ou", "c-PostalAddress", "c-PostalCode",
         "c-PostOfficeBox", "c-PhysicalDeliveryOfficeName", "c-TelephoneNumber", "c-TelexNumber",
         "c-FacsimileTelephoneNumber", "c-InternationalISDNNumber"),
    ),
)  # fmt: skip
"""Overlays of slapd that change or make up attributes in silence: the name, as in ``olcOverlay``;
an attribute type that exists if its module is loaded; and what it changes, as far as that is not
configured otherwise.  Of ``memberof-refint`` the schema has no sign: whether it is on, nobody can
see."""

_OF_KIND = {OPENLDAP: ("memberOf",), DS389: ("nsRole",)}
"""Attributes that this kind of server makes up, where it has them at all."""


class Unreported(NamedTuple):
    """Attributes of a search whose changes are not reported.

    Attributes:
        attributes: their names.
        by: what changes them.
    """

    attributes: tuple[str, ...]
    by: str

    def __str__(self) -> str:
        return f"{', '.join(self.attributes)} ({self.by})"


def find(
    dialect: Dialect,
    requested: Collection[str],
    selection: Selection,
    types: Optional[AttributeTypes],
    overlays: Optional[Collection[str]] = None,
    virtual: Collection[str] = (),
) -> Iterator[Unreported]:
    """Yield the attributes of a search whose changes this server does not report.

    Args:
        dialect: of the server.
        requested: the attribute list of the search.
        selection: the same, applied.
        types: the server's attribute types; None if unknown.
        overlays: the names of slapd's overlays; None if unknown.
        virtual: attributes that 389-ds makes up by Class of Service.
    """
    named = {name.lower(): name for name in requested}
    derived = tuple(named[each] for each in sorted(DERIVED.difference(_STAY)) if each in named)
    if derived:
        yield Unreported(derived, "derived from other entries")
    if virtual := tuple(filter(selection.takes, virtual)):
        yield Unreported(virtual, "Class of Service")
    if dialect is OPENLDAP and overlays is None and types is not None:
        overlays = [name for name, sign, _ in _OVERLAYS if types.has_name(sign)]
    if dialect is OPENLDAP and overlays is not None:
        for name, _, attributes in _OVERLAYS:
            if name not in overlays:  # to look at the schema takes its time
                continue
            if taken := tuple(filter(selection.takes, attributes)):
                yield Unreported(taken, f"overlay {name}")
    elif made_up := tuple(each for each in _OF_KIND.get(dialect, ()) if each.lower() in named):
        yield Unreported(made_up, "made up by the server")
