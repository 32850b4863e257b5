# SPDX-License-Identifier: BSD-3-Clause
"""The checks of :mod:`.examination` on a bound connection, in order.

Each is a function of a :class:`CheckContext` that yields findings; some store there what later ones
need.
"""

from collections.abc import Iterator
from typing import Callable

import ldap

from ..entries import dn
from ..exceptions import PagingUnsupported, ProtocolError, SyncUnsupported
from ..network import server, syncprov, transport, unreported
from ..protocol import foreign, wire
from ..protocol.dialect import DS389, OPENLDAP, OTHER
from ..protocol.foreign import Foreign
from ..protocol.messages import Done, Entry
from ..protocol.wire import details_of
from . import advice, kinds, probes
from .advice import Advice
from .context import NOT_YOU, CheckAborted, CheckContext, advice_for, words
from .findings import Finding, Findings
from .probes import Count

ANSWER_SECONDS = 30.0
"""How long a server may take for the first message of a search, or the next one."""
MOST_ENTRIES = 10_000
"""How many entries are read to find limits."""
PAGE = 500

_LIMITS = (ldap.SIZELIMIT_EXCEEDED, ldap.ADMINLIMIT_EXCEEDED, ldap.TIMELIMIT_EXCEEDED)
_COMPAT = "cn=compat,"
"""Is in the DNs of what slapi-nis makes up, on FreeIPA at least."""
_TLS_VERSIONS = {0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}


# --- connection and identity


def tls(context: CheckContext) -> Iterator[Finding]:
    """Check whether the connection is encrypted, and the certificate verified."""
    report, where = context.report, context.url.server
    if not context.encrypted:
        if transport.is_local(where):
            yield report.inapplicable("TLS", "not used; what is said does not leave this machine")
        elif context.password:
            yield report.failure("TLS", "not used: the password is sent in clear", advice.CLEAR)
        else:
            yield report.warning("TLS", "not used: whoever is between can read along", advice.CLEAR)
        return
    number = context.connection.ldap.get_option(ldap.OPT_X_TLS_VERSION)
    version = number if isinstance(number, str) else _TLS_VERSIONS.get(number, str(number))
    if context.connection.ldap.get_option(ldap.OPT_X_TLS_REQUIRE_CERT) not in (
        ldap.OPT_X_TLS_DEMAND,
        ldap.OPT_X_TLS_HARD,
    ):
        yield report.warning("TLS", f"{version}, with any certificate", advice.UNVERIFIED)
    else:
        yield report.ok("TLS", f"{version}, the certificate is valid")


def kind(context: CheckContext) -> Iterator[Finding]:
    """Detect the kind of server."""
    try:
        context.root_dse = server.read_root_dse(context.connection)
        context.facts = server.facts(context.connection, context.url, context.root_dse)
    except (*NOT_YOU, ldap.CONFIDENTIALITY_REQUIRED) as error:
        what = advice_for(error)
        raise CheckAborted(context.report.failure("server", words(error), what)) from None
    dialect = context.facts.dialect
    stranger = foreign.by_root_dse(context.root_dse)
    if stranger is None and dialect is OTHER and not context.root_dse.get("supportedcontrol"):
        stranger = server.foreign_by_refusal(context.connection)
    if stranger is not None:
        raise CheckAborted(foreigner(context.report, stranger))
    context.connection.ldap.takes_any_name = dialect.takes_any_name
    if not context.root_dse:
        yield context.report.failure("server", "its root DSE can't be read", advice.ROOT_DSE)
    elif dialect is not OTHER:
        version = context.root_dse.get("vendorversion", [b""])[0].decode(errors="replace")
        yield context.report.ok("server", " ".join(filter(None, (dialect.name, version))))
    else:
        yield context.report.warning("server", "none of the kinds that are known", advice.KIND)


def foreigner(report: Findings, stranger: Foreign) -> Finding:
    """Return the finding that the server can't be followed."""
    said = f"{stranger.name}, which can't be followed: {stranger.reason}"
    return report.failure("server", said, Advice(stranger.instead))


def bind(context: CheckContext) -> Iterator[Finding]:
    """Check the authorization identity of the connection."""
    identity, name = context.facts.identity, context.url.bindname
    if context.connection.password_warning is not None:
        yield context.report.warning("bind", context.connection.password_warning, advice.PASSWORD)
    if identity is None:
        yield context.report.unknown("bind", "the server does not say who we are (RFC 4532)")
    elif identity:
        if identity.startswith("dn:"):
            context.report = context.report._replace(bindname=identity[3:].strip())
        yield context.report.ok("bind", f"as {identity}")
    elif name is None:
        yield context.report.ok("bind", "anonymous")
    else:
        yield context.report.failure("bind", f"anonymous, not {name}", advice.CREDENTIALS)


def base(context: CheckContext) -> Iterator[Finding]:
    """Check that the search base exists."""
    name = context.url.base
    try:
        found = context.connection.read(name, "(objectClass=*)", ["objectClass"])
    except ldap.NO_SUCH_OBJECT as error:
        raise CheckAborted(
            context.report.failure("base", f"{name}: {words(error)}", advice.BASE)
        ) from None
    except ldap.REFERRAL as error:
        transport.explain_referral(error, context.url)
        said = details_of(error).get("info", words(error))
        raise CheckAborted(context.report.failure("base", said, advice.ELSEWHERE)) from None
    except (*NOT_YOU, ldap.CONFIDENTIALITY_REQUIRED) as error:
        said = f"{name}: {words(error)}"
        raise CheckAborted(context.report.failure("base", said, advice_for(error))) from None
    if found:
        yield context.report.ok("base", f"{name} is there")
    else:
        said = f"{name} is there, but its objectClass may not be read"
        yield context.report.warning("base", said, advice.BASE)


def proxy(context: CheckContext) -> Iterator[Finding]:
    """Check that the entries are of the same kind of server as the root DSE."""
    if context.facts.dialect is OPENLDAP and context.read(context.url.base, "nsUniqueId"):
        context.proxied = True
        said = "before 389-ds: that has made the entries, and the root DSE is OpenLDAP's"
        yield context.report.warning("proxy", said, advice.BEHIND_PROXY)


def attributes(context: CheckContext) -> Iterator[Finding]:
    """Look at the attribute list."""
    names = context.search.attributes
    if names and "*" not in names:
        yield context.report.ok("attributes", "asked for by name")
    else:
        name = context.facts.dialect.name
        what = advice.ATTRIBUTES.get(name, advice.ATTRIBUTES_ELSEWHERE)
        yield context.report.ok("attributes", "all user attributes are asked for", what)


# --- content synchronization


def _setup(context: CheckContext) -> Advice:
    if context.facts.dialect is DS389:
        return advice.COMPAT if _COMPAT in context.url.base.lower() else advice.PLUGINS
    return advice.SYNCPROV if context.facts.dialect is OPENLDAP else advice.NO_SYNC


def _lift(context: CheckContext) -> Advice:
    return advice.LIMITS.get(context.facts.dialect.name, advice.OTHER_LIMITS)


def control(context: CheckContext) -> Iterator[Finding]:
    """Check that the server supports RFC 4533."""
    if server.lacks(context.root_dse, wire.SYNC_REQUEST):
        said = "the server knows no content synchronization (RFC 4533)"
        yield context.report.failure("sync control", said, _setup(context))
    elif context.root_dse.get("supportedcontrol"):
        yield context.report.ok("sync control", "the server knows it (RFC 4533)")
    else:
        yield context.report.unknown("sync control", "the root DSE lists no controls")


def _where_it_is_refused(context: CheckContext) -> Advice:
    """Return the advice for a database without syncprov, which a superior's may serve."""
    facts = context.facts
    below = facts.dialect is OPENLDAP and dn.key(facts.suffix) != dn.key(context.url.base)
    if below and syncprov.serves(context.connection, facts.suffix):
        return advice.SUPERIOR
    return _setup(context)


def refresh(context: CheckContext) -> Iterator[Finding]:
    """Start a refresh, and end it after the first message."""
    if server.lacks(context.root_dse, wire.SYNC_REQUEST):
        return  # that was told
    try:
        message = probes.first_message(context.connection, context.facts, context.seconds)
    except (SyncUnsupported, ldap.INSUFFICIENT_ACCESS):
        said = f"refused: no content synchronization on {context.url.base} for this user"
        yield context.report.failure("refresh", said, _where_it_is_refused(context))
        return
    except _LIMITS as error:
        said = f"begun, and ended half done: {words(error)}"
        yield context.report.failure("refresh", said, _lift(context))
        return
    except ProtocolError as error:
        if context.facts.dialect is not DS389 or _COMPAT not in str(error).lower():
            raise
        yield context.report.failure("refresh", str(error), advice.COMPAT)
        return
    context.syncs = True
    if isinstance(message, Entry):
        yield context.report.ok("refresh", "begun, and canceled: entries come")
    elif isinstance(message, Done) and message.control is None:
        said = "the control is ignored: an ordinary answer came"
        yield context.report.failure("refresh", said, _setup(context))
        context.syncs = False
    elif message is None:
        said = f"begun, but nothing came within {context.seconds:g} s"
        yield context.report.warning("refresh", said, advice.EMPTY)
    else:
        yield context.report.warning("refresh", "the answer is empty", advice.EMPTY)


# --- other checks


def schema(context: CheckContext) -> Iterator[Finding]:
    """Check whether the attribute types can be read."""
    types = server.attribute_types(context.connection, context.root_dse)
    context.facts = context.facts._replace(types=types)
    if types is not None:
        yield context.report.ok("schema", "the attribute types can be read")
    else:
        said = "the attribute types can't be read: an attribute is known by one name only"
        yield context.report.warning("schema", said, advice.SCHEMA)


def unreported_attributes(context: CheckContext) -> Iterator[Finding]:
    """Look for attributes of the search whose changes are not reported."""
    facts = context.facts
    requested = context.search.attributes
    found = unreported.find(context.connection, facts.dialect, requested, facts.types, facts.suffix)
    if found:
        said = f"changes are not reported of {'; '.join(map(str, found))}"
        yield context.report.warning("unreported", said, advice.UNREPORTED)


def uuids(context: CheckContext) -> Iterator[Finding]:
    """Check whether operational attributes can be read; the UUID comes with the control."""
    facts = context.facts
    if facts.dialect is DS389:
        yield context.report.inapplicable("UUIDs", "made from nsUniqueId; entryUUID is not used")
    elif all(context.read(context.url.base, name) for name in ("entryUUID", "entryCSN")):
        yield context.report.ok("UUIDs", "entryUUID and entryCSN can be read")
    elif facts.dialect.refresh_misses_moved:
        said = "entryUUID or entryCSN can't be read: what moves during a refresh may seem deleted"
        yield context.report.warning("UUIDs", said, advice.MOVED)
    else:
        said = "entryUUID can't be read; it is not needed, as it comes with each entry"
        yield context.report.inapplicable("UUIDs", said)
    if context.read(context.url.base, "modifyTimestamp"):
        yield context.report.ok("operational", "operational attributes can be read")
    else:
        said = "modifyTimestamp of the base can't be read; only who asks for it needs it"
        yield context.report.inapplicable("operational", said)


def cancel(context: CheckContext) -> Iterator[Finding]:
    """Check whether the server supports Cancel."""
    if context.facts.cancels:
        yield context.report.ok("Cancel", "the server knows it (RFC 3909)")
    else:
        said = "the server does not know it: a stop abandons the search, and loses nothing"
        yield context.report.inapplicable("Cancel", said)


def limits(context: CheckContext) -> Iterator[Finding]:
    """Read many entries in one answer, as a refresh does."""
    found = probes.count(context.connection, MOST_ENTRIES, context.seconds)
    if found.error is not None:
        said = f"a search ends after {found.entries} entries: {words(found.error)}"
        yield context.report.failure("limits", said, _lift(context))
    else:
        yield context.report.ok("limits", _counted(found))


def pages(context: CheckContext) -> Iterator[Finding]:
    """Read many entries page by page, as ``verify()`` does."""
    try:
        found = probes.count_by_pages(context.connection, MOST_ENTRIES, PAGE)
    except PagingUnsupported:
        yield context.report.warning("pages", "the server has no paged results", advice.PAGES)
        return
    if found.error is not None:
        why = details_of(found.error).get("desc", "")
        said = f"no more than {found.entries} entries page by page: {why}"
        yield context.report.warning("pages", said, advice.PAGES)
    else:
        yield context.report.ok("pages", _counted(found))


def _counted(found: Count) -> str:
    if found.whole:
        return f"all entries came, {found.entries} of them"
    return f"{found.entries} entries came; there are more"


def completeness(context: CheckContext) -> Iterator[Finding]:
    """Compare the DNs of a refresh with those of an ordinary search."""
    if not context.syncs:
        return
    missing = probes.missing(context.connection, context.facts, MOST_ENTRIES, context.seconds)
    if missing is None:
        yield context.report.unknown("answer", f"it has more than {MOST_ENTRIES:,} entries")
    elif missing:
        more = "" if len(missing) == 1 else f" and {len(missing) - 1} more"
        said = f"a refresh lacks {missing[0]}{more}, which an ordinary search finds"
        yield context.report.failure("answer", said, advice.NOT_ALL)
    else:
        yield context.report.ok("answer", "a refresh has the same entries as an ordinary search")


Check = Callable[[CheckContext], Iterator[Finding]]
CHECKS: "tuple[tuple[str, Check], ...]" = (
    ("TLS", tls),
    ("server", kind),
    ("bind", bind),
    ("base", base),
    ("attributes", attributes),
    ("proxy", proxy),
    ("sync control", control),
    ("refresh", refresh),
    ("session log", kinds.session_log),
    ("clock", kinds.clock),
    ("glue", kinds.glue),
    ("change log", kinds.changelog),
    ("replication", kinds.replication),
    ("persist stage", kinds.persist),
    ("schema", schema),
    ("unreported", unreported_attributes),
    ("store", kinds.store),
    ("UUIDs", uuids),
    ("Cancel", cancel),
    ("limits", limits),
    ("pages", pages),
    ("answer", completeness),
)
"""All checks in order, with the subject of findings about errors in them."""
