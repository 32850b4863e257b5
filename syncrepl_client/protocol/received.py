# SPDX-License-Identifier: BSD-3-Clause
"""The attributes of an entry as python-ldap hands them over: what of them is taken."""

from ..entries import descriptions
from ..entries.attributes import Attributes
from ..exceptions import ProtocolError


def checked(dn: str, attrs: Attributes) -> Attributes:
    """Return *attrs* without duplicate values: python-ldap merges what 389-ds splits.

    Attributes without values are refused: no search here asks for types only, and python-ldap
    hands over an empty list where it can't read the values, or has no memory for them.

    Raises:
        ProtocolError: a name is not valid, or there are no values.
    """
    for name in descriptions.invalid(attrs):
        raise ProtocolError(
            f"the server sent entry {dn!r} with an attribute called {name!r}, which no schema "
            "allows (RFC 4512, 2.5)"
        )
    for name, values in attrs.items():
        if not values:
            raise ProtocolError(
                f"the server sent entry {dn!r} with an attribute {name!r} without values, or "
                "with values that can't be read"
            )
        if len(values) != 1 and len(set(values)) != len(values):
            attrs[name] = list(dict.fromkeys(values))
    return attrs


def remove_invalid_names(attrs: Attributes) -> list[str]:
    """Remove the attributes from *attrs* whose names are not valid; return those names."""
    names = descriptions.invalid(attrs)
    for name in names:
        del attrs[name]
    return names
