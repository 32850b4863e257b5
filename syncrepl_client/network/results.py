# SPDX-License-Identifier: BSD-3-Clause
"""Results, as python-ldap's C module hands them over."""

import logging
from typing import Any, Callable, Optional
from weakref import WeakSet

import ldap
from ldap.ldapobject import SimpleLDAPObject

from ..entries.attributes import Attributes
from ..exceptions import ProtocolError
from ..protocol import received, wire
from ..protocol.messages import Message
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
    got = _result4(connection, msgid)
    if got is None or got[0] is None:
        return None
    raw = wire.RawResult(got[0], got[1], got[3])
    if raw.type == ldap.RES_SEARCH_ENTRY:
        dn, attrs, _ = raw.data[0]
        _inspect(connection, dn, attrs)
    return raw


def take_messages(
    connection: SimpleLDAPObject, msgid: int, take: Callable[[Message], object]
) -> Optional[Message]:
    """Call *take* with each message of the search *msgid* that has arrived, without waiting.

    It goes on while *take* returns something true, and ends with the search.

    Returns:
        the last message; None if there was none.

    Raises:
        ProtocolError: a message is malformed; and as :func:`raw_result`.
    """
    last: Optional[Message] = None
    suspicious = getattr(connection, "takes_any_name", False)
    while True:
        got = _result4(connection, msgid)
        if got is None or got[0] is None:
            return last
        if got[0] == ldap.RES_SEARCH_ENTRY:
            dn, attrs, controls = got[1][0]
            if suspicious or len(attrs) > MANY_ATTRIBUTES:
                _inspect(connection, dn, attrs)
            message: Optional[Message] = wire.entry(dn, attrs, controls)
        else:
            message = wire.decode(wire.RawResult(got[0], got[1], got[3]))
        if message is not None:
            last = message
            if not take(message) or got[0] == ldap.RES_SEARCH_RESULT:
                return last


def _result4(connection: SimpleLDAPObject, msgid: int) -> Any:
    # The C module's own result4: python-ldap's wrapper fails where nothing has arrived, and
    # decodes each control with pyasn1.  It wants the lock that all calls of one object share.
    lock = connection._ldap_object_lock
    lock.acquire()
    try:
        return connection._l.result4(msgid, 0, 0, 1, 1)
    except ldap.LDAPError as error:
        transport.add_strerror(error)
        raise
    except UnicodeDecodeError as error:
        raise ProtocolError(f"the server sent a name that is not UTF-8: {error}") from error
    except MemoryError as error:
        raise MemoryError(
            f"{connection._uri}: a message can't be read: there is no memory for it, or it has a "
            "control whose OID is not UTF-8, of which python-ldap says the same"
        ) from error
    finally:
        lock.release()


def _inspect(connection: SimpleLDAPObject, dn: str, attrs: Attributes) -> None:
    """Warn of what a user may have written to his own entry in order to do harm."""
    if getattr(connection, "takes_any_name", False):
        invalid = received.remove_invalid_names(attrs)
        if invalid:
            logger.warning(
                "%s: entry %r has attributes called %r, which no schema allows; they are left out",
                connection._uri,
                dn,
                invalid,
                extra={"event": "names-left-out"},
            )
    if len(attrs) > MANY_ATTRIBUTES and connection not in _warned:
        _warned.add(connection)
        logger.warning(
            "%s: entry %r has %d attributes: while python-ldap reads it, the whole process stands "
            "still; ask for attributes by name, without those that users may write",
            connection._uri,
            dn,
            len(attrs),
            extra={"event": "many-attributes"},
        )
