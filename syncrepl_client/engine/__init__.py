# SPDX-License-Identifier: BSD-3-Clause
"""The engine: runs searches, calls the callback for each change, stores and commits."""
