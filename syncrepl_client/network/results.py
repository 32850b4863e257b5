# SPDX-License-Identifier: BSD-3-Clause
"""Results, as python-ldap's C module hands them over."""

import logging
from typing import Any, Optional
from weakref import WeakSet

import ldap
from ldap.ldapobject import SimpleLDAPObject

from ..exceptions import ProtocolError
from ..protocol import received, wire
from . import transport

logger = logging.getLogger(__name__)

MANY_ATTRIBUTES = 1000
"""python-ldap (3.4.8) takes a time that grows with the square of this number to read an entry, and
holds the GIL: 20 ms for 1,000 attributes, 2 s for 10,000."""

_warned: "WeakSet[SimpleLDAPObject]" = WeakSet()
"""Connections on which there was such an entry."""


def raw_result(connection: SimpleLDAPObject, msgid: int) -> Optional[wire.RawResult]:
    """Return the next answer to the operation *msgid* if it has arrived, without waiting.

    Attributes whose names are not valid are left out where *connection* has a true attribute
    ``takes_any_name``: see :attr:`.Dialect.takes_any_name`.

    Raises:
        ProtocolError: it has a name that is not UTF-8.
        MemoryError: there is no memory for it.
        ldap.LDAPError: the connection is lost, or the answer is an error result.
    """
    try:
        got = _result4(connection, msgid)
    except ldap.LDAPError as error:
        transport.add_strerror(error)
        raise
    except UnicodeDecodeError as error:
        raise ProtocolError(f"the server sent a name that is not UTF-8: {error}") from error
    except MemoryError as error:
        raise MemoryError(
            f"{_server(connection)}: a message can't be read: there is no memory for it, or it has "
            "a control whose OID is not UTF-8, of which python-ldap says the same"
        ) from error
    if got is None or got[0] is None:
        return None
    raw = wire.RawResult(got[0], got[1], got[3])
    if raw.type == ldap.RES_SEARCH_ENTRY:
        _inspect(connection, raw)
    return raw


def _result4(connection: SimpleLDAPObject, msgid: int) -> Any:
    # The C module's own result4: python-ldap's wrapper fails where nothing has arrived, and
    # decodes each control with pyasn1.  It wants the lock that all calls of one object share.
    lock = connection._ldap_object_lock
    lock.acquire()
    try:
        return connection._l.result4(msgid, 0, 0, 1, 1)
    finally:
        lock.release()


def _inspect(connection: SimpleLDAPObject, entry: wire.RawResult) -> None:
    """Warn of what a user may have written to his own entry in order to do harm."""
    name, attrs, _ = entry.data[0]
    if getattr(connection, "takes_any_name", False):
        invalid = received.remove_invalid_names(attrs)
        if invalid:
            logger.warning(
                "%s: entry %r has attributes called %r, which no schema allows; they are left out",
                _server(connection),
                name,
                invalid,
                extra={"event": "names-left-out"},
            )
    if len(attrs) > MANY_ATTRIBUTES and connection not in _warned:
        _warned.add(connection)
        logger.warning(
            "%s: entry %r has %d attributes: while python-ldap reads it, the whole process stands "
            "still; ask for attributes by name, without those that users may write",
            _server(connection),
            name,
            len(attrs),
            extra={"event": "many-attributes"},
        )


def _server(connection: SimpleLDAPObject) -> str:
    return str(connection.get_option(ldap.OPT_URI))
