# SPDX-License-Identifier: BSD-3-Clause
"""The tests; with ``SYNCREPL_CLIENT=async`` in the environment, those of AsyncSyncrepl."""

import os

import syncrepl_client

if os.environ.get("SYNCREPL_CLIENT") == "async":
    from tests.looped import Looped

    vars(syncrepl_client)["Syncrepl"] = Looped
