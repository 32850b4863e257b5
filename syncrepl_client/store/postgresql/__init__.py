# SPDX-License-Identifier: BSD-3-Clause
"""The PostgreSQL store: one schema in a database."""
