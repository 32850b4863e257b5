# SPDX-License-Identifier: BSD-3-Clause
"""LDAP data: distinguished names and attributes, how they compare, and how they are stored."""
