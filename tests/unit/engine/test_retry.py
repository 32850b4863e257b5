# SPDX-License-Identifier: BSD-3-Clause
"""Which errors pass."""

from __future__ import annotations

import ldap
import pytest

from syncrepl_client import exceptions
from syncrepl_client.engine.retry import mark, retriable

TOO_MANY = {"result": 53, "info": "Too many active synchronization sessions"}
TOO_NEW = {"result": 53, "info": "consumer state is newer than provider!"}


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (ldap.SERVER_DOWN(), True),
        (ldap.CONNECT_ERROR(), True),
        (ldap.TIMEOUT(), True),
        (ldap.BUSY(), True),
        (ldap.UNAVAILABLE(), True),
        (ldap.TIMELIMIT_EXCEEDED(), True),
        (ldap.UNWILLING_TO_PERFORM(TOO_MANY), True),
        (ldap.UNWILLING_TO_PERFORM(TOO_NEW), False),
        (ldap.INVALID_CREDENTIALS(), False),
        (ldap.NO_SUCH_OBJECT(), False),
        (ldap.SIZELIMIT_EXCEEDED(), False),
        (ldap.UNAVAILABLE_CRITICAL_EXTENSION(), False),
        (exceptions.SearchEnded("x"), True),
        (exceptions.SyncUnsupported("x"), False),
        (exceptions.ProtocolError("x"), False),
        (exceptions.LDAPUrlConflict("x"), False),
        (exceptions.StoreError("x"), False),
        (ValueError("a callback's own"), False),
    ],
    ids=repr,
)
def test_retriable(error: Exception, passes: bool) -> None:
    assert retriable(error) is passes
    if isinstance(error, ldap.LDAPError):
        mark(error)
    if hasattr(error, "retriable"):
        assert error.retriable is passes
