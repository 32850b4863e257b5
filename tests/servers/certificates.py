# SPDX-License-Identifier: BSD-3-Clause
"""A throw-away certificate authority: as users have it, in syncrepl_client.testing."""

from syncrepl_client.testing.certificates import *  # noqa: F403 - the same names
