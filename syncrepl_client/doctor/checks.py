# SPDX-License-Identifier: BSD-3-Clause
"""What :mod:`.examination` looks at once it is bound, one check after the other.

Each is a function of a :class:`Peer` that yields findings; some leave there what later ones need.
"""

from collections.abc import Iterator
from typing import Callable

import ldap

from .. import csn, wire
from ..dialect import DS389, OPENLDAP, OTHER
from ..exceptions import PagingUnsupported, SyncUnsupported
from ..messages import Done, Entry
from ..network import server, transport
from ..network.connection import Connection
from ..network.server import ServerFacts
from ..wire import details_of
from . import advice, trial
from .advice import Advice
from .findings import Finding, Findings
from .trial import Count, Resume

ANSWER_SECONDS = 30.0
"""How long a server may take for the first message of a search, or the next one."""
MOST_ENTRIES = 10_000
"""So many entries are read to find out where a limit is."""
PAGE = 500

_LIMITS = (ldap.SIZELIMIT_EXCEEDED, ldap.ADMINLIMIT_EXCEEDED, ldap.TIMELIMIT_EXCEEDED)
_NOT_YOU = (
    ldap.STRONG_AUTH_REQUIRED, ldap.INAPPROPRIATE_AUTH, ldap.INSUFFICIENT_ACCESS,
    ldap.UNWILLING_TO_PERFORM,  # slapd's "authentication required"
)  # fmt: skip
_TLS_VERSIONS = {0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}


class Hopeless(Exception):
    """Where this is so, nothing more can be found out."""

    def __init__(self, finding: Finding) -> None:
        """Take the *finding* that says so."""
        super().__init__(finding.found)
        self.finding = finding


class Peer:
    """A server that has let us in.

    Attributes:
        connection: to it; its URL asks for no attributes.
        say: makes findings about it.
        encrypted: whether TLS is spoken.
        password: whether the server was shown a password.
        root_dse: of the server, once it was read.
        facts: about the server, once they are known.
        syncs: whether a refresh could be begun.
    """

    def __init__(
        self, connection: Connection, say: Findings, *, encrypted: bool, password: bool
    ) -> None:
        """Begin with what is known."""
        self.connection = connection
        self.url = connection.url
        self.say = say
        self.encrypted = encrypted
        self.password = password
        self.root_dse: server.Entry = {}
        self.facts = ServerFacts(OTHER)
        self.syncs = False

    def read(self, name: str, attribute: str) -> "list[bytes]":
        """Return the values of an attribute of the entry *name*; none if it may not be read."""
        try:
            return self.connection.read(name, "(objectClass=*)", [attribute])[attribute.lower()]
        except (KeyError, ldap.NO_SUCH_OBJECT, ldap.INSUFFICIENT_ACCESS):
            return []


def words(error: Exception) -> str:
    """Return what *error* says."""
    return transport.described(error) if isinstance(error, ldap.LDAPError) else str(error)


def advice_for(error: Exception) -> Advice:
    """Return what to do about an *error* that no check expects."""
    if isinstance(error, ldap.CONFIDENTIALITY_REQUIRED):
        return advice.CLEAR
    return advice.WHO if isinstance(error, _NOT_YOU) else advice.AGAIN


# --- the connection, and who we are


def tls(peer: Peer) -> Iterator[Finding]:
    """Look at whether others can listen."""
    say, where = peer.say, peer.url.server
    if not peer.encrypted:
        if transport.is_local(where):
            yield say.inapplicable("TLS", "not used; what is said does not leave this machine")
        elif peer.password:
            yield say.failure("TLS", "not used: the password is sent in clear", advice.CLEAR)
        else:
            yield say.warning("TLS", "not used: whoever is between can read along", advice.CLEAR)
        return
    number = peer.connection.ldap.get_option(ldap.OPT_X_TLS_VERSION)
    version = number if isinstance(number, str) else _TLS_VERSIONS.get(number, str(number))
    if peer.connection.ldap.get_option(ldap.OPT_X_TLS_REQUIRE_CERT) not in (
        ldap.OPT_X_TLS_DEMAND,
        ldap.OPT_X_TLS_HARD,
    ):
        yield say.warning("TLS", f"{version}, with any certificate", advice.UNVERIFIED)
    else:
        yield say.ok("TLS", f"{version}, the certificate is valid")


def kind(peer: Peer) -> Iterator[Finding]:
    """Find out which kind of server this is."""
    try:
        peer.root_dse = server.read_root_dse(peer.connection)
        peer.facts = server.facts(peer.connection, peer.url, peer.root_dse)
    except (*_NOT_YOU, ldap.CONFIDENTIALITY_REQUIRED) as error:
        what = advice_for(error)
        raise Hopeless(peer.say.failure("server", words(error), what)) from None
    dialect = peer.facts.dialect
    if not peer.root_dse:
        yield peer.say.failure("server", "its root DSE can't be read", advice.ROOT_DSE)
    elif dialect is not OTHER:
        version = peer.root_dse.get("vendorversion", [b""])[0].decode(errors="replace")
        yield peer.say.ok("server", " ".join(filter(None, (dialect.name, version))))
    else:
        yield peer.say.warning("server", "none of the kinds that are known", advice.KIND)


def bind(peer: Peer) -> Iterator[Finding]:
    """Find out who the server takes us for."""
    identity, name = peer.facts.identity, peer.url.bindname
    if identity is None:
        yield peer.say.unknown("bind", "the server does not say who we are (RFC 4532)")
    elif identity:
        if identity.startswith("dn:"):
            peer.say = peer.say._replace(bindname=identity[3:].strip())
        yield peer.say.ok("bind", f"as {identity}")
    elif name is None:
        yield peer.say.ok("bind", "anonymous")
    else:
        yield peer.say.failure("bind", f"anonymous, not {name}", advice.CREDENTIALS)


def base(peer: Peer) -> Iterator[Finding]:
    """See that the search base is there."""
    name = peer.url.base
    try:
        found = peer.connection.read(name, "(objectClass=*)", ["objectClass"])
    except (ldap.NO_SUCH_OBJECT, ldap.REFERRAL) as error:
        raise Hopeless(peer.say.failure("base", f"{name}: {words(error)}", advice.BASE)) from None
    except (*_NOT_YOU, ldap.CONFIDENTIALITY_REQUIRED) as error:
        said = f"{name}: {words(error)}"
        raise Hopeless(peer.say.failure("base", said, advice_for(error))) from None
    if found:
        yield peer.say.ok("base", f"{name} is there")
    else:
        said = f"{name} is there, but its objectClass may not be read"
        yield peer.say.warning("base", said, advice.BASE)


# --- content synchronization


def _setup(peer: Peer) -> Advice:
    return advice.PLUGINS if peer.facts.dialect is DS389 else advice.SYNCPROV


def _lift(peer: Peer) -> Advice:
    return advice.LIMITS.get(peer.facts.dialect.name, advice.OTHER_LIMITS)


def control(peer: Peer) -> Iterator[Finding]:
    """See whether the server knows RFC 4533 at all."""
    if server.lacks(peer.root_dse, wire.SYNC_REQUEST):
        said = "the server knows no content synchronization (RFC 4533)"
        yield peer.say.failure("sync control", said, _setup(peer))
    elif peer.root_dse.get("supportedcontrol"):
        yield peer.say.ok("sync control", "the server knows it (RFC 4533)")
    else:
        yield peer.say.unknown("sync control", "the root DSE lists no controls")


def refresh(peer: Peer) -> Iterator[Finding]:
    """Begin a refresh, and give it up when something has come."""
    if server.lacks(peer.root_dse, wire.SYNC_REQUEST):
        return  # that was told
    try:
        message = trial.first_message(peer.connection, peer.facts, ANSWER_SECONDS)
    except (SyncUnsupported, ldap.INSUFFICIENT_ACCESS):
        said = f"refused: no content synchronization on {peer.url.base} for this user"
        yield peer.say.failure("refresh", said, _setup(peer))
        return
    except _LIMITS as error:
        said = f"begun, and ended half done: {words(error)}"
        yield peer.say.failure("refresh", said, _lift(peer))
        return
    peer.syncs = True
    if isinstance(message, Entry):
        yield peer.say.ok("refresh", "begun, and canceled: entries come")
    elif isinstance(message, Done) and message.control is None:
        said = "the control is ignored: an ordinary answer came"
        yield peer.say.failure("refresh", said, _setup(peer))
        peer.syncs = False
    elif message is None:
        said = f"begun, but nothing came within {ANSWER_SECONDS:g} s"
        yield peer.say.warning("refresh", said, advice.EMPTY)
    else:
        yield peer.say.warning("refresh", "the answer is empty", advice.EMPTY)


def session_log(peer: Peer) -> Iterator[Finding]:
    """Find out from a cookie of just before the last change whether slapd remembers deletes."""
    if not (peer.syncs and peer.facts.dialect is OPENLDAP):
        return
    suffix = server.suffix_of(peer.url.base, peer.root_dse)
    csns = peer.read(suffix, "contextCSN")
    if not csns:
        yield peer.say.warning("contextCSN", f"that of {suffix} can't be read", advice.CONTEXT_CSN)
        said = "can't be told without the contextCSN"
        yield peer.say.unknown("session log", said, advice.LOOK_AT_LOG)
        return
    yield peer.say.ok("contextCSN", f"can be read at {suffix}")
    newest = max(csns)
    before = csn.just_before(newest)
    if before is None:
        said = f"can't be told from {newest!r}"
        yield peer.say.unknown("session log", said, advice.LOOK_AT_LOG)
        return
    asked = b"rid=000,csn=" + b";".join(sorted([before, *(set(csns) - {newest})]))
    resumed = trial.resume(peer.connection, peer.facts, asked, ANSWER_SECONDS)
    if resumed is Resume.DELETES:
        yield peer.say.ok("session log", "there is one: a resume hears what was deleted")
    elif resumed is Resume.UNKNOWN:
        said = "can't be told: no answer shows it"
        yield peer.say.unknown("session log", said, advice.LOOK_AT_LOG)
    else:
        said = "none, or nothing in it since slapd was started: a resume hears what is still there"
        yield peer.say.warning("session log", said, advice.SESSION_LOG)


def changelog(peer: Peer) -> Iterator[Finding]:
    """Look at what 389-ds resumes from."""
    facts = peer.facts
    if facts.dialect is not DS389:
        return
    first, last = facts.first_change, facts.last_change
    if first is None or last is None:
        said = "the root DSE has no change numbers"
        yield peer.say.warning("change log", said, advice.CHANGELOG)
    else:
        yield peer.say.ok("change log", f"changes {first} to {last}")
    if last is not None:
        yield from _target_uuid(peer, last)
    if facts.epoch is None:
        yield peer.say.warning("cn=monitor", "its startTime can't be read", advice.MONITOR)
    if not peer.url.matches_all:
        said = f"{peer.url.filter}: each start is a whole refresh, for 389-ds does not tell on "
        yield peer.say.warning("filter", said + "resume what left the filter", advice.FILTER)


def _target_uuid(peer: Peer, last: int) -> Iterator[Finding]:
    name = f"changenumber={last},cn=changelog"
    if not peer.read(name, "changeNumber"):
        said = "can't be told by this user whether the change log names the UUIDs of deletes"
        yield peer.say.unknown("deletes", said, advice.LOOK_AT_CHANGELOG)
    elif peer.read(name, "targetUniqueId"):
        yield peer.say.ok("deletes", "the change log names the UUID of each change")
    else:
        said = "the change log does not name the UUIDs: deletes are lost on resume"
        yield peer.say.failure("deletes", said, advice.TARGET_UUID)


# --- what else is good to know


def uuids(peer: Peer) -> Iterator[Finding]:
    """Look at operational attributes; the UUID itself comes with the control."""
    if peer.facts.dialect is DS389:
        yield peer.say.inapplicable("UUIDs", "made from nsUniqueId; entryUUID is not used")
    elif peer.read(peer.url.base, "entryUUID"):
        yield peer.say.ok("UUIDs", "entryUUID can be read")
    else:
        said = "entryUUID can't be read; it is not needed, as it comes with each entry"
        yield peer.say.inapplicable("UUIDs", said)
    if peer.read(peer.url.base, "modifyTimestamp"):
        yield peer.say.ok("operational", "operational attributes can be read")
    else:
        said = "modifyTimestamp of the base can't be read; only who asks for it needs it"
        yield peer.say.inapplicable("operational", said)


def cancel(peer: Peer) -> Iterator[Finding]:
    """See whether the server knows Cancel."""
    if peer.facts.cancels:
        yield peer.say.ok("Cancel", "the server knows it (RFC 3909)")
    else:
        said = "the server does not know it: a stop abandons the search, and loses nothing"
        yield peer.say.inapplicable("Cancel", said)


def limits(peer: Peer) -> Iterator[Finding]:
    """Read many entries in one piece, as a refresh does."""
    found = trial.count(peer.connection, MOST_ENTRIES, ANSWER_SECONDS)
    if found.error is not None:
        said = f"a search ends after {found.entries} entries: {words(found.error)}"
        yield peer.say.failure("limits", said, _lift(peer))
    else:
        yield peer.say.ok("limits", _counted(found))


def pages(peer: Peer) -> Iterator[Finding]:
    """Read many entries page by page, as ``verify()`` does."""
    try:
        found = trial.count_by_pages(peer.connection, MOST_ENTRIES, PAGE)
    except PagingUnsupported:
        yield peer.say.warning("pages", "the server has no paged results", advice.PAGES)
        return
    if found.error is not None:
        why = details_of(found.error).get("desc", "")
        said = f"no more than {found.entries} entries page by page: {why}"
        yield peer.say.warning("pages", said, advice.PAGES)
    else:
        yield peer.say.ok("pages", _counted(found))


def _counted(found: Count) -> str:
    if found.whole:
        return f"all entries came, {found.entries} of them"
    return f"{found.entries} entries came; there are more"


Check = Callable[[Peer], Iterator[Finding]]
CHECKS: "tuple[tuple[str, Check], ...]" = (
    ("TLS", tls),
    ("server", kind),
    ("bind", bind),
    ("base", base),
    ("sync control", control),
    ("refresh", refresh),
    ("session log", session_log),
    ("change log", changelog),
    ("UUIDs", uuids),
    ("Cancel", cancel),
    ("limits", limits),
    ("pages", pages),
)
"""All of them, in order, with the subject that errors in them are about."""
