# SPDX-License-Identifier: BSD-3-Clause
"""The store in dbm files, for programs that must not use SQLite."""
