# SPDX-License-Identifier: BSD-3-Clause
"""One tree of errors, sorted by whose move is next."""

from __future__ import annotations

import inspect

import ldap
import pytest

from syncrepl_client import exceptions
from syncrepl_client.exceptions import ServerError, StoreError, SyncreplError, UsageError

ALL = [each for _, each in inspect.getmembers(exceptions, inspect.isclass)]
KINDS = (UsageError, ServerError, StoreError)


def test_nothing_else_is_in_the_module() -> None:
    assert all(each.__module__ == exceptions.__name__ for each in ALL)
    public = {name for name in vars(exceptions) if not name.startswith("_")}
    assert public == {each.__name__ for each in ALL}


@pytest.mark.parametrize("kind", ALL)
def test_each_says_whose_move_is_next(kind: type[Exception]) -> None:
    assert issubclass(kind, SyncreplError)
    assert issubclass(kind, ldap.LDAPError) is (kind is exceptions.SyncRefreshRequired)
    assert kind is SyncreplError or issubclass(kind, KINDS)
    assert str(kind("what to do")) == "what to do"


@pytest.mark.parametrize(
    ("kind", "parents"),
    [
        ("ClosedError", (UsageError,)),
        ("ConfigurationError", (UsageError, ValueError)),
        ("CallbackInvalid", (exceptions.ConfigurationError, TypeError)),
        ("LDAPUrlError", (exceptions.ConfigurationError,)),
        ("LDAPUrlConflict", (exceptions.ConfigurationError,)),
        ("Stopped", (UsageError,)),
        ("PagingUnsupported", (ServerError,)),
        ("ProtocolError", (ServerError,)),
        ("SyncRefreshRequired", (ServerError, ldap.LDAPError)),
        ("SyncUnsupported", (ServerError,)),
        ("StorePathError", (StoreError, exceptions.ConfigurationError)),
        ("StoreInvalid", (StoreError,)),
        ("StoreVersionError", (StoreError,)),
        ("StoreLocked", (StoreError,)),
    ],
)
def test_parents(kind: str, parents: tuple[type[Exception], ...]) -> None:
    for parent in parents:
        assert issubclass(getattr(exceptions, kind), parent)
    for blame in set(KINDS) - set(parents) - {UsageError}:
        assert not issubclass(getattr(exceptions, kind), blame)
