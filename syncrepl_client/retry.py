# SPDX-License-Identifier: BSD-3-Clause
"""Which errors another attempt may mend: data, in one place."""

import ldap

from .exceptions import SyncreplError

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
"""389-ds refuses a persistent search too many like this, with unwillingToPerform (53)."""


def retriable(error: BaseException) -> bool:
    """Say whether another attempt, later or on another server, may fare better.

    What none can mend: credentials, a base that is not there, a server without content
    synchronization, limits, a search that conflicts with the store's, a callback's own errors.
    """
    if isinstance(error, SyncreplError):
        return error.retriable
    if isinstance(error, ldap.UNWILLING_TO_PERFORM):
        return _TOO_MANY in str(error).lower()
    return isinstance(error, _PASSING)


def mark(error: ldap.LDAPError) -> None:
    """Give an error of python-ldap the attribute ``retriable`` that our own have."""
    error.retriable = retriable(error)  # type: ignore[attr-defined]
