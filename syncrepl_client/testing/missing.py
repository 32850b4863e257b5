# SPDX-License-Identifier: BSD-3-Clause
"""Handling of servers that are not installed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from .process import ServerMissing


@contextmanager
def missing_servers_skip() -> Iterator[None]:
    """Skip the test if a server's program is missing; fail if CI is set.

    It is a context manager around what starts the server.  On a continuous integration host, which
    sets the environment variable CI, a skipped test would look like a passed one.

    Raises:
        ServerMissing: the program is missing, and CI is set.
    """
    import pytest

    try:
        yield
    except ServerMissing as reason:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(reason))
