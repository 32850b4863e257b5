# SPDX-License-Identifier: BSD-3-Clause
"""Throw-away directory servers for tests, the demo and the benchmarks."""

from tests.servers.ds389 import DS389
from tests.servers.process import Server, ServerFailed, ServerMissing
from tests.servers.slapd import Slapd

__all__ = ["DS389", "Server", "ServerFailed", "ServerMissing", "Slapd"]
