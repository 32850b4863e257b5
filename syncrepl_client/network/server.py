# SPDX-License-Identifier: BSD-3-Clause
"""What must be known of a server before it is searched, and before an old cookie goes to it."""

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional

import ldap

from .. import dialect, dn, wire
from ..dialect import Dialect
from ..exceptions import SyncUnsupported
from ..url import SearchUrl
from .session import Session

logger = logging.getLogger(__name__)

Entry = Mapping[str, "list[bytes]"]
"""Attributes; their names in lower case."""

_ROOT_DSE = (
    "objectClass", "vendorName", "vendorVersion", "namingContexts", "subschemaSubentry",
    "supportedControl", "supportedExtension", "firstChangeNumber", "lastChangeNumber",
)  # fmt: skip
_REFUSALS = (
    ldap.PROTOCOL_ERROR, ldap.UNWILLING_TO_PERFORM, ldap.INSUFFICIENT_ACCESS,
    ldap.INAPPROPRIATE_AUTH, ldap.STRONG_AUTH_REQUIRED, ldap.CONFIDENTIALITY_REQUIRED,
)  # fmt: skip


class ServerFacts(NamedTuple):
    """What a server says of itself, and of us.

    Attributes:
        dialect: which kind of server it is.
        identity: who it says we are (RFC 4532): an authorization identity, "" for nobody;
            None if it won't say.
        epoch: since when it runs, in its own words; None where that doesn't matter.
        first_change: number of the first change in its changelog; None if it doesn't say.
        last_change: number of the last change in its changelog; None if it doesn't say.
        cancels: whether it knows Cancel (RFC 3909).
        operational: names of its operational attributes, in lower case; empty where the
            dialect doesn't leave them out on resume.
    """

    dialect: Dialect
    identity: Optional[str] = None
    epoch: Optional[str] = None
    first_change: Optional[int] = None
    last_change: Optional[int] = None
    cancels: bool = False
    operational: "frozenset[str]" = frozenset()


def probe(session: Session, url: SearchUrl) -> ServerFacts:
    """Return the facts about the server that *session* leads to.

    Reads the root DSE, and asks who we are where that lists the operation.  389-ds's root DSE
    has the numbers of its changelog, and its ``cn=monitor`` when it was started; both are
    readable for anyone unless an administrator changed that.

    Raises:
        SyncUnsupported: the server doesn't know RFC 4533.
        ldap.LDAPError: the connection is lost, or there was no answer in time.
    """
    root_dse = read_root_dse(session)
    if lacks(root_dse, wire.SYNC_REQUEST):
        raise SyncUnsupported(
            f"the server at {url.server} has no content synchronization (RFC 4533): on "
            "OpenLDAP, load and add the overlay syncprov; on 389-ds, enable the plug-ins "
            "'Retro Changelog' and 'Content Synchronization'"
        )
    return facts(session, url, root_dse)


def read_root_dse(session: Session) -> Entry:
    """Return what is asked of the root DSE; nothing if it may not be read."""
    return read_entry(session, "", _ROOT_DSE)


def lacks(root_dse: Entry, control: str) -> bool:
    """Say whether the *root_dse* lists controls, and not this one."""
    controls = root_dse.get("supportedcontrol", [])
    return bool(controls) and control.encode() not in controls


def suffix_of(base: str, root_dse: Entry) -> str:
    """Return the naming context that *base* lies in, or else *base* itself."""
    names = [name.decode(errors="replace") for name in root_dse.get("namingcontexts", [])]
    above = [name for name in names if name and dn.key(base).startswith(dn.key(name))]
    return max(above, key=len, default=base)


def facts(session: Session, url: SearchUrl, root_dse: Entry) -> ServerFacts:
    """Return the facts about the server whose *root_dse* this is.

    Raises:
        ldap.LDAPError: the connection is lost, or there was no answer in time.
    """
    kind = dialect.detect(root_dse)
    extensions = root_dse.get("supportedextension", [])
    needs_names = kind.resume_ignores_selection and bool(url.attributes)
    return ServerFacts(
        dialect=kind,
        identity=_who_am_i(session) if wire.WHO_AM_I.encode() in extensions else None,
        epoch=_epoch(session) if kind.numbers_changes else None,
        first_change=_number(root_dse, "firstchangenumber") if kind.numbers_changes else None,
        last_change=_number(root_dse, "lastchangenumber") if kind.numbers_changes else None,
        cancels=wire.CANCEL.encode() in extensions,
        operational=_operational_names(session, root_dse) if needs_names else frozenset(),
    )


def last_change(session: Session) -> Optional[int]:
    """Return the number of the last change in the server's changelog, if it says that now."""
    return _number(read_entry(session, "", ("lastChangeNumber",)), "lastchangenumber")


def read_entry(session: Session, name: str, attributes: Sequence[str]) -> Entry:
    """Return these *attributes* of an entry; none if it may not be read."""
    try:
        return session.read(name, "(objectClass=*)", attributes)
    except (ldap.NO_SUCH_OBJECT, ldap.INSUFFICIENT_ACCESS) as error:
        logger.info(
            "%r can't be read on %s: %s",
            name,
            session.url.server,
            error,
            extra={"event": "refusal"},
        )
        return {}


def _who_am_i(session: Session) -> Optional[str]:
    """Return who the server says we are (RFC 4532), "" if nobody; None if it won't say."""
    try:
        answer = session.ask(wire.WHO_AM_I, "Who am I?")
    except _REFUSALS as error:
        logger.info(
            "%s does not say who we are: %s",
            session.url.server,
            error,
            extra={"event": "refusal"},
        )
        return None
    return answer.decode(errors="backslashreplace")


def _operational_names(session: Session, root_dse: Entry) -> "frozenset[str]":
    """Return the names, in lower case, of the attributes that the schema calls operational."""
    subentry = root_dse.get("subschemasubentry", [b"cn=schema"])[0].decode()
    schema = session.read(subentry, "(objectClass=subschema)", ["attributeTypes"])
    return wire.operational_names(schema.get("attributetypes", []))


def _epoch(session: Session) -> Optional[str]:
    values = read_entry(session, "cn=monitor", ("startTime",)).get("starttime", [])
    return values[0].decode(errors="backslashreplace") if values else None


def _number(entry: Entry, name: str) -> Optional[int]:
    values = entry.get(name, [])
    return int(values[0]) if values and values[0].isdigit() and len(values[0]) <= 20 else None
