# SPDX-License-Identifier: BSD-3-Clause
"""For tests of programs that use this library: a throw-away slapd, and changes without a server.

Nothing else in the library imports this package, and it needs nothing but what the library needs.
pytest is needed for the fixtures in :mod:`syncrepl_client.testing.pytest` alone.
"""

from .feed import Feed
from .process import Server, ServerFailed, ServerMissing
from .slapd import Slapd

__all__ = ["Feed", "Server", "ServerFailed", "ServerMissing", "Slapd"]
