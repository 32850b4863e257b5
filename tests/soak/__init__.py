# SPDX-License-Identifier: BSD-3-Clause
"""Months in minutes: one client, a million changes, and nothing that grows."""
