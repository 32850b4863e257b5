# SPDX-License-Identifier: BSD-3-Clause
"""The tests; with ``SYNCREPL_CLIENT=async`` in the environment, those of AsyncSyncrepl."""

import os

if os.environ.get("SYNCREPL_CLIENT") == "async":  # else whoever imports tests may import first
    import syncrepl_client
    from tests.looped import Looped

    vars(syncrepl_client)["Syncrepl"] = Looped
