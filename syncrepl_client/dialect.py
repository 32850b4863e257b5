# SPDX-License-Identifier: BSD-3-Clause
"""Which server this is, and how it departs from RFC 4533: quirks as data."""

from collections.abc import Mapping
from typing import NamedTuple, Optional


class Refusal(NamedTuple):
    """How a server says that it won't take a cookie: by that result, with that text."""

    result: int
    text: str
    reason: str
    """What is behind it, in words for a log."""


class Dialect(NamedTuple):
    """What a kind of server does in its own way."""

    name: str
    """Kept in the store beside the cookie: a cookie goes back to its own kind of server only."""

    merges_cookies: bool = False
    """A cookie of the persist stage carries only what changed: merge it into the last one."""

    silence_means_gone: bool = False
    """A resume that ends FALSE with a newer cookie and names nobody says: nobody is left."""

    resume_ignores_selection: bool = False
    """A resume sends all user attributes, whichever were asked for, and no operational ones."""

    resume_misses_leavers: bool = False
    """A resume does not tell of entries that the filter no longer matches."""

    lossy_set: Optional[int] = None
    """A set of that many deleted UUIDs was flushed in mid-delete: the next one is lost."""

    newcookie_ends_refresh: bool = False
    """In refreshAndPersist mode a newcookie may stand for the end of the refresh stage."""

    numbers_changes: bool = False
    """Cookies end with the number of a change in a changelog, which may lose its first ones
    (trimming) and its last ones (a stop), and which a resume accepts all the same.  What is
    changed just when a resumed refresh ends may be told by neither stage."""

    reconcile_every: Optional[float] = None
    """Seconds after which a search should start over, for all that resumes leave out."""

    refresh_only_races: bool = False
    """A refreshOnly search leaves out what is changed while it lasts, so that this seems gone, or
    stays when it is; refreshAndPersist, ended after the refresh, does not."""

    refusal: Optional[Refusal] = None
    """An error result that means: search without the cookie, it is worth nothing here."""


OPENLDAP = Dialect(
    "OpenLDAP",
    merges_cookies=True,
    silence_means_gone=True,
    # syncprov.c: in refreshOnly an entry whose CSN is newer than the search is not sent, nor
    # named as present; and the search may overtake the session log.
    refresh_only_races=True,
    # Under several writers a cookie of the persist stage may be ahead of the messages, and the
    # contextCSN ahead of the session log: who is killed in between may miss a change.
    reconcile_every=7 * 86400.0,
    refusal=Refusal(
        53,
        "consumer state is newer than provider!",
        "the server was put back in time: it crashed without a checkpoint of its contextCSN, "
        "or was restored from a backup",
    ),
)
DS389 = Dialect(
    "389-ds",
    resume_ignores_selection=True,
    resume_misses_leavers=True,
    lossy_set=50,
    numbers_changes=True,
    reconcile_every=86400.0,
)
APACHEDS = Dialect("ApacheDS", newcookie_ends_refresh=True)
OTHER = Dialect("other")


def detect(root_dse: Mapping[str, list[bytes]]) -> Dialect:
    """Return the dialect of the server whose root DSE (names in lower case) this is."""
    if b"OpenLDAProotDSE" in root_dse.get("objectclass", []):
        return OPENLDAP
    vendor = b" ".join(root_dse.get("vendorname", []))
    if b"389" in vendor:
        return DS389
    if b"Apache" in vendor:
        return APACHEDS
    return OTHER


def prunes(
    dialect: Dialect, *, resumed: bool, deletes: bool, present_seen: bool, cookie_moved: bool
) -> bool:
    """Say whether the end of a refresh means that what it did not name is gone.

    Args:
        dialect: of the server.
        resumed: the search was sent with a cookie.
        deletes: refreshDeletes TRUE, or refreshDelete, ended it.
        present_seen: entries were named as present.
        cookie_moved: the server sent a cookie that differs from the one it got.

    An initial refresh names everything, whatever flag ends it (OpenLDAP says TRUE).  After a
    present phase the unnamed are gone (RFC 4533, 3.3.2).  A resume that ends FALSE and names
    nobody is how 389-ds says "nothing changed" and OpenLDAP "nobody is left": the bytes are
    the same, so only the dialect and a moved cookie tell them apart.
    """
    if not resumed:
        return True
    if deletes:
        return False
    return present_seen or (dialect.silence_means_gone and cookie_moved)
