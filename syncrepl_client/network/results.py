# SPDX-License-Identifier: BSD-3-Clause
"""Results, as python-ldap's C module hands them over."""

import logging
from collections.abc import Sequence
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

TakeEntry = Callable[[str, Attributes, Sequence[wire.RawControl]], object]
"""Called with the DN, the attributes and the controls of an entry."""
Take = Callable[[Message], object]
"""Called with a message of a content synchronization search, if it is not an entry."""

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
    with _Calling(connection):
        got: Any = connection._l.result4(msgid, 0, 0, 1, 1)
    if got[0] is None:
        return None
    raw = wire.RawResult(got[0], got[1], got[3])
    if raw.type == ldap.RES_SEARCH_ENTRY:
        dn, attrs, _ = raw.data[0]
        _inspect(connection, dn, attrs)
    return raw


def take_results(
    connection: SimpleLDAPObject,
    msgid: int,
    take_entry: TakeEntry,
    take: Take,
) -> bool:
    """Call *take_entry* or *take* with what has arrived of the search *msgid*, without waiting.

    It goes on while they return something true, and ends with the search.  Other calls of
    *connection* wait for that: neither may make one.

    Args:
        connection: the connection.
        msgid: the message ID.
        take_entry: called with the DN, the attributes and the controls of an entry.
        take: called with every other message of a content synchronization search.

    Returns:
        whether there was anything.

    Raises:
        ProtocolError: a message is malformed; and as :func:`raw_result`.
    """
    any_taken = False
    suspicious = getattr(connection, "takes_any_name", False)
    result4, entry, last = connection._l.result4, ldap.RES_SEARCH_ENTRY, ldap.RES_SEARCH_RESULT
    with _Calling(connection):
        while True:
            got: Any = result4(msgid, 0, 0, 1, 1)
            kind = got[0]
            if kind == entry:
                dn, attrs, controls = got[1][0]
                if suspicious or len(attrs) > MANY_ATTRIBUTES:
                    _inspect(connection, dn, attrs)
                any_taken = True
                if not take_entry(dn, attrs, controls):
                    return True
            elif kind is None:  # and nothing else
                return any_taken
            else:
                message = wire.decode(wire.RawResult(kind, got[1], got[3]))
                if message is not None:
                    any_taken = True
                    if not take(message) or kind == last:
                        return True


def first_message(take: Callable[[TakeEntry, Take], object]) -> Optional[Message]:
    """Return the message that *take* calls its arguments with, and no more; None if it does not."""
    found: list[Message] = []
    take(lambda *sent: found.append(wire.entry(*sent)), found.append)
    return found[0] if found else None


class _Calling:
    """Has the lock that all calls of a connection share, and explains the errors of result4.

    It is the C module's own: python-ldap's wrapper fails where nothing has arrived, and decodes
    each control with pyasn1.  contextlib would take twice as long, once a message for some.
    """

    def __init__(self, connection: SimpleLDAPObject) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection._ldap_object_lock.acquire()

    def __exit__(self, kind: object, error: Optional[BaseException], traceback: object) -> None:
        self._connection._ldap_object_lock.release()
        if isinstance(error, ldap.LDAPError):
            transport.add_strerror(error)
        elif isinstance(error, UnicodeDecodeError):
            raise ProtocolError(f"the server sent a name that is not UTF-8: {error}") from error
        elif isinstance(error, MemoryError):
            raise MemoryError(
                f"{self._connection._uri}: a message can't be read: there is no memory for it, or "
                "it has a control whose OID is not UTF-8, of which python-ldap says the same"
            ) from error


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
