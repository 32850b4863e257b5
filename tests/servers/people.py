# SPDX-License-Identifier: BSD-3-Clause
"""Made-up content for directories: as users have it, in syncrepl_client.testing."""

from syncrepl_client.testing.people import *  # noqa: F403 - the same names
