# SPDX-License-Identifier: BSD-3-Clause
"""Kinds of servers, and how each departs from RFC 4533, as data."""

from collections.abc import Mapping, Sequence
from typing import Optional

from ..entries.schema import AttributeTypes
from ..entries.selection import Selection
from . import cookie


class Refusal:
    """How a kind of server refuses a cookie.

    Attributes:
        result: the result code.
        texts: what it says with that: one of them.
        reason: the cause, for the log.
    """

    def __init__(self, result: int, texts: Sequence[str], reason: str) -> None:
        """Initialize from result code, texts and cause."""
        self.result = result
        self.texts = texts
        self.reason = reason


class Dialect:
    """How a kind of server departs from RFC 4533.  This class itself is for those that do not."""

    name = "other"
    """Stored with the cookie: a cookie is sent only to the kind of server that made it."""

    merges_cookies = False
    """A cookie of the persist stage has only the CSN that changed: merge it into the last one."""

    silence_means_gone = False
    """A resume that names no entry and ends with FALSE and a newer cookie: no entry is left."""

    names_all_deletes = False
    """A resume names each delete since its cookie, also of entries that were added since (RFC 4533
    does not ask for these)."""

    resume_ignores_selection = False
    """A resume sends all user attributes, whatever was requested, and no operational ones."""

    selects_literally = False
    """An attribute list selects by names and aliases only: a supertype does not select its
    subtypes, and an alias with options selects nothing."""

    star_brings: Optional[str] = None
    """Lower-case name of an operational attribute that ``*`` in an attribute list selects too."""

    hidden_classes: Optional[frozenset[str]] = None
    """Lower-case object classes of entries that a search finds only if its filter names the class.
    The persist stage sends them anyway, and entries outside the search base."""

    persist_ignores_access = False
    """The persist stage applies no access control: it sends whole entries to every user."""

    resume_misses_leavers = False
    """A resume omits entries that the filter no longer matches."""

    resume_misses_moved = False
    """A resume omits an entry that was moved below another one, and out of the base along with
    that."""

    lossy_set: Optional[int] = None
    """After a syncIdSet of that many deletes, the next delete is lost."""

    numbers_changes = False
    """Cookies end with the number of a change in a changelog, which may lose its first changes
    (trimming) and its last ones (a shutdown); a resume accepts the cookie all the same.  A
    change that is made just when a resumed refresh ends may be in neither stage."""

    reconcile_every: Optional[float] = None
    """Seconds after which a search should start over, because of what resumes omit."""

    refresh_only_races = False
    """A refreshOnly search omits what is changed while it lasts, so that an entry seems deleted,
    or a deleted one seems present; refreshAndPersist, ended after the refresh, does not."""

    refresh_misses_moved = False
    """A refresh that looks at all entries may miss some that are moved while it lasts, and what is
    below them: it is no snapshot."""

    takes_any_name = False
    """Users may make up names of attributes, of any octets, where they may write one: such an
    attribute is left out, so that nobody can stop a client by his own entry."""

    respells = False
    """A DN is sent with the names of the entries above spelled as by the client that added the
    entry.  So one name has several spellings; and names that have one key are the same name."""

    misnames = False
    """A search or refresh may show an entry with a DN that it had before one above it was renamed;
    its ``parentid`` is right."""

    refusal: Optional[Refusal] = None
    """The error result that means: the cookie has changes that this server does not have."""

    def selection(self, requested: Sequence[str], types: Optional[AttributeTypes]) -> Selection:
        """Return what the attribute list *requested* selects on a server with these *types*."""
        return Selection(
            requested, types, literal=self.selects_literally, star_brings=self.star_brings
        )


class _OpenLDAP(Dialect):
    name = "OpenLDAP"
    merges_cookies = True
    silence_means_gone = True
    names_all_deletes = True
    # syncprov.c: in refreshOnly an entry whose CSN is newer than the search is not sent, nor
    # named as present; and the search may overtake the session log.
    refresh_only_races = True
    # back-mdb walks the tree, and reads on in a newer state after rtxnsize entries, or when the
    # client was slow to receive.
    refresh_misses_moved = True
    # Under several writers a cookie of the persist stage may be ahead of the messages, and the
    # contextCSN ahead of the session log: who is killed in between may miss a change.
    reconcile_every = 7 * 86400.0
    refusal = Refusal(
        53,
        ("consumer state is newer than provider!", "consumer has state info but provider doesn't!"),
        "the server knows less than the store: it lags behind, or was put back in time, as it "
        "crashed without a checkpoint of its contextCSN, or was restored from a backup",
    )


class _DS389(Dialect):
    name = "389-ds"
    resume_ignores_selection = True
    selects_literally = True
    star_brings = "aci"
    hidden_classes = frozenset(("ldapsubentry", "nstombstone"))
    persist_ignores_access = True
    resume_misses_leavers = True
    resume_misses_moved = True
    lossy_set = 50
    numbers_changes = True
    takes_any_name = True
    reconcile_every = 86400.0
    respells = True
    misnames = True


OPENLDAP: Dialect = _OpenLDAP()
DS389: Dialect = _DS389()
OTHER = Dialect()


def detect(root_dse: Mapping[str, list[bytes]]) -> Dialect:
    """Return the dialect of a server, given its root DSE with attribute names in lower case."""
    if b"OpenLDAProotDSE" in root_dse.get("objectclass", []):
        return OPENLDAP
    vendor = b" ".join(root_dse.get("vendorname", []))
    if b"389" in vendor:
        return DS389
    return OTHER


def of_cookie(value: bytes) -> Optional[Dialect]:
    """Return the dialect of the kind of server that makes such cookies; None: no such kind.

    A proxy has a root DSE of its own, and hands on the cookies of the server behind it.
    """
    if cookie.only_csn(value) is not None or any(cookie.csns(value)):
        return OPENLDAP
    return None if cookie.change_number(value) is None else DS389


def named(name: Optional[str]) -> Dialect:
    """Return the dialect of that name."""
    return next((each for each in (OPENLDAP, DS389) if each.name == name), OTHER)


def prunes(
    dialect: Dialect, *, resumed: bool, deletes: bool, present_seen: bool, cookie_moved: bool
) -> bool:
    """Return True if the end of a refresh means that the entries it did not name are gone.

    Args:
        dialect: of the server.
        resumed: whether the search was sent with a cookie.
        deletes: whether it ended with refreshDeletes TRUE, or refreshDelete.
        present_seen: whether entries were named as present.
        cookie_moved: whether the server sent a cookie that differs from the one that was sent.

    An initial refresh names every entry, whatever flag ends it (OpenLDAP sends TRUE).  After a
    present phase the unnamed entries are gone (RFC 4533, 3.3.2).  A resume that ends with FALSE and
    names no entry means "nothing changed" on 389-ds and "no entry is left" on OpenLDAP: the bytes
    are the same, so only the dialect and a new cookie tell them apart.
    """
    if not resumed:
        return True
    if deletes:
        return False
    return present_seen or (dialect.silence_means_gone and cookie_moved)
