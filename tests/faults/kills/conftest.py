# SPDX-License-Identifier: BSD-3-Clause
"""Tests here start processes and servers: they may take longer than their neighbours."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def watchdog() -> None:
    """Take the place of the one that barks: these wait for nothing endlessly."""
