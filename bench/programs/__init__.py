# SPDX-License-Identifier: BSD-3-Clause
"""What is measured: each program runs in a process of its own, and imports no more than it needs."""
