# SPDX-License-Identifier: BSD-3-Clause
"""The output of the command: changes, progress, reports, metrics."""
