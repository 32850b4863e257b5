# SPDX-License-Identifier: BSD-3-Clause
"""What a test does where a server is not installed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from .process import ServerMissing


@contextmanager
def missing_servers_skip() -> Iterator[None]:
    """Skip the test where a server's program is missing; fail where CI is set.

    It goes around what starts the server.  On a continuous integration host, which sets the
    environment variable CI, a test that is skipped would look like one that passed.

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
