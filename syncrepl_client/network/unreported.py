# SPDX-License-Identifier: BSD-3-Clause
"""Asks a server what it changes without reporting it: see :mod:`..protocol.unreported`."""

from collections.abc import Sequence
from typing import Optional

from ..entries.schema import AttributeTypes
from ..protocol import unreported
from ..protocol.dialect import DS389, OPENLDAP, Dialect
from ..protocol.unreported import Unreported
from . import server
from .session import Session


def find(
    session: Session,
    dialect: Dialect,
    requested: Sequence[str],
    types: Optional[AttributeTypes],
    suffix: str,
    *,
    thorough: bool = True,
) -> "tuple[Unreported, ...]":
    """Return the attributes of a search whose changes the server does not report.

    Args:
        session: with the server.
        dialect: of the server.
        requested: the attribute list of the search.
        types: the server's attribute types; None if unknown.
        suffix: DN of the naming context that is searched.
        thorough: whether to search for what configures them; otherwise nothing is sent.

    Raises:
        ldap.LDAPError: the connection is lost, or there was no answer in time.
    """
    overlays: Optional[frozenset[str]] = None
    virtual: tuple[str, ...] = ()
    if thorough:
        from . import configuration  # a start without changes does not need it

        if dialect is OPENLDAP:
            overlays = configuration.overlays(session)
        elif dialect is DS389:
            virtual = configuration.class_of_service(session, suffix)
        if types is None and overlays is None:  # "*,+" needs none otherwise
            types = server.attribute_types(session, server.read_root_dse(session))
    selection = dialect.selection(requested, types)
    return tuple(unreported.find(dialect, requested, selection, types, overlays, virtual))
