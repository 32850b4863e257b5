# SPDX-License-Identifier: BSD-3-Clause
"""The subcommands: one module each, with a click command named ``command``."""
