# SPDX-License-Identifier: BSD-3-Clause
"""Three followers share a PostgreSQL store; they, their connections and the database fail."""
