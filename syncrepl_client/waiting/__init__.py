# SPDX-License-Identifier: BSD-3-Clause
"""Waiting: coroutines that ask for it, what runs them, and the delays between attempts."""
