# SPDX-License-Identifier: BSD-3-Clause
"""For tests of programs that use this library: a temporary slapd, and changes without a server.

No other part of the library imports this package.  It requires only what the library requires;
pytest is needed only for the fixtures in :mod:`syncrepl_client.testing.pytest`.
"""

from .feed import Feed
from .process import Server, ServerFailed, ServerMissing
from .slapd import Slapd

__all__ = ["Feed", "Server", "ServerFailed", "ServerMissing", "Slapd"]
