# SPDX-License-Identifier: BSD-3-Clause
"""The way to a server: get in, be sure of whom one talks to, search."""
