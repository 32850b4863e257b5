# SPDX-License-Identifier: BSD-3-Clause
"""What all throw-away servers share: as users have it, in syncrepl_client.testing."""

from syncrepl_client.testing.process import *  # noqa: F403 - the same names
