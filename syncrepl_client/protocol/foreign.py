# SPDX-License-Identifier: BSD-3-Clause
"""Servers that can't be followed, and how they give themselves away: data.

Most have no content synchronization at all.  Some of those ignore a control that they don't
know, critical or not, and list none in their root DSE.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple, Optional

_ACTIVE_DIRECTORY = b"1.2.840.113556.1.4.800"  # LDAP_CAP_ACTIVE_DIRECTORY_OID, MS-ADTS 3.1.1.3.4.3


class Foreign(NamedTuple):
    """A kind of server that can't be followed.

    Attributes:
        name: what it is.
        reason: why it can't be followed.
        instead: what there is instead; may be empty.
    """

    name: str
    reason: str
    instead: str = ""


_NONE = "it has no content synchronization (RFC 4533)"
_DIRSYNC = (
    "Use what it has: the control DirSync (1.2.840.113556.1.4.841), or searches for entries whose "
    "uSNChanged has grown."
)
_PROGRAM = "Follow the directory that it takes its entries from, if there is one."

APACHEDS = Foreign(
    "ApacheDS",
    # Seen with 2.0.0.AM26: the contextCSN goes back to that of the newest entry left.
    "after a delete it answers a search without a cookie with a part of the entries, and changes "
    "of entries older than a client's first search are never told",
    "Move to OpenLDAP or 389 Directory Server.",
)
SAMBA = Foreign("Samba as an Active Directory domain controller", _NONE, _DIRSYNC)
ACTIVE_DIRECTORY = Foreign("Active Directory", _NONE, _DIRSYNC)
LDAPJS = Foreign("a program made with ldapjs (Node.js)", _NONE, _PROGRAM)
LDAPTOR = Foreign("a program made with ldaptor (Python)", _NONE, _PROGRAM)
NET_LDAP_SERVER = Foreign("a program made with Net::LDAP::Server (Perl)", _NONE, _PROGRAM)

_REFUSALS = (
    (re.compile(r"[\d.]+ not supported"), LDAPJS),
    (re.compile(r"Unknown extended request\b.*"), LDAPTOR),
    (re.compile(r"\w+ operation is not supported by \S+"), NET_LDAP_SERVER),
)
"""How each refuses an operation that it does not know: Who am I (RFC 4532), say, or a bind."""


def by_root_dse(root_dse: Mapping[str, "list[bytes]"]) -> Optional[Foreign]:
    """Return which one it is whose root DSE (names in lower case) this is; None: none of them."""
    vendor = b" ".join(root_dse.get("vendorname", []))
    if b"Apache" in vendor:
        return APACHEDS
    if b"Samba" in vendor:
        return SAMBA
    if _ACTIVE_DIRECTORY in root_dse.get("supportedcapabilities", []):
        return ACTIVE_DIRECTORY
    return None


def by_refusal(text: str) -> Optional[Foreign]:
    """Return which one says this when it refuses an operation; None: none of them."""
    return next((each for words, each in _REFUSALS if words.fullmatch(text)), None)
