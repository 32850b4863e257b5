# SPDX-License-Identifier: BSD-3-Clause
"""Several streams, and their sinks, in one process, as a file in TOML says."""
