# SPDX-License-Identifier: BSD-3-Clause
"""Which errors are worth another attempt."""

import ldap

from ..exceptions import SyncreplError

_PASSING = (
    ldap.SERVER_DOWN,
    ldap.CONNECT_ERROR,
    ldap.TIMEOUT,
    ldap.BUSY,
    ldap.UNAVAILABLE,
    ldap.TIMELIMIT_EXCEEDED,
)
"""A lost connection, a server that restarts or is overloaded, a search that took too long."""

_TOO_MANY = "too many"
"""389-ds refuses more than its maximum of persistent searches so, with unwillingToPerform (53)."""


def retriable(error: BaseException) -> bool:
    """Return True if another attempt, later or on another server, may succeed.

    False for errors that it can't fix: wrong credentials, a missing base, a server without content
    synchronization, limits, a search that conflicts with the store's, exceptions of a callback.
    """
    if isinstance(error, SyncreplError):
        return error.retriable
    if isinstance(error, ldap.UNWILLING_TO_PERFORM):
        return _TOO_MANY in str(error).lower()
    return isinstance(error, _PASSING)


def mark(error: ldap.LDAPError) -> None:
    """Set the attribute ``retriable`` of a python-ldap exception, as our own have."""
    error.retriable = retriable(error)  # type: ignore[attr-defined]
