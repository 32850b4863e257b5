# SPDX-License-Identifier: BSD-3-Clause
"""Connections that end, stall or drip anywhere in a session; ``python -m tests.faults.wire``."""
