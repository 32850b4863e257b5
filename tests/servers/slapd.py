# SPDX-License-Identifier: BSD-3-Clause
"""A throw-away OpenLDAP slapd: as users have it, in syncrepl_client.testing."""

from syncrepl_client.testing.slapd import *  # noqa: F403 - the same names
