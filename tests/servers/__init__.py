# SPDX-License-Identifier: BSD-3-Clause
"""Throw-away directory servers for tests, the demo and the benchmarks."""

from syncrepl_client.testing import Server, ServerFailed, ServerMissing, Slapd
from tests.servers.ds389 import DS389

__all__ = ["DS389", "Server", "ServerFailed", "ServerMissing", "Slapd"]
