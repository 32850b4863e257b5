# SPDX-License-Identifier: BSD-3-Clause
"""The store in an SQLite file."""
