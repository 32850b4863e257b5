# SPDX-License-Identifier: BSD-3-Clause
"""What must be known of a server before it is searched, and before an old cookie goes to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

from . import dialect, wire
from .connection import Connection
from .dialect import Dialect
from .exceptions import SyncUnsupported
from .url import SearchUrl


@dataclass(frozen=True)
class ServerFacts:
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


def probe(connection: Connection, url: SearchUrl) -> ServerFacts:
    """Return the facts about the server that *connection* leads to.

    Reads the root DSE, and asks who we are where that lists the operation.  389-ds's root DSE
    has the numbers of its changelog, and its ``cn=monitor`` when it was started; both are
    readable for anyone unless an administrator changed that.

    Raises:
        SyncUnsupported: the server doesn't know RFC 4533.
        ldap.LDAPError: the connection is lost, or there was no answer in time.
    """
    root_dse = connection.read_root_dse()
    controls = root_dse.get("supportedcontrol", [])
    if controls and wire.SYNC_REQUEST.encode() not in controls:
        raise SyncUnsupported(
            f"the server at {url.server} has no content synchronization (RFC 4533): on "
            "OpenLDAP, load and add the overlay syncprov; on 389-ds, enable the plug-ins "
            "'Retro Changelog' and 'Content Synchronization'"
        )
    kind = dialect.detect(root_dse)
    extensions = root_dse.get("supportedextension", [])
    needs_names = kind.resume_ignores_selection and bool(url.attributes)
    return ServerFacts(
        dialect=kind,
        identity=connection.who_am_i() if wire.WHO_AM_I.encode() in extensions else None,
        epoch=_epoch(connection) if kind.numbers_changes else None,
        first_change=_number(root_dse, "firstchangenumber") if kind.numbers_changes else None,
        last_change=_number(root_dse, "lastchangenumber") if kind.numbers_changes else None,
        cancels=wire.CANCEL.encode() in extensions,
        operational=connection.read_operational_names(root_dse) if needs_names else frozenset(),
    )


def last_change(connection: Connection) -> Optional[int]:
    """Return the number of the last change in the server's changelog, if it says that now."""
    return _number(connection.read_entry("", ("lastChangeNumber",)), "lastchangenumber")


def _epoch(connection: Connection) -> Optional[str]:
    values = connection.read_entry("cn=monitor", ("startTime",)).get("starttime", [])
    return values[0].decode(errors="backslashreplace") if values else None


def _number(entry: Mapping[str, "list[bytes]"], name: str) -> Optional[int]:
    values = entry.get(name, [])
    return int(values[0]) if values and values[0].isdigit() and len(values[0]) <= 20 else None
