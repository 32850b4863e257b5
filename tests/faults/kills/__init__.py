# SPDX-License-Identifier: BSD-3-Clause
"""Clients and servers that end at the worst of times; ``python -m tests.faults.kills``."""
