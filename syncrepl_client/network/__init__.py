# SPDX-License-Identifier: BSD-3-Clause
"""Connections to servers: transport security, authentication, searches, reconnecting."""
