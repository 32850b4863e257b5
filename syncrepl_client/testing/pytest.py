# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures for pytest: temporary servers that end with the test.

To use them: ``pytest_plugins = ["syncrepl_client.testing.pytest"]`` in the topmost ``conftest.py``,
or in the test module.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Callable

import pytest

from .missing import missing_servers_skip
from .slapd import Slapd

MakeSlapd = Callable[..., Slapd]


@pytest.fixture
def make_slapd() -> Iterator[MakeSlapd]:
    """Return a function that starts a server: it takes the arguments of :class:`Slapd`.

    Each call starts another one.  They are removed at the end of the test.  If slapd is not
    installed the test is skipped, or fails if the environment variable CI is set.
    """
    with ExitStack() as stack:

        def make(**options: Any) -> Slapd:
            with missing_servers_skip():
                return stack.enter_context(Slapd(**options))

        yield make


@pytest.fixture
def slapd(make_slapd: MakeSlapd) -> Slapd:
    """Return a running server with a session log, the suffix entry, ou=people and ou=groups.

    It is not shared with other tests.  For other arguments use :func:`make_slapd`.
    """
    return make_slapd(sessionlog=1000)
