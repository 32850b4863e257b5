# SPDX-License-Identifier: BSD-3-Clause
"""Advice for the findings of :mod:`.examination`, with commands.

The commands are those of ``docs/servers.rst``: with ``cn=config``, the numbers are those of
Debian's package; INSTANCE stands for the name of the 389-ds instance.
"""

from typing import NamedTuple


class Advice(NamedTuple):
    """What to do about a finding.

    Attributes:
        text: one or two sentences.
        commands: lines to enter as root on the server, or to put into LDIF; may be empty.
    """

    text: str
    commands: tuple[str, ...] = ()


NONE = Advice("")
"""Nothing to do."""

REACH = Advice("See that the server runs, that host and port are right, and that no firewall is "
               "between.")  # fmt: skip
TLS = Advice(
    "The server's certificate must be made out for this host, valid, and signed by an authority in "
    "OPT_X_TLS_CACERTFILE or the system's list; and the server must speak TLS 1.2 or later."
)
CLEAR = Advice("Use starttls=True, or an ldaps:// URL.")
UNVERIFIED = Advice("Let the certificate be checked: OPT_X_TLS_REQUIRE_CERT is OPT_X_TLS_DEMAND.")
CREDENTIALS = Advice("Check the bind DN and the password; a DN must be complete.")
PASSWORD = Advice("Have a new password set, and give it to the program, before it is too late.")
SASL = Advice(
    "See that the mechanism is set up on both sides: GSSAPI wants a Kerberos ticket (kinit), "
    "EXTERNAL ldapi:// or a client certificate, SCRAM a user name and a password."
)
BASE = Advice("Check the base, and whether this user may read it.")
ELSEWHERE = Advice("Look at that server instead. References are not followed.")
ROOT_DSE = Advice(
    "Let everybody read the root DSE: what kind of server this is, is read there.",
    ('access to dn.base="" by * read',),
)
KIND = Advice("It is followed by RFC 4533 alone; there are no known quirks to be mended.")

NO_SYNC = Advice(
    "Only OpenLDAP (with the overlay syncprov) and 389 Directory Server (with two plug-ins) are "
    "known to have it; for others, see whether their manual speaks of RFC 4533."
)
COMPAT = Advice(
    "slapi-nis makes the entries of cn=compat up from others, and the plug-in Content "
    "Synchronization does not know them. Follow those others: on FreeIPA those below cn=accounts."
)
BEHIND_PROXY = Advice(
    "Follow the server behind it itself, if you can. Through the proxy each start is a refresh "
    "without a cookie, for its restarts and the ends of its changelog can't be seen there."
)

SYNCPROV = Advice(
    "Load the overlay syncprov, and add it to the database; with cn=config:",
    (
        "ldapmodify -Q -Y EXTERNAL -H ldapi:/// <<EOF",
        "dn: cn=module{0},cn=config",
        "changetype: modify",
        "add: olcModuleLoad",
        "olcModuleLoad: syncprov",
        "",
        "dn: olcOverlay=syncprov,olcDatabase={1}mdb,cn=config",
        "changetype: add",
        "objectClass: olcOverlayConfig",
        "objectClass: olcSyncProvConfig",
        "olcOverlay: syncprov",
        "olcSpSessionlog: 10000",
        "olcSpCheckpoint: 100 5",
        "EOF",
    ),
)
SESSION_LOG = Advice(
    "Nothing is wrong, but each start hears of all entries. Give syncprov a session log:",
    (
        "ldapmodify -Q -Y EXTERNAL -H ldapi:/// <<EOF",
        "dn: olcOverlay={0}syncprov,olcDatabase={1}mdb,cn=config",
        "changetype: modify",
        "replace: olcSpSessionlog",
        "olcSpSessionlog: 10000",
        "EOF",
    ),
)
MAYBE_NO_SESSION_LOG = Advice(
    "See which it is: with a session log the first command prints olcSpSessionlog, and there is "
    "nothing to do. Without one, nothing is wrong, but each start hears of all entries; then give "
    "syncprov one:",
    ("slapcat -n 0 | grep -i sessionlog", *SESSION_LOG.commands),
)
NO_PRESENT = Advice(
    "Give syncprov a session log, or remove syncprov-nopresent, which is for accesslog's own "
    "database. Until then each start of a client is a whole refresh:",
    (
        "ldapmodify -Q -Y EXTERNAL -H ldapi:/// <<EOF",
        "dn: olcOverlay={0}syncprov,olcDatabase={1}mdb,cn=config",
        "changetype: modify",
        "replace: olcSpNoPresent",
        "-",
        "replace: olcSpSessionlog",
        "olcSpSessionlog: 10000",
        "EOF",
    ),
)
CLOCK = Advice(
    "Set the clock right. Until that time has come, each start of a client is a whole refresh. To "
    "mend it sooner, stop slapd, write the content out with slapcat, replace each CSN that lies "
    "ahead (entryCSN, contextCSN) by one that is past, and load that with slapadd -w."
)
GLUE = Advice(
    "Have one syncprov, on the superior database, after an explicit overlay glue, and none on the "
    "subordinate. In slapd.conf, for the superior:",
    ("overlay glue", "overlay syncprov", "syncprov-sessionlog 10000"),
)
SUPERIOR = Advice(
    "The base is in a database that is glued below another one, whose syncprov serves both: follow "
    "that one's suffix, and choose with a filter what is below. (With a syncprov here too, the "
    "other one would lose changes.)"
)
NOT_ALL = Advice(
    "Look for databases that are glued together (overlay glue must be explicit, before syncprov), "
    "and for overlays and access rules that treat content synchronization differently."
)
BEHIND = Advice(
    "See whether the server was restored from a backup, and whether its replication works. A "
    "client waits for it (lag_patience), and then reports what differs from its store."
)
VECTOR = Advice(
    "If several servers replicate each other, let this user read nsds50ruv, on each of them. "
    "Without it a client can't tell whether another server has caught up, and delays deletes "
    "(lag_patience):",
    (
        'ldapmodify -D "cn=Directory Manager" -W -H ldap://localhost <<EOF',
        "dn: cn=mapping tree,cn=config",
        "changetype: modify",
        "add: aci",
        'aci: (targetattr = "nsds50ruv || nsDS5ReplicaRoot || objectClass")',
        '  (targetfilter = "(objectClass=nsds5Replica)")(version 3.0;',
        '  acl "replica update vector"; allow (read, search)',
        '  userdn = "ldap:///BINDDN";)',
        "EOF",
    ),
)
PLUGINS = Advice(
    "Enable the two plug-ins, and let this user use the control (out of the box only users who "
    "have bound may):",
    (
        "dsconf INSTANCE plugin retro-changelog enable",
        "dsconf INSTANCE plugin retro-changelog add --attribute nsuniqueid:targetUniqueId",
        "dsconf INSTANCE plugin retro-changelog set --max-age 30d",
        'dsconf INSTANCE plugin set --enabled on "Content Synchronization"',
        "dsctl INSTANCE restart",
    ),
)
CHANGELOG = Advice(
    "Enable the retro changelog, and leave the root DSE readable: without its change numbers "
    "nobody sees that the changelog was trimmed or reset.",
    (
        "dsconf INSTANCE plugin retro-changelog enable",
        "dsconf INSTANCE plugin retro-changelog set --max-age 30d",
        "dsctl INSTANCE restart",
    ),
)
TARGET_UUID = Advice(
    "Without it a client that was away does not hear of deletes:",
    (
        "dsconf INSTANCE plugin retro-changelog add --attribute nsuniqueid:targetUniqueId",
        "dsctl INSTANCE restart",
    ),
)
MONITOR = Advice("Leave cn=monitor readable, as it is installed: after a restart of the server the "
                 "library searches without a cookie, and sees a restart there.")  # fmt: skip
FILTER = Advice(
    "Follow everything with (objectClass=*), and filter in the program, if a whole refresh at each "
    "start is too much."
)

PERSIST = Advice(
    "This client reads each entry again, as this user, before it tells of it: leave trust_persist "
    "off, unless this user may read everything. Other programs see whole entries: let nobody use "
    "the control who may not read everything. It is allowed by:",
    (
        "ldapsearch -x -D 'cn=Directory Manager' -W -H ldap://localhost -s base \\",
        "    -b oid=1.3.6.1.4.1.4203.1.9.1.1,cn=features,cn=config '(objectClass=*)' aci",
    ),
)
SCHEMA = Advice(
    "Without it aliases, object identifiers and supertypes in an attribute list are not "
    "understood, and 389-ds is not resumed with such a list. Let this user read it (slapd.conf):",
    ('access to dn.base="cn=Subschema" by dn.exact="BINDDN" read by * break',),
)

UNREPORTED = Advice(
    "A store has them as they were until the next refresh without a cookie. Set reconcile_every "
    "(watch --reconcile-every) to the time that they may be old; or leave them out, and follow "
    "what they come from: groups and their member instead of memberOf. A program that follows "
    "groups removes deleted members itself: that they were deleted is reported."
)

MOVED = Advice(
    "Let this user read entryUUID and entryCSN of all entries that it may see, and search for "
    "them: the client looks with these for what a refresh missed because it was moved meanwhile."
)

SOCKET = Advice("See that the server runs, and listens on that socket (slapd -h ldapi:///).")
LIMITS = {
    "OpenLDAP": Advice(
        "A refresh ends there too, half done. Lift the limits for this user. (Where there were "
        "other olcLimits, restart slapd: until then the first one that was there prevails.)",
        (
            "ldapmodify -Q -Y EXTERNAL -H ldapi:/// <<EOF",
            "dn: olcDatabase={1}mdb,cn=config",
            "changetype: modify",
            "add: olcLimits",
            'olcLimits: {0}dn.exact="BINDDN" size=unlimited time=unlimited',
            "EOF",
        ),
    ),
    "389-ds": Advice(
        "A refresh ends there too, half done. Lift the limits of this user:",
        (
            'ldapmodify -D "cn=Directory Manager" -W -H ldap://localhost <<EOF',
            "dn: BINDDN",
            "changetype: modify",
            "replace: nsSizeLimit",
            "nsSizeLimit: -1",
            "-",
            "replace: nsTimeLimit",
            "nsTimeLimit: -1",
            "-",
            "replace: nsLookThroughLimit",
            "nsLookThroughLimit: -1",
            "EOF",
        ),
    ),
}
OTHER_LIMITS = Advice("A refresh ends there too, half done. Lift the limits for this user.")
PAGES = Advice(
    "Only verify() needs it: let this user read the whole answer page by page (on OpenLDAP "
    "size.prtotal=unlimited in 'limits'; on 389-ds nsPagedSizeLimit)."
)
_BY_NAME = (
    "Better ask by name: a user who may write one of them can add thousands of it to his own entry "
    "(description;lang-a1, ...), and to read that entry stops the whole process for seconds."
)
ATTRIBUTES = {
    "OpenLDAP": Advice(
        f"{_BY_NAME} slapd.conf can allow the language tags that are in use, and no others:",
        ("attributeoptions lang-en",),
    ),
}
ATTRIBUTES_ELSEWHERE = Advice(_BY_NAME)
EMPTY = Advice("See whether the filter is right, and whether this user may read the entries.")
WHO = Advice("Bind as a user who may read there; the server does not let this one.")
LOOK_AT_LOG = Advice(
    "Look on the server whether the overlay has olcSpSessionlog (slapd.conf: syncprov-sessionlog):",
    ("slapcat -n 0 | grep -i sessionlog",),
)
LOOK_AT_CHANGELOG = Advice(
    "Run this check as cn=Directory Manager, or look on the server for nsuniqueid:targetUniqueId:",
    ("dsconf INSTANCE plugin retro-changelog show",),
)
AGAIN = Advice("Try again; the server's log may say more.")
