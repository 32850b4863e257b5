# SPDX-License-Identifier: BSD-3-Clause
"""What is measured: programs that run in processes of their own, and import what they need."""
