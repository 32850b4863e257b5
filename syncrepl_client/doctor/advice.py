# SPDX-License-Identifier: BSD-3-Clause
"""What to do about what :mod:`.examination` finds: for a person, with the commands to type.

The commands are those of ``docs/servers.rst``: with ``cn=config``, the numbers are those of
Debian's package; INSTANCE stands for the name of the 389-ds instance.
"""

from typing import NamedTuple


class Advice(NamedTuple):
    """What to do.

    Attributes:
        text: in a sentence or two.
        commands: lines to type as root on the server, or to put into LDIF; may be none.
    """

    text: str
    commands: tuple[str, ...] = ()


NONE = Advice("")
"""There is nothing to do."""

REACH = Advice("See that the server runs, that host and port are right, and that no firewall is "
               "between.")  # fmt: skip
TLS = Advice(
    "The server's certificate must be made out for this host, valid, and signed by an authority in "
    "OPT_X_TLS_CACERTFILE or the system's list; and the server must speak TLS 1.2 or later."
)
CLEAR = Advice("Use starttls=True, or an ldaps:// URL.")
UNVERIFIED = Advice("Let the certificate be checked: OPT_X_TLS_REQUIRE_CERT is OPT_X_TLS_DEMAND.")
CREDENTIALS = Advice("Check the bind DN and the password; a DN must be complete.")
SASL = Advice(
    "See that the mechanism is set up on both sides: GSSAPI wants a Kerberos ticket (kinit), "
    "EXTERNAL ldapi:// or a client certificate, SCRAM a user name and a password."
)
BASE = Advice("Check the base, and whether this user may read it.")
ROOT_DSE = Advice(
    "Let everybody read the root DSE: what kind of server this is, is read there.",
    ('access to dn.base="" by * read',),
)
KIND = Advice("It is followed by RFC 4533 alone; there are no known quirks to be mended.")

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
CONTEXT_CSN = Advice(
    "Only 'status' and this check need it. Let this user read contextCSN of the suffix:",
    ('access to dn.base="SUFFIX" attrs=entry,contextCSN by dn.exact="BINDDN" read by * break',),
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
