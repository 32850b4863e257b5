# SPDX-License-Identifier: BSD-3-Clause
"""Facts about a server: its kind, what it supports, and whether an old cookie may be sent to it."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Optional

import ldap
from ldap.filter import escape_filter_chars

from ..entries import dn
from ..entries.schema import AttributeTypes
from ..entries.selection import needs_no_names, needs_types
from ..exceptions import SyncUnsupported
from ..protocol import dialect, knowledge, uniqueid, wire
from ..protocol.dialect import DS389, OTHER, Dialect
from ..protocol.knowledge import Knowledge
from ..protocol.unreported import Unreported
from ..url import SearchUrl
from . import syncprov, transport
from .session import Session
from .syncprov import LOST

if TYPE_CHECKING:  # few servers are foreign, and import takes its time
    from ..protocol.foreign import Foreign

logger = logging.getLogger(__name__)

Entry = Mapping[str, "list[bytes]"]
"""Attributes; their names in lower case."""

_ROOT_DSE = (
    "objectClass", "vendorName", "vendorVersion", "namingContexts", "subschemaSubentry",
    "supportedControl", "supportedExtension", "supportedCapabilities", "firstChangeNumber",
    "lastChangeNumber", "netscapeMDSuffix",
)  # fmt: skip
_VECTOR = "(&(nsUniqueId=ffffffff-ffffffff-ffffffff-ffffffff)(objectClass=nsTombstone))"
_MOST_PARENTS = 10_000
_REFUSALS = (
    ldap.PROTOCOL_ERROR, ldap.UNWILLING_TO_PERFORM, ldap.INSUFFICIENT_ACCESS,
    ldap.INAPPROPRIATE_AUTH, ldap.STRONG_AUTH_REQUIRED, ldap.CONFIDENTIALITY_REQUIRED,
)  # fmt: skip


class ServerFacts(NamedTuple):
    """Facts about a server, and about the client's identity there.

    Attributes:
        dialect: the kind of server.
        identity: the authorization identity of the connection (RFC 4532), "" for anonymous; None if
            unknown.
        epoch: when the server was started, in its own format; None where it doesn't matter.
        first_change: number of the first change in its changelog; None if unknown.
        last_change: number of the last change in its changelog; None if unknown.
        cancels: whether it supports Cancel (RFC 3909).
        base: the DN of the search base as the server writes it; None if that entry is not visible.
        types: the attribute types of its schema; None if they can't be read, or don't matter.
        suffix: DN of the naming context that is searched.
        knows: the changes that it has, as far as it tells.
        sid: its server ID, three hexadecimal digits (OpenLDAP).
        tells_deletes: False if a resume never reports deletes, as far as that is known.
        misconfigured: why the server omits changes as it is configured; None if unknown.
        proxied: whether the entries are of another kind of server than the root DSE.
        unreported: attributes of the search whose changes it does not report.
    """

    dialect: Dialect
    identity: Optional[str] = None
    epoch: Optional[str] = None
    first_change: Optional[int] = None
    last_change: Optional[int] = None
    cancels: bool = False
    base: Optional[str] = None
    types: Optional[AttributeTypes] = None
    suffix: str = ""
    knows: Knowledge = Knowledge()
    sid: Optional[bytes] = None
    tells_deletes: bool = True
    misconfigured: Optional[str] = None
    proxied: bool = False
    unreported: tuple[Unreported, ...] = ()


def probe(session: Session, url: SearchUrl) -> ServerFacts:
    """Return the facts about the server of *session*.

    Reads the root DSE, the attribute types and the DN of the search base, and sends "Who am I?" if
    the root DSE lists it.  389-ds's root DSE has the change numbers, and its ``cn=monitor`` the
    start time; both are readable by anyone unless an
    administrator changed that.

    Raises:
        SyncUnsupported: the server does not support RFC 4533, or not well enough.
        ldap.REFERRAL: another server has the search base.
        ldap.LDAPError: the connection is lost, or there was no answer in time.
    """
    root_dse = read_root_dse(session)
    if dialect.detect(root_dse) is OTHER:
        _check_followable(url, root_dse)
    if lacks(root_dse, wire.SYNC_REQUEST):
        raise SyncUnsupported(
            f"the server at {url.server} has no content synchronization (RFC 4533): on "
            "OpenLDAP, load and add the overlay syncprov; on 389-ds, enable the plug-ins "
            "'Retro Changelog' and 'Content Synchronization'"
        )
    found, base = facts(session, url, root_dse), _base(session, url)
    if (
        base is not None
        and found.dialect is not DS389
        and uniqueid.of_entry(base.attrs) is not None
    ):
        # The root DSE is a proxy's.
        found = ServerFacts(DS389, found.identity, cancels=found.cancels, proxied=True)
    types = None
    if found.dialect.resume_ignores_selection or needs_types(url.attributes):
        types = attribute_types(session, root_dse)
        if types is None and not needs_no_names(url.attributes):
            _warn_of_schema(url, root_dse)
    return found._replace(base=None if base is None else base.dn, types=types)


def _check_followable(url: SearchUrl, root_dse: Entry) -> None:
    """Check that the server with this *root_dse* is not one of those that can't be followed.

    Raises:
        SyncUnsupported: it is.
    """
    from ..protocol import foreign

    stranger = foreign.by_root_dse(root_dse)
    if stranger is not None:
        raise SyncUnsupported(
            f"the server at {url.server} is {stranger.name}, and can't be followed: "
            f"{stranger.reason}. {stranger.instead}"
        )


def _warn_of_schema(url: SearchUrl, root_dse: Entry) -> None:
    logger.warning(
        "the schema of %s can't be read: only attributes with exactly the names in the URL are "
        "accepted, no aliases or subtypes of them; let this user read attributeTypes of %s",
        url.server,
        _subschema(root_dse),
        extra={"event": "schema-unreadable"},
    )


def read_root_dse(session: Session) -> Entry:
    """Return the attributes of the root DSE that matter; none if it may not be read."""
    return read_entry(session, "", _ROOT_DSE)


def lacks(root_dse: Entry, control: str) -> bool:
    """Return True if *root_dse* lists controls, but not this one."""
    controls = root_dse.get("supportedcontrol", [])
    return bool(controls) and control.encode() not in controls


def foreign_by_refusal(session: Session) -> "Optional[Foreign]":
    """Return the kind of a server that can't be followed, by how it refuses an operation.

    Raises:
        ldap.LDAPError: the connection is lost, or there was no answer in time.
    """
    try:
        session.ask(wire.WHO_AM_I, "Who am I?")
    except _REFUSALS as error:
        from ..protocol import foreign

        return foreign.by_refusal(wire.details_of(error).get("info", ""))
    return None


def suffix_of(base: str, root_dse: Entry) -> str:
    """Return the naming context of *base*; *base* itself if none is known."""
    names = [name.decode(errors="replace") for name in root_dse.get("namingcontexts", [])]
    above = [name for name in names if name and dn.key(base).startswith(dn.key(name))]
    return max(above, key=len, default=base)


def facts(session: Session, url: SearchUrl, root_dse: Entry) -> ServerFacts:
    """Return the facts about the server with this *root_dse*.

    Raises:
        ldap.LDAPError: the connection is lost, or there was no answer in time.
    """
    kind = dialect.detect(root_dse)
    extensions = root_dse.get("supportedextension", [])
    suffix = suffix_of(url.base, root_dse)
    provider = syncprov.ask(session, url.base) if kind.merges_cookies else None
    return ServerFacts(
        dialect=kind,
        identity=_who_am_i(session) if wire.WHO_AM_I.encode() in extensions else None,
        epoch=_epoch(session) if kind.numbers_changes else None,
        first_change=_number(root_dse, "firstchangenumber") if kind.numbers_changes else None,
        last_change=_number(root_dse, "lastchangenumber") if kind.numbers_changes else None,
        cancels=wire.CANCEL.encode() in extensions,
        suffix=suffix,
        knows=(
            knowledge.of_csns(provider.csns)
            if provider is not None
            else _vector_and_data(session, suffix, root_dse)
            if kind.numbers_changes
            else Knowledge()
        ),
        sid=None if provider is None else provider.sid,
        tells_deletes=provider is None or provider.tells_deletes,
    )


def _vector_and_data(session: Session, suffix: str, root_dse: Entry) -> Knowledge:
    found = read_vector(session, suffix)
    read = read_entry(session, suffix, ("nsUniqueId", "createTimestamp"))
    made = b" ".join(read.get("nsuniqueid", []) + read.get("createtimestamp", []))
    data = {"suffix entry": made.decode(errors="backslashreplace")} if made else {}
    return found._replace(data={**found.data, **data}, server=_name(root_dse))


def read_vector(session: Session, suffix: str) -> Knowledge:
    """Return 389-ds's replica update vector at this time; nothing if this user can't read it.

    It is in the configuration, in memory.  ns-slapd redirects a search for the vector's tombstone
    to the same entry, if this user may search for tombstones.
    """
    replica = f"(&(objectClass=nsds5Replica)(nsDS5ReplicaRoot={escape_filter_chars(suffix)}))"
    for base, wanted in (("cn=mapping tree,cn=config", replica), (suffix, _VECTOR)):
        found = read_entry(session, base, ("nsds50ruv",), wanted, ldap.SCOPE_SUBTREE)
        if found.get("nsds50ruv"):
            return knowledge.of_ruv(found["nsds50ruv"])
    return Knowledge()


def knows_of(session: Session, suffix: str, csns: Iterable[str]) -> bool:
    """Say whether each of *csns* is that of an entry's last change: then OpenLDAP knows of it."""
    return all(
        read_entry(session, suffix, ("entryCSN",), f"(entryCSN={each})", ldap.SCOPE_SUBTREE)
        for each in csns
    )


def _base(session: Session, url: SearchUrl) -> Optional[wire.SearchEntry]:
    """Return the search base, as the server writes it, with its nsUniqueId; None if not visible.

    Raises:
        ldap.REFERRAL: the base is a referral, or below one.  Synchronized, such a base is
            noSuchObject for slapd; 389-ds answers with a reference, and no entries are left.
    """
    try:
        return session.find(url.base, "(objectClass=*)", [uniqueid.NAME])
    except ldap.REFERRAL as error:
        transport.explain_referral(error, url)
        raise
    except (ldap.SERVER_DOWN, ldap.CONNECT_ERROR, ldap.TIMEOUT):
        raise
    except (ldap.LDAPError, UnicodeDecodeError) as error:  # the search raises it, if it matters
        logger.debug(
            "%r on %s: %s", url.base, session.url.server, error, extra={"event": "refusal"}
        )
        return None


def last_change(session: Session) -> Optional[int]:
    """Return the number of the last change in the server's changelog; None if unknown."""
    return _number(read_entry(session, "", ("lastChangeNumber",)), "lastchangenumber")


def count_entries(session: Session, base: str) -> Optional[int]:
    """Return how many entries 389-ds has at and below *base*, by numSubordinates of each parent.

    Entries that this user can't read count too, except below parents that this user can't read.

    Returns:
        None if there are too many parents, or they can't be read.
    """
    total, name = 1, "numSubordinates"
    number = session.send(base, ldap.SCOPE_SUBTREE, f"({name}=*)", [name], sizelimit=_MOST_PARENTS)
    try:
        for raw in session.answers(number, f"the number of entries below {base!r}"):
            if raw.type == ldap.RES_SEARCH_ENTRY:
                attrs = {each.lower(): values for each, values in raw.data[0][1].items()}
                total += _number(attrs, name.lower()) or 0
    except ldap.LDAPError as error:
        if isinstance(error, LOST):
            raise
        return None
    return total


def read_entry(
    session: Session,
    name: str,
    attributes: Sequence[str],
    filter: str = "(objectClass=*)",
    scope: int = ldap.SCOPE_BASE,
) -> Entry:
    """Return *attributes* of an entry; none if it may not be read, or does not match."""
    try:
        return session.read(name, filter, attributes, scope)
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
    """Return the authorization identity (RFC 4532), "" for anonymous; None if unknown."""
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


def attribute_types(session: Session, root_dse: Entry) -> Optional[AttributeTypes]:
    """Return the attribute types of the server's schema; None if they can't be read."""
    subentry = _subschema(root_dse)
    schema = read_entry(session, subentry, ("attributeTypes",), "(objectClass=subschema)")
    descriptions = schema.get("attributetypes", [])
    return AttributeTypes(descriptions) if descriptions else None


def _subschema(root_dse: Entry) -> str:
    return root_dse.get("subschemasubentry", [b"cn=schema"])[0].decode(errors="replace")


def _name(root_dse: Entry) -> Optional[str]:
    """Return what 389-ds calls itself, host and port, in its cookies as in its root DSE."""
    value = b" ".join(root_dse.get("netscapemdsuffix", [])).decode(errors="backslashreplace")
    return value.partition("dc=")[2].replace(",dc=", ".") or None


def _epoch(session: Session) -> Optional[str]:
    values = read_entry(session, "cn=monitor", ("startTime",)).get("starttime", [])
    return values[0].decode(errors="backslashreplace") if values else None


def _number(entry: Entry, name: str) -> Optional[int]:
    values = entry.get(name, [])
    return int(values[0]) if values and values[0].isdigit() and len(values[0]) <= 20 else None
