# SPDX-License-Identifier: BSD-3-Clause
"""The attribute types of a server's schema: which names are names of the same attribute."""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple, Optional

OPERATIONAL = frozenset((
    # RFC 4512, 3.4, RFC 3672, RFC 4530, RFC 5020, and X.501
    "creatorsname", "createtimestamp", "modifiersname", "modifytimestamp",
    "structuralobjectclass", "governingstructurerule", "subschemasubentry",
    "collectiveattributesubentries", "hassubordinates", "numsubordinates",
    "entryuuid", "entrydn",
    # OpenLDAP, with its overlays lastbind and ppolicy
    "entrycsn", "contextcsn", "namingcsn", "syncreplcookie", "dynamicsubtrees",
    "authtimestamp", "pwdchangedtime", "pwdfailuretime", "pwdgraceusetime", "pwdhistory",
    "pwdlastsuccess",
    # 389 Directory Server
    "nsuniqueid", "nsparentuniqueid", "entryid", "parentid", "entryusn", "dsentrydn",
    "nscpentrydn", "internalcreatorsname", "internalmodifiersname", "nsrole", "pwdupdatetime",
    "tombstonenumsubordinates",
))  # fmt: skip
"""Lower-case names of attributes that servers maintain: who changed an entry, when, and its
number.  Users can't modify them (``NO-USER-MODIFICATION``)."""

# RFC 4512, 4.1.2.  Quoted strings may contain anything, so all but the names are removed first.
# They are compiled when they are first used: a start without changes does not use them.
_OID = r"\(\s*([^\s()']+)"
_NAMES = r"\bNAME\s+(?:'([^']*)'|\(([^()]*)\))"
_QUOTED = "'[^']*'"
_SUP = r"\bSUP\s+([^\s()]+)"
_OPERATIONAL = r"\bUSAGE\s+(?:directoryOperation|distributedOperation|dSAOperation)\b"


class _Type(NamedTuple):
    names: tuple[str, ...]
    sup: Optional[str]
    operational: bool


class AttributeTypes:
    """Attribute types by name and object identifier, in any case.

    The descriptions are parsed at the first question.  A start without changes asks none.
    """

    def __init__(self, descriptions: Sequence[bytes] = ()) -> None:
        """Initialize from AttributeTypeDescriptions (RFC 4512, 4.1.2); skip malformed ones."""
        self._descriptions = descriptions

    @cached_property
    def _types(self) -> dict[str, _Type]:
        found = (_read(each.decode(errors="replace")) for each in self._descriptions)
        return dict(each for each in found if each is not None)

    @cached_property
    def _identifiers(self) -> dict[str, str]:
        return {name: oid for oid, each in self._types.items() for name in (oid, *each.names)}

    def identifier(self, name: str) -> str:
        """Return the lower-case object identifier of *name*; of an unknown name, the name itself.

        Args:
            name: an attribute name or object identifier, without options.
        """
        lower = name.lower()
        return self._identifiers.get(lower, lower)

    def has_name(self, name: str) -> bool:
        """Return True if a description has *name*, in this case; without parsing them all."""
        quoted = f"'{name}'".encode()
        return any(quoted in each for each in self._descriptions)

    def lineage(self, name: str) -> Iterator[str]:
        """Yield the identifiers of *name*, without options, and of its supertypes."""
        seen: set[str] = set()
        identifier = self.identifier(name)
        while identifier not in seen:
            yield identifier
            seen.add(identifier)
            known = self._types.get(identifier)
            if known is not None and known.sup is not None:
                identifier = self.identifier(known.sup)

    def is_operational(self, name: str) -> bool:
        """Return True if *name*, without options, is a known operational attribute."""
        known = self._types.get(self.identifier(name))
        return known is not None and known.operational


def _read(description: str) -> Optional[tuple[str, _Type]]:
    """Return the lower-case object identifier of an attribute type, and the type."""
    found = re.match(_OID, description)
    if found is None:
        return None
    named = re.search(_NAMES, description)
    names = "" if named is None else named[1] or named[2] or ""
    rest = re.sub(_QUOTED, "", description)
    sup = re.search(_SUP, rest)
    return found[1].lower(), _Type(
        tuple(name.strip("'").lower() for name in names.split()),
        None if sup is None else sup[1].lower(),
        re.search(_OPERATIONAL, rest) is not None,
    )
