# SPDX-License-Identifier: BSD-3-Clause
"""The checks of :mod:`.examination` that are about one kind of server, or about a store."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

from ..engine import resumption
from ..engine.resumption import CLOCKS_DIFFER_SECONDS
from ..network import configuration, syncprov
from ..protocol import csn, knowledge
from ..protocol.dialect import DS389, OPENLDAP
from . import advice, probes
from .context import CheckContext
from .findings import Finding
from .probes import Persist, Resume

PERSIST_SECONDS = 2.0
"""How long a change is awaited that shows what the persist stage sends."""


def session_log(context: CheckContext) -> Iterator[Finding]:
    """Check for a session log, by resuming from a cookie just before the last change."""
    if not context.syncs or context.proxied or context.facts.dialect is not OPENLDAP:
        return
    if not context.facts.tells_deletes:
        said = "none, and syncprov-nopresent: a resume does not report what was deleted"
        yield context.report.failure("session log", said, advice.NO_PRESENT)
        return
    csns = [value.encode() for value in context.facts.knows.changes.values()]
    if not csns:
        said = "can't be told: the server does not tell its contextCSN"
        yield context.report.unknown("session log", said, advice.LOOK_AT_LOG)
        return
    newest = max(csns)
    before = csn.just_before(newest)
    if before is None:
        said = f"can't be told from {newest!r}"
        yield context.report.unknown("session log", said, advice.LOOK_AT_LOG)
        return
    asked = b"rid=000,csn=" + b";".join(sorted([before, *(set(csns) - {newest})]))
    resumed = probes.resume(context.connection, context.facts, asked, context.seconds)
    if resumed is Resume.DELETES:
        yield context.report.ok("session log", "there is one: a resume hears what was deleted")
    elif resumed is Resume.UNKNOWN:
        said = "can't be told: no answer shows it"
        yield context.report.unknown("session log", said, advice.LOOK_AT_LOG)
    else:
        yield _no_deletes(context)


def _no_deletes(context: CheckContext) -> Finding:
    """Return the finding that a resume does not hear what was deleted.

    syncprov does not answer from a session log in which there is nothing yet: it has no entry
    before the first change after a start of slapd, or after the log was set up.
    """
    there = configuration.has_session_log(context.connection, context.facts.suffix)
    if there:
        said = "there is one, with nothing in it yet: from the next change on it is used"
        return context.report.ok("session log", said)
    if there is None:
        said = "none, or nothing was changed since slapd was started, or since it was set up"
        return context.report.unknown("session log", said, advice.MAYBE_NO_SESSION_LOG)
    said = "none: a resume hears what is still there"
    return context.report.warning("session log", said, advice.SESSION_LOG)


def clock(context: CheckContext) -> Iterator[Finding]:
    """Check that the server's newest change is not in the future (OpenLDAP)."""
    facts = context.facts
    if facts.dialect is not OPENLDAP or facts.sid is None:
        return
    newest = csn.made_at(facts.knows.changes.get(facts.sid.decode(), "").encode())
    now = datetime.now(timezone.utc)
    if newest is not None and newest > now + timedelta(seconds=CLOCKS_DIFFER_SECONDS):
        said = f"the newest change was made at {newest:%Y-%m-%d %H:%M:%S} UTC, which is yet to "
        said += "come: until then the server reports no changes to a client that resumes"
        yield context.report.failure("clock", said, advice.CLOCK)


def glue(context: CheckContext) -> Iterator[Finding]:
    """Check how databases are glued together (OpenLDAP)."""
    if not context.syncs or context.proxied or context.facts.dialect is not OPENLDAP:
        return
    wrong = syncprov.glue_fault(context.connection, context.url.base, context.facts.suffix)
    if wrong is not None:
        yield context.report.failure("glue", wrong, advice.GLUE)


def persist(context: CheckContext) -> Iterator[Finding]:
    """Compare what 389-ds sends in its persist stage with what a search shows to this user."""
    if not (context.syncs and context.facts.dialect.persist_ignores_access):
        return
    name = "persist stage"
    found = probes.persist_stage(context.connection, PERSIST_SECONDS)
    if found is Persist.MORE:
        said = "it sends more than a search shows to this user: 389-ds heeds no access rules there"
        yield context.report.warning(name, said, advice.PERSIST)
    elif found is Persist.SAME:
        said = "what it sent just now, a search shows to this user as well"
        yield context.report.ok(name, said)
    else:
        said = f"nothing changed for {PERSIST_SECONDS:g} s; 389-ds heeds no access rules there"
        yield context.report.unknown(name, said, advice.PERSIST)


def replication(context: CheckContext) -> Iterator[Finding]:
    """Check that the replica update vector can be read (389-ds)."""
    if context.facts.dialect is not DS389:
        return
    if context.facts.knows.changes:
        yield context.report.ok("replication", "the replica update vector can be read")
    else:
        said = "not used, or this user can't read the replica update vector"
        yield context.report.unknown("replication", said, advice.VECTOR)


def store(context: CheckContext) -> Iterator[Finding]:
    """Check that the server has all changes of the store, if there is one."""
    origin, facts = context.origin, context.facts
    if origin is None or not context.syncs:
        return
    search = context.search
    known = resumption.knowledge_of(origin, facts.dialect, search)
    lacks = knowledge.shortfall(known, facts.knows)
    unsure = knowledge.doubt(known, facts.knows)
    doubt = resumption.doubt(origin, facts, search, True, time.time())
    if lacks is not None:
        yield context.report.failure("store", f"the server lacks changes: {lacks}", advice.BEHIND)
    elif unsure is not None:
        yield context.report.warning("store", unsure, advice.VECTOR)
    elif doubt is not None:
        said = f"the next start searches without a cookie: {doubt}"
        yield context.report.inapplicable("store", said)
    else:
        yield context.report.ok("store", "the server has all changes of the store")


def changelog(context: CheckContext) -> Iterator[Finding]:
    """Check the change log from which 389-ds resumes."""
    facts = context.facts
    if facts.dialect is not DS389:
        return
    first, last = facts.first_change, facts.last_change
    if first is None or last is None:
        said = "the root DSE has no change numbers"
        yield context.report.warning("change log", said, advice.CHANGELOG)
    else:
        yield context.report.ok("change log", f"changes {first} to {last}")
    if last is not None:
        yield from _target_uuid(context, last)
    if facts.epoch is None:
        yield context.report.warning("cn=monitor", "its startTime can't be read", advice.MONITOR)
    if not context.url.matches_all:
        said = f"{context.url.filter}: each start is a whole refresh, for 389-ds does not tell on "
        yield context.report.warning("filter", said + "resume what left the filter", advice.FILTER)


def _target_uuid(context: CheckContext, last: int) -> Iterator[Finding]:
    name = f"changenumber={last},cn=changelog"
    if not context.read(name, "changeNumber"):
        said = "can't be told by this user whether the change log names the UUIDs of deletes"
        yield context.report.unknown("deletes", said, advice.LOOK_AT_CHANGELOG)
    elif context.read(name, "targetUniqueId"):
        yield context.report.ok("deletes", "the change log names the UUID of each change")
    else:
        said = "the change log does not name the UUIDs: deletes are lost on resume"
        yield context.report.failure("deletes", said, advice.TARGET_UUID)
